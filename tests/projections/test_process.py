"""The read side's process."""

import subprocess
import sys

from tests.running import ROOT


def test_it_loads_nothing_that_serves_or_decides() -> None:
    """It starts with each server, and again when it has died: soon, and in little memory."""
    loaded = "import sys, projections.standalone; print(*{'cel', 'grpc', 'typer'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
