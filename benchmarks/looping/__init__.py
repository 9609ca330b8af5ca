"""The parts of `benchmarks/order_loop.py`: the stage, its stamps, our bots in a process, the peers' clients."""
