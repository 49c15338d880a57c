"""`loyalty`, as somebody types it, without the time that a process takes to start."""

import os

from typer.testing import CliRunner

from server import app


def loyalty(*arguments: object, status: int = 0, **environment: str) -> str:
    """What a command prints that ends with a status; of this process's environment it sees no setting of ours."""
    hidden: dict[str, str | None] = {name: None for name in os.environ if name.startswith("LOYALTY_")}
    result = CliRunner().invoke(app, [*map(str, arguments)], env={**hidden, **environment})
    assert result.exit_code == status, result.output
    return result.output
