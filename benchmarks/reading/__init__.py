"""What the read benchmark is made of."""
