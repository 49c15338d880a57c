"""Segments: who is in, and why. Pure functions over the facts of a member."""
