"""The read side of the loyalty ledger: views that are built from events and can be built again at any time."""
