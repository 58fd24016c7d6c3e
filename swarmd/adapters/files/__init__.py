"""A mission's files: the workspace and the search in it."""
