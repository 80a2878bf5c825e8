"""Notices that a file was written: what is kept of it is its mark, and a mark that differs means another file.

A mark follows symbolic links, so that files that are replaced (as most editors do) and links that are turned to
another folder (as Kubernetes mounts a ConfigMap) are noticed as well as files that are written in place.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

SETTLE_S = 0.05
MOST_LOOKS = 20
Mark = tuple[int, int, int, int, int]


def look(file: Path) -> Mark | None:
    """The file's mark now; None when there is no such file."""
    try:
        found = os.stat(file)  # noqa: PTH116 - the cheaper call, made every second
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def settled(file: Path) -> Mark | None:
    """The file's mark when nobody seems to write to it: it is the same for `SETTLE_S` seconds.

    Half a file may be a valid one. Blocks for up to a second; whoever writes longer than that is not waited for.
    """
    mark = look(file)
    for _ in range(MOST_LOOKS):
        time.sleep(SETTLE_S)
        before, mark = mark, look(file)
        if mark == before and mark is not None:
            break
    return mark
