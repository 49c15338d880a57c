"""A process that is tied to its parent."""

import os
import subprocess
import sys

from tests.running import ROOT

SLEEPER = "import signal; print('up', flush=True); signal.pause()"

PARENT = f"""
import os, signal, subprocess, sys
tied = [sys.executable, "-m", "ledger.demo.tied", str(os.getpid())]
child = subprocess.Popen([*tied, sys.executable, "-c", {SLEEPER!r}], stdout=subprocess.PIPE)
child.stdout.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_ends_when_its_parent_is_killed() -> None:
    """The pipe's other end is the child's alone in the end, and closes with it."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as lifeline:
        subprocess.run(
            [sys.executable, "-c", PARENT.replace("stdout=", f"pass_fds=[{writing}], stdout=")],
            cwd=ROOT,
            pass_fds=[writing],
            check=False,
        )
        os.close(writing)
        assert lifeline.read() == ""


def test_it_does_not_start_when_its_parent_is_gone_already() -> None:
    """Parent 1 is nobody's here."""
    done = subprocess.run(
        [sys.executable, "-m", "ledger.demo.tied", "1", sys.executable, "-c", "print('up')"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
