"""Scripted minds: what stands in for a language model in benches, worlds and rehearsals."""
