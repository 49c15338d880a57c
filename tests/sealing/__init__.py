"""The sealer, the notary and the keys."""
