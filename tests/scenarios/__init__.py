"""The scenario book, through the API: each test is named after the scenario that it proves."""
