"""Files in: a file, a folder, or what fits a glob.

A folder is walked without recursion, in the order of its paths, and nothing but plain files is ever opened: a pipe or
a device would hang whoever reads it. A link counts as the file that it leads to while that is within the folder; a
link to a folder is not followed, since what it leads to is listed where it lies. A file is opened name by name from
the folder down, so that nothing can be exchanged for a link between looking and reading.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from posixpath import join, normpath

from hanok.errors import DocumentRefused, SourceUnreadable
from hanok.knowledge.sources.choice import Choice
from hanok.knowledge.sources.globs import MAGIC
from hanok.knowledge.sources.listing import Surroundings, entry_of, hand_over, too_large
from hanok.knowledge.sources.names import show, spell, unspell
from hanok.knowledge.values import Entry
from hanok.spec import Source

_QUIET = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class Files:
    """The files at a path that is declared relative to platform.yaml. Their version is size and time of change."""

    def __init__(self, source: Source, around: Surroundings, *, place: str | None = None, scheme: str = "path") -> None:
        declared = source.place if place is None else place
        base, glob = _split(declared, around.folder)
        self._source = source
        self._place = around.folder / base
        self._prefix = f"{scheme}:"
        self._base = "" if (plain := normpath(base)) == "." else plain
        self._choice = Choice(include=source.include, exclude=source.exclude, known=around.known, place=glob)

    async def entries(self) -> AsyncIterator[Entry]:
        """Its files. Raises `SourceUnreadable` when the place, or a folder below it, is not there or not readable."""
        async for entry in hand_over(self._source, self._list()):
            yield entry

    async def read(self, entry: Entry, limit_bytes: int) -> bytes:
        """A file's bytes."""
        return await asyncio.to_thread(self._read, entry, limit_bytes)

    async def aclose(self) -> None:
        """Nothing is held."""

    def _list(self) -> Iterator[Entry]:
        status = self._stat()
        if stat.S_ISREG(status.st_mode):
            yield self._entry("", status)
        elif stat.S_ISDIR(status.st_mode):
            yield from (self._entry(below, status) for below, status in _walk(self._place, self._choice))
        else:
            raise SourceUnreadable(f"{self._place} is neither a file nor a folder", hint="correct `path`")

    def _stat(self) -> os.stat_result:
        try:
            return self._place.stat()
        except (OSError, ValueError) as error:
            hint = "correct `path`; nothing of what was read from it before is forgotten"
            raise SourceUnreadable(f"{show(str(self._place))} cannot be looked at: {_why(error)}", hint=hint) from None

    def _entry(self, below: str, status: os.stat_result) -> Entry:
        name = join(self._base, below) if below else self._base
        version = f"{status.st_size}-{status.st_mtime_ns}"
        return entry_of(self._source, uri=self._prefix + spell(name), path=show(name), version=version)

    def _read(self, entry: Entry, limit_bytes: int) -> bytes:
        name = unspell(entry.uri.removeprefix(self._prefix))
        below = name.removeprefix(self._base).strip("/")
        try:
            folder, real = _place_within(self._place, below)
            with closing(_File(folder, real)) as file:
                return file.read(limit_bytes, entry.path)
        except FileNotFoundError:
            raise DocumentRefused(f"{entry.path} is no longer there", code="gone") from None
        except (OSError, ValueError) as error:
            raise DocumentRefused(f"{entry.path} cannot be read: {_why(error)}", code="unreadable") from None


class _File:
    """An open file below a folder, opened one name after the other without following links."""

    def __init__(self, folder: str, names: list[str]) -> None:
        self._descriptor = os.open(folder, _QUIET | os.O_DIRECTORY)
        for place, name in enumerate(names, 1):
            more = 0 if place == len(names) else os.O_DIRECTORY
            self._step(name, _QUIET | more)

    def read(self, limit_bytes: int, path: str) -> bytes:
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise DocumentRefused(f"{path} is no plain file", code="unreadable")
        with os.fdopen(self._descriptor, "rb", closefd=False) as file:
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise too_large(path, limit_bytes)
        return data

    def close(self) -> None:
        os.close(self._descriptor)

    def _step(self, name: str, flags: int) -> None:
        before = self._descriptor
        try:
            if not flags & os.O_DIRECTORY and not stat.S_ISREG(os.lstat(name, dir_fd=before).st_mode):
                raise OSError("it is no plain file")
            self._descriptor = os.open(name, flags, dir_fd=before)
        finally:
            os.close(before)


def _split(place: str, folder: Path) -> tuple[str, str | None]:
    """A declared path as the folder or file that is certain, and the glob below it if there is one."""
    parts = place.split("/")
    magic = [index for index, part in enumerate(parts) if MAGIC & set(part)]
    if not magic or os.path.lexists(folder / place):
        return place, None
    base = "/".join(parts[: magic[0]])
    return base or ("/" if place.startswith("/") else "."), "/".join(parts[magic[0] :])


def _walk(root: Path, choice: Choice) -> Iterator[tuple[str, os.stat_result]]:
    """Files below a folder with what the system says of them, by path."""
    real = os.path.realpath(root)
    waiting = [""]
    while waiting:
        below = waiting.pop()
        if below.endswith("/") or not below:
            waiting += reversed(_children(root, below, real, choice))
        else:
            with suppress(FileNotFoundError):
                yield below, (root / below).stat()


def _children(root: Path, below: str, real: str, choice: Choice) -> list[str]:
    """What is taken or entered in a folder, sorted; folders end in `/`, which sorts them among the paths."""
    try:
        with os.scandir(root / below) as found:
            names = [_child(item, below, real, choice) for item in found]
    except FileNotFoundError:
        if below:
            return []
        raise SourceUnreadable(f"{show(str(root))} is no longer there") from None
    except OSError as error:
        message = f"the folder {show(str(root / below))} cannot be listed: {_why(error)}"
        raise SourceUnreadable(message, hint="let Hanok read it, or leave it out with `exclude`") from None
    return sorted(name for name in names if name)


def _child(item: os.DirEntry[str], below: str, real: str, choice: Choice) -> str:
    path = below + item.name
    if item.is_dir(follow_symlinks=False):
        return f"{path}/" if choice.enters(path) else ""
    if not choice.takes(path):
        return ""
    plain = _leads_within(item, real) if item.is_symlink() else item.is_file(follow_symlinks=False)
    return path if plain else ""


def _leads_within(item: os.DirEntry[str], real: str) -> bool:
    """Whether a link leads to a plain file within the folder."""
    try:
        return item.is_file() and _is_within(os.path.realpath(item.path), real)
    except OSError:
        return False


def _place_within(place: Path, below: str) -> tuple[str, list[str]]:
    """A file's folder that is declared, and the names from there, all links resolved.

    Raises `DocumentRefused` when it lies elsewhere.
    """
    real = os.path.realpath(place / below, strict=True)
    folder = os.path.realpath(place) if below else os.path.dirname(real)  # noqa: PTH120 - names that are no UTF-8
    if not _is_within(real, folder):
        raise DocumentRefused(f"{show(below)} is a link that leads out of its folder", code="unreadable")
    return folder, real[len(folder) :].strip("/").split("/")


def _is_within(real: str, folder: str) -> bool:
    return real.startswith(folder.rstrip("/") + "/")


def _why(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)
