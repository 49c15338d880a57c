"""The demo: a year of real grocery baskets through the API, and the proof of every balance."""
