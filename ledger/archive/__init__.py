"""Retention: the states of old events move to files, and back. Keys, tree and checkpoints stay in the database."""
