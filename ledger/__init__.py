"""The write side of the loyalty ledger, and its gRPC API."""
