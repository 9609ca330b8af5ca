"""What companies owe each other: offers, deals, limits, trust pairs, netting and the close of a day."""
