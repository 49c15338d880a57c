"""Progress that nobody looks at."""


class Silent:
    """Says nothing."""

    def stage(self, name: str, total: int = 0) -> None:
        """Nothing."""

    def advance(self, steps: int) -> None:
        """Nothing."""
