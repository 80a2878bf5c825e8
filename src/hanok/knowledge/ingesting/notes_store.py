"""What is kept of a base's ingests in the state folder: `knowledge/NAME/`, with who runs one now, and the last report.

None of it decides what is in the base: it may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

import msgspec

from hanok.errors import KnowledgeError, StoreError
from hanok.knowledge.ingesting.report import RefusedDocument, Report

LOOK_PAUSES_S = (0.001, 0.004, 0.016, 0.064)
"""Between tries to have the lock, which somebody who looks has for microseconds."""
_LOCK, _LAST, _LAST_REFUSED, _REFUSED = "lock", "last.json", "last_refused.json", "refused.json"


class Notes:
    """The folder of one base."""

    def __init__(self, state: Path, base: str) -> None:
        self.folder = state / "knowledge" / base
        self._base = base
        self._lock = -1
        self._kept_refused: list[RefusedDocument] | None = None

    def claim(self) -> None:
        """Be the one who ingests, until `release` or the end of this process. Raises `Busy` when another is.

        Blocks for a tenth of a second at most. Raises `StoreError` when nothing can be written or locked there.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written: {error.strerror}") from error
        try:
            is_ours = self._lock_soon(lock)
        except BaseException:
            os.close(lock)
            raise
        if not is_ours:
            os.close(lock)
            raise Busy(self._base, self.last())
        self._lock = lock

    def _lock_soon(self, lock: int) -> bool:
        """Whether it could be had: those who only look hold it, too, for a moment that is waited out."""
        for pause_s in LOOK_PAUSES_S:
            if self._try_lock(lock, fcntl.LOCK_EX):
                return True
            time.sleep(pause_s)
        return self._try_lock(lock, fcntl.LOCK_EX)

    def _try_lock(self, lock: int, how: int) -> bool:
        """Raises `StoreError` where the folder's file system takes no locks."""
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise StoreError(f"{self.folder / _LOCK} cannot be locked: {error.strerror}") from error
        return True

    def release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def is_claimed(self) -> bool:
        """Whether somebody ingests now. Many may look at once; where nothing can be locked, nobody does."""
        try:
            lock = os.open(self.folder / _LOCK, os.O_RDWR)
        except OSError:
            return False
        try:
            return not self._try_lock(lock, fcntl.LOCK_SH)
        except StoreError:
            return False
        finally:
            os.close(lock)

    def last(self) -> Report | None:
        """The last report, or that of the ingest that runs."""
        try:
            report = msgspec.json.decode((self.folder / _LAST).read_bytes(), type=Report)
        except (OSError, msgspec.DecodeError):
            return None
        report.refused = report.refused or self._last_refused()
        return report

    def _last_refused(self) -> list[RefusedDocument]:
        try:
            return msgspec.json.decode((self.folder / _LAST_REFUSED).read_bytes(), type=list[RefusedDocument])
        except (OSError, msgspec.DecodeError):
            return []

    def changed_at(self) -> int:
        """When the report was written last, as a number to compare; 0 when there is none."""
        try:
            return (self.folder / _LAST).stat().st_mtime_ns
        except OSError:
            return 0

    def keep(self, report: Report) -> None:
        """What was refused, which may be much, is written when it has changed. Raises `StoreError`."""
        refused = list(report.refused)
        if refused != self._kept_refused:
            self._write(_LAST_REFUSED, msgspec.json.encode(refused))
            self._kept_refused = refused
        self._write(_LAST, msgspec.json.encode(msgspec.structs.replace(report, refused=[])))

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
        for name in (_LAST, _LAST_REFUSED, _REFUSED):
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
