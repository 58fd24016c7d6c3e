"""What went wrong in a mission, found after the fact from what the journal says. Pure."""
