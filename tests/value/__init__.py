"""Models of what members will buy."""
