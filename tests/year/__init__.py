"""The real year by the rules of a program, in the ledger and in the independent model."""
