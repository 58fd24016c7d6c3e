"""The same missions by a swarm, by one agent alone, and by other frameworks' supervisors."""
