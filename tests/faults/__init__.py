"""Crashes, cut connections and retries."""
