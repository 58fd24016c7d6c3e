"""The embedded server and the client that ships beside it."""
