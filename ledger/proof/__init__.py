"""Proofs that the log is what it was: nothing here needs the server, the database or anything else of ours."""
