"""The parts of the ledger benchmark: what is posted, and the row-lock loop that it is compared with."""
