"""The proofs alone: without server and database."""
