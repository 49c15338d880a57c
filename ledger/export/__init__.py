"""Exports of the log and the views, for auditors and other programs: streamed, in constant memory. See ledger.proof."""
