"""How messages travel: envelopes, and how long a channel keeps them."""
