"""The crash simulation: production code in worlds where everything goes wrong, and an auditor who knows none of
it.
"""
