"""The whole swarm in one process, on a virtual clock, in a world that fails on purpose. See
docs/simulation.md.
"""
