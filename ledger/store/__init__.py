"""The append-only store: the log of events, snapshots, the profile store and credentials, in PostgreSQL."""
