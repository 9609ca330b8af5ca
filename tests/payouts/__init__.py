"""A small club on a TRON network of its own, for whatever tests payouts."""
