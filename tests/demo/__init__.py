"""Tests of `loyalty demo`, on the real files."""
