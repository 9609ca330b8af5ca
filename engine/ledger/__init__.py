"""Double entry: accounts, transfers between them, holds, and the named movements that business code calls."""
