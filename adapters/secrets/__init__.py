"""Where exchange keys come from: the environment, or a key file sealed with a passphrase."""
