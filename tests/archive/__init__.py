"""Archiving old events, and working across the archive and the database."""
