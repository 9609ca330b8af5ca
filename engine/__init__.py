"""Pure rules: what is decided. No I/O, no Ray, no asyncio, no clock, no randomness."""
