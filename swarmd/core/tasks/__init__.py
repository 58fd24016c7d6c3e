"""Tasks: what is handed in, the checks on it, and who accepts it. Pure."""
