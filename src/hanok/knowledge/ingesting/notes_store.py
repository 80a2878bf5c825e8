"""What is kept of a base's ingests in the state folder: `knowledge/NAME/`, with who runs one now, and the last report.

None of it decides what is in the base: it may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

import msgspec

from hanok.errors import KnowledgeError, StoreError
from hanok.knowledge.ingesting.report import Report

_LOCK, _LAST, _REFUSED = "lock", "last.json", "refused.json"


class Notes:
    """The folder of one base."""

    def __init__(self, state: Path, base: str) -> None:
        self.folder = state / "knowledge" / base
        self._base = base
        self._lock = -1

    def claim(self) -> None:
        """Be the one who ingests, until `release` or the end of this process. Raises `Busy` when another is."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise Busy(self._base, self.last()) from None
        self._lock = lock

    def release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def is_claimed(self) -> bool:
        """Whether somebody ingests now."""
        try:
            lock = os.open(self.folder / _LOCK, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(lock)
        return False

    def last(self) -> Report | None:
        """The last report, or that of the ingest that runs."""
        try:
            return msgspec.json.decode((self.folder / _LAST).read_bytes(), type=Report)
        except (OSError, msgspec.DecodeError):
            return None

    def changed_at(self) -> int:
        """When the report was written last, as a number to compare; 0 when there is none."""
        try:
            return (self.folder / _LAST).stat().st_mtime_ns
        except OSError:
            return 0

    def keep(self, report: Report) -> None:
        """Raises `StoreError`."""
        self._write(_LAST, msgspec.json.encode(report))

    def refusals(self) -> bytes:
        try:
            return (self.folder / _REFUSED).read_bytes()
        except OSError:
            return b""

    def keep_refusals(self, refusals: bytes) -> None:
        """Raises `StoreError`."""
        self._write(_REFUSED, refusals)

    def forget(self) -> None:
        """Keep nothing of the ingests before."""
        for name in (_LAST, _REFUSED):
            with contextlib.suppress(OSError):
                (self.folder / name).unlink(missing_ok=True)

    def _write(self, name: str, data: bytes) -> None:
        new = self.folder / f"{name}.new"
        try:
            new.write_bytes(data)
            new.replace(self.folder / name)
        except OSError as error:
            raise StoreError(f"{self.folder / name} cannot be written: {error.strerror}") from error


class Busy(KnowledgeError):
    """Somebody ingests this base already."""

    def __init__(self, base: str, report: Report | None) -> None:
        who = ""
        if report is not None and report.process:
            who = f" in process {report.process}; {report.settled():,} of {report.documents:,} documents are done"
        super().__init__(f"{base!r} is being ingested already{who}", hint=f"look at it: hanok knowledge status {base}")
