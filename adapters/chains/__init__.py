"""Chains behind the ports of `engine.payments`. Which one is meant is chosen in `registry.py`."""
