"""Answers for people: why a permission is held, and what an agent is doing."""
