"""The parts of `benchmarks/order_loop.py`: the stage, the wire, our bots in a process, the peers' clients."""
