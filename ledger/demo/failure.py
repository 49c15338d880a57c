"""What ends the demo early."""


class DemoFailed(Exception):
    """The demo cannot go on. The message is one line and says why."""
