"""swarmd: the daemon that runs a governed hierarchy of LLM agents on Redis."""

__version__ = "0.1.0"
