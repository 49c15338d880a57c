"""Runs a command that gets SIGTERM when the process that started it is gone, however that ended.

python -m ledger.demo.tied PARENT_PID COMMAND [ARGUMENT...]
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; it survives exec


def main() -> None:
    """Ties this process to its parent and becomes the command."""
    parent, *command = sys.argv[1:]
    if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        sys.exit("the kernel does not tie processes to their parents")
    if os.getppid() != int(parent):  # it was gone before
        return
    os.execv(command[0], command)  # noqa: S606 - a list of our own


if __name__ == "__main__":
    main()
