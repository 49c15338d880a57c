"""The writer: collects commands, decides them in batches and appends what they decide."""
