"""State as of: the two sides of a history."""
