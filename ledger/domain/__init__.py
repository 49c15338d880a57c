"""The rules of the ledger: pure functions of state, command and program. No I/O, no clock, no chance."""
