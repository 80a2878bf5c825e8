"""`python leash.py PARENT GRACE_S COMMAND …`: run a command that ends when the process PARENT ends.

On Linux the kernel is asked to send SIGTERM when the parent dies, even by SIGKILL (prctl(2), PR_SET_PDEATHSIG; it
outlives the exec). Who does not listen to that is killed after GRACE_S seconds, with all of its own children, by a
small guard that waits for the parent beside it (pidfd_open(2)). Elsewhere the command simply runs.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys

PR_SET_PDEATHSIG = 1
GRACE_S = 10.0


def on_a_leash(command: list[str]) -> list[str]:
    """The command on a leash that this process holds. Run by its path: the child needs nothing of ours to start."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(GRACE_S), *command]


def tie_to_parent(parent: int, grace_s: float) -> None:
    """Ask to be ended with the parent."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    with contextlib.suppress(OSError, AttributeError):  # a kernel without pidfd_open, or a parent that is gone
        _leave_guard(os.pidfd_open(parent), grace_s)
    if os.getppid() != parent:  # it died in between
        sys.exit(1)


def _leave_guard(parent: int, grace_s: float) -> None:
    """Fork a guard. `parent` is a descriptor of the parent's."""
    guarded = os.getpid()
    own = os.pidfd_open(guarded)
    if os.fork() == 0:
        try:
            _guard(parent, own, guarded, grace_s)
        finally:
            os._exit(0)
    os.close(parent)
    os.close(own)


def _guard(parent: int, own: int, guarded: int, grace_s: float) -> None:
    """Wait for whoever ends first. Where it is the parent, see to it that the other ends too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):  # who reads what the command says waits for the last that could say something
        os.dup2(nowhere, stream)
    ended, _, _ = select.select([parent, own], [], [])
    if parent not in ended:
        return
    select.select([own], [], [], grace_s)
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if os.getpgrp() == guarded else os.kill)(guarded, signal.SIGKILL)


def main() -> None:
    parent, grace_s, *command = sys.argv[1:]
    tie_to_parent(int(parent), float(grace_s))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
