"""The connection to Redis: addresses, commands, notifications, errors."""
