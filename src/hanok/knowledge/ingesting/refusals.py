"""Documents that were refused, remembered so that one which did not change is not tried again.

What they are remembered by is the digest of their bytes, or the source's own version, together with the recipe and what
they were read as: another limit or another way of parsing is another chance.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from hanok.knowledge.ingesting.report import RefusedDocument
from hanok.knowledge.values import Entry
from hanok.spec import DocumentType


class _Remembered(msgspec.Struct, frozen=True, kw_only=True):
    recipe: str
    digest: str
    found: str
    refused: RefusedDocument
    type: DocumentType | None = None
    media_type: str | None = None


class Refusals:
    """By document. `changed` says whether they differ from what was kept."""

    def __init__(self, kept: bytes, *, recipe: str) -> None:
        self.changed = False
        self._recipe = recipe
        self._all = _read(kept)

    def of_version(self, entry: Entry) -> RefusedDocument | None:
        """Why this version of it was refused, as far as its source tells versions apart."""
        found = self._of(entry)
        return found.refused if found is not None and entry.version and found.found == entry.version else None

    def of_content(self, entry: Entry, digest: str) -> RefusedDocument | None:
        """Why a document of these bytes was refused."""
        found = self._of(entry)
        if found is None or found.digest != digest:
            return None
        self.remember(entry, digest, found.refused)
        return found.refused

    def remember(self, entry: Entry, digest: str, refused: RefusedDocument) -> None:
        told = _Remembered(
            recipe=self._recipe,
            digest=digest,
            found=entry.version,
            refused=refused,
            type=entry.type,
            media_type=entry.media_type,
        )
        self.changed = self.changed or self._all.get(entry.uri) != told
        self._all[entry.uri] = told

    def forget(self, document: str) -> None:
        if self._all.pop(document, None) is not None:
            self.changed = True

    def keep_only(self, documents: Collection[str], *, all_listed: bool) -> None:
        """Forget those that are gone, where that is certain."""
        if all_listed:
            for document in [each for each in self._all if each not in documents]:
                self.forget(document)

    def to_json(self) -> bytes:
        return msgspec.json.encode(self._all)

    def _of(self, entry: Entry) -> _Remembered | None:
        found = self._all.get(entry.uri)
        if found is None:
            return None
        told = (found.recipe, found.refused.path, found.type, found.media_type)
        return found if told == (self._recipe, entry.path, entry.type, entry.media_type) else None


def _read(kept: bytes) -> dict[str, _Remembered]:
    try:
        return msgspec.json.decode(kept, type=dict[str, _Remembered]) if kept else {}
    except msgspec.DecodeError:
        return {}  # a file of another version: what it knew is found out again
