"""Deliberation: the procedure of the board, its clerk, its room, and what carried motions do."""
