"""Files that a process locks while it lives, so that others know which ones a dead process left.

A new file appears locked: it is made and locked under another name, and then renamed, so that nobody who looks for what
was left finds it in between. A left file is one's own once it is locked, and was not deleted meanwhile.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def make_locked(path: Path, *, content: bytes = b"", flags: int = 0) -> int:
    """The descriptor of a new file with a suffix other than `.new`, opened with these flags too. Raises `OSError`."""
    new = path.with_suffix(".new")
    file = os.open(new, os.O_CREAT | os.O_RDWR | flags, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(file, content)
        new.rename(path)
    except OSError:
        os.close(file)
        raise
    return file


def take_left(path: Path) -> int:
    """Lock a file that a dead process left: its descriptor, or -1 when its process lives, or somebody has taken it."""
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return -1
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file).st_nlink:
            return file
    except OSError:
        pass  # locked
    os.close(file)
    return -1


def claim(path: Path) -> int:
    """Hold a file while this process lives: its descriptor, or -1 when another process holds it, or it cannot be."""
    try:
        path.parent.mkdir(exist_ok=True)
        file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError:
        return -1
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return -1
    return file
