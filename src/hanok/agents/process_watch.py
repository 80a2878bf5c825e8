"""Whether a worker's process is still there, told from the worker's name: what a killed one had need not wait for its
lease. Only a process of the same machine, boot and container can be seen; of all others their leases tell.

Formats: Linux, `/proc/sys/kernel/random/boot_id`, `/proc/self/ns/pid`, fields 3 and 22 of `/proc/PID/stat`.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_PROC = Path("/proc")
_GONE = ("Z", "X", "x")
"""States of a process that does nothing any more."""


def name_worker() -> str:
    """A name that nobody else has, with this process where it can be found again: `worker_RANDOM@WHERE.PID.START`."""
    name, process = f"worker_{secrets.token_hex(8)}", _this_process()
    return name if process is None else f"{name}@{process}"


def is_own(worker: str) -> bool:
    """Whether it is certain that this worker is of this process."""
    return worker.partition("@")[2] == _this_process()


def is_dead(worker: str) -> bool:
    """Whether it is certain that this worker's process has ended."""
    where, _, process = worker.partition("@")[2].partition(".")
    pid, _, started = process.partition(".")
    if not where or where != _here() or not pid.isdecimal():
        return False
    return _started(int(pid)) != started


def _this_process() -> str | None:
    pid = os.getpid()
    where, started = _here(), _started(pid)
    return None if where is None or started is None else f"{where}.{pid}.{started}"


def _here() -> str | None:
    """This machine since its boot, and the space in which its processes are numbered."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}-{(_PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """When a process started, in ticks since the boot; None when there is none of that number."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in _GONE else fields[19]
