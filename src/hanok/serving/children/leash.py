"""`python -m hanok.serving.children.leash COMMAND …`: run a command that ends when its parent ends.

On Linux the kernel is asked to send SIGTERM when the parent dies, even by SIGKILL (prctl(2), PR_SET_PDEATHSIG; it
outlives the exec). Elsewhere the command simply runs.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tie_to_parent() -> None:
    """Ask to be ended with the parent."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died in between
        sys.exit(1)


def main() -> None:
    tie_to_parent()
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
