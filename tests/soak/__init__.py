"""A whole swarm for minutes or hours: does anything in it grow?"""
