"""Requests out: objects in whatever `fsspec` reads, as S3, and files of this machine for `file://`.

A list is asked for anew each time, past every cache. An ETag, else a checksum or generation, else the time of change,
is an object's version. The web is left to `url` and `sitemap`, which are careful about where they are led.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib import import_module
from typing import Any

from pydantic import SecretStr

from hanok.errors import DocumentRefused, SourceUnreadable
from hanok.knowledge.source import Opened
from hanok.knowledge.sources.choice import Choice
from hanok.knowledge.sources.listing import Surroundings, entry_of, hand_over, place_of, too_large
from hanok.knowledge.sources.load_path import Files
from hanok.knowledge.sources.names import show, spell, unspell
from hanok.knowledge.values import Entry
from hanok.spec import Source

_TAGS = ("ETag", "etag", "generation", "md5Hash", "content_md5", "checksum", "cid")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
_LED_ELSEWHERE = frozenset({"http", "https", "reference"})
"""What follows links or references that others write."""
_FILES = ("file://", "local://")


def open_uri(source: Source, around: Surroundings) -> Opened:
    """What lies below a URI. Files of this machine are read as those of `path`: no pipes, no links out of the folder.

    Raises `SourceUnreadable`, as `Objects` does.
    """
    for scheme in _FILES:
        if source.place.startswith(scheme) and "::" not in source.place:
            return Files(source, around, place=source.place.removeprefix(scheme))
    return Objects(source, around)


class Objects:
    """The objects below a URI, each known by its own.

    Raises `SourceUnreadable` when what reads it is not installed, or the options are not its own.
    """

    def __init__(self, source: Source, around: Surroundings) -> None:
        self._source = source
        self._choice = Choice(include=source.include, exclude=source.exclude, known=around.known)
        self._system, self._root = _open(source)
        self._prefix = f"{source.place}#" if "::" in source.place else ""

    async def entries(self) -> AsyncIterator[Entry]:
        """Its objects. Raises `SourceUnreadable` when there is no such bucket, or nothing at all below the prefix."""
        async for entry in hand_over(self._source, self._list()):
            yield entry

    async def read(self, entry: Entry, limit_bytes: int) -> bytes:
        """An object's bytes."""
        return await asyncio.to_thread(self._read, entry, limit_bytes)

    async def aclose(self) -> None:
        """Let go of its connections, where the file system knows how."""
        await asyncio.to_thread(_close, self._system)

    def _list(self) -> Iterator[Entry]:
        for name, told in sorted(self._find().items()):
            below = self._below(name)
            if told.get("type") == "file" and not name.endswith("/") and (not below or self._choice.takes(below)):
                yield self._entry(name, told)

    def _find(self) -> Mapping[str, Mapping[str, Any]]:
        try:
            found = self._system.find(self._root, detail=True)
            there = found or self._system.exists(self._root)
        except Exception as error:  # noqa: BLE001 - every file system has errors of its own
            raise SourceUnreadable(f"{place_of(self._source)} cannot be listed: {_why(error)}") from None
        if not there:
            hint = "correct `uri`; nothing of what was read from it before is forgotten"
            raise SourceUnreadable(f"there is nothing at {place_of(self._source)}", hint=hint)
        return found

    def _below(self, name: str) -> str:
        return name[len(self._root) :].lstrip("/") if name.startswith(self._root) else name

    def _entry(self, name: str, told: Mapping[str, Any]) -> Entry:
        path = str(self._system.unstrip_protocol(name))
        uri = self._prefix + spell(path)
        return entry_of(self._source, uri=uri, path=show(path), version=_version(told))

    def _read(self, entry: Entry, limit_bytes: int) -> bytes:
        name = unspell(entry.uri.removeprefix(self._prefix))
        try:
            with self._system.open(name, "rb", cache_type="none") as file:
                data: bytes = b"" if _size(file) > limit_bytes else file.read(limit_bytes + 1)
                too_much = _size(file) > limit_bytes or len(data) > limit_bytes
        except FileNotFoundError:
            raise DocumentRefused(f"{entry.path} is no longer there", code="gone") from None
        except Exception as error:  # noqa: BLE001 - every file system has errors of its own
            raise DocumentRefused(f"{entry.path} cannot be read: {_why(error)}", code="unreadable") from None
        if too_much:
            raise too_large(entry.path, limit_bytes)
        return data


def _open(source: Source) -> tuple[Any, str]:
    """The file system and the path in it."""
    schemes = [part.partition("://")[0] for part in source.place.split("::")]
    if refused := next((scheme for scheme in schemes if scheme in _LED_ELSEWHERE), None):
        raise SourceUnreadable(f"{refused}:// is not read as `uri`", hint="declare it as `url` or `sitemap`")
    options = {name: _plain(value) for name, value in source.options.items()}
    fresh: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    try:
        fsspec: Any = import_module("fsspec")
        return fsspec.url_to_fs(source.place, **fresh, **options)
    except ImportError as error:
        raise SourceUnreadable(f"{schemes[0]}:// cannot be read: {error}", hint=_install(schemes[0], error)) from None
    except Exception as error:  # noqa: BLE001 - every file system has errors of its own
        hint = "correct `uri` and `options`; these are those of fsspec's file system"
        raise SourceUnreadable(f"{place_of(source)} cannot be opened: {_why(error)}", hint=hint) from None


def _install(scheme: str, error: ImportError) -> str:
    if error.name == "fsspec":
        return 'pip install "hanok[rag]"'
    return 'pip install "hanok[s3]"' if scheme in ("s3", "s3a") else "install what fsspec needs for it"


def _plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _version(told: Mapping[str, Any]) -> str:
    """What changes when an object does; "" when it is not told."""
    said = next((told[name] for name in (*_TAGS, *_TIMES) if told.get(name)), None)
    return "" if said is None else f"{said}-{told.get('size', '')}"


def _size(file: Any) -> int:
    return getattr(file, "size", None) or 0


def _close(system: Any) -> None:
    """End what s3fs keeps open; other file systems keep nothing, or end it by themselves."""
    session = getattr(system, "_s3", None)
    if session is not None:
        system.close_session(system.loop, session)


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
