"""Random commands against an independent model."""
