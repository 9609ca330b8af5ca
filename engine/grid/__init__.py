"""The grid machine: what a grid bot decides, pure and exact."""
