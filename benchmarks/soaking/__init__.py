"""The parts of `benchmarks/soak.py`: the fleet, the processes, what happens to them, and the audit afterwards."""
