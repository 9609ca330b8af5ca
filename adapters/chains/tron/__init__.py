"""TRON: bytes are built and checked here; java-tron's nodes tell facts and are handed bytes, never trusted."""
