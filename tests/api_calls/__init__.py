"""The calls of each service, through a real server."""
