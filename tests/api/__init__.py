"""The parts of the API, without a server."""
