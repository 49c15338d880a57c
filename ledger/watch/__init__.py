"""A consumer of the feed, as an integrator would write one: a copy that has each change once."""
