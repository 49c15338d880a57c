"""Stored bytes of every event that a release has written. They are never changed, and read for ever."""
