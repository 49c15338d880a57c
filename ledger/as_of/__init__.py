"""State as of: what was believed at one time, and what is known now, about an instant."""
