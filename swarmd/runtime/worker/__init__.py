"""The process that hosts agents."""
