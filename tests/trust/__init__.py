"""Who may call, over what, and what is said to whom: with a real server, real clients and a real database."""
