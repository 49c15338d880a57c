"""The demo: a real year of grocery baskets through the API, and the proof that the ledger holds exactly that."""
