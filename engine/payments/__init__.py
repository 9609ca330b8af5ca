"""Money that leaves and money that arrives on chains: payouts, approvals, allow-lists, incoming transfers."""
