"""A mission from its entrance to its result."""
