"""The words of trading that every bot and every exchange shares: instruments, orders, executions, market data."""
