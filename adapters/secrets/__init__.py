"""Where exchange keys come from, and how they are kept: the environment, a sealed file, sealed rows."""
