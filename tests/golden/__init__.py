"""Stored bytes of every event that a release has written. They are never changed: what is on disk has to be read for ever."""
