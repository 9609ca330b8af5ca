"""The console's side of the API: how it asks, and how the answers look."""
