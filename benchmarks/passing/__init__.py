"""What the pass-through benchmark is made of."""
