"""Earning rules, one file each."""
