"""The ledger's words, without a database."""
