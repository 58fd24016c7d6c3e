"""One file for each kind of motion: what a model writes, and what is done when it is carried."""
