"""The parts of the ledger benchmark: what is posted, our batches, and the row-lock loop beside them."""
