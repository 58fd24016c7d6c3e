"""One turn of an agent: mail, prompt, model calls, moves, commit."""
