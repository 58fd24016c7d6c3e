"""The supervisor's loop without its input and output: one message or one tick becomes changes."""
