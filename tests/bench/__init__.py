"""The bench: speed and memory against the goals, as ratios within one run. See `python -m tests.bench --help`."""
