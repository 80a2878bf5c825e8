"""Programs that heed Ctrl-C: what a shell starts in the background ignores it, and so would all that it starts.

The signal is taken back in the program's own process, not between fork and exec: a test's process may hold libraries
whose threads do not survive a fork.
"""

from __future__ import annotations

import sys

_TAKE_BACK = (
    "import os, signal, sys\n"
    "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


def heeding(*arguments: str) -> list[str]:
    """The command that runs Python with these arguments so that it heeds SIGINT."""
    return [sys.executable, "-c", _TAKE_BACK, *arguments]
