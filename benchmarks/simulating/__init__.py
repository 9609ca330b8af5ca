"""The parts of `benchmarks/simulate.py`: a world made of production code, its faults, its people and its
auditor.
"""
