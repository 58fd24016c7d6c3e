"""A recorded mission played again: its cues, what is seen of the replay, and the player."""
