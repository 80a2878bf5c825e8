"""Where passages are kept: the seam. `stores/` has those that keep, `client` the one that asks the librarian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hanok.knowledge.values import Collection, Head, Hit, Query, Row, Shape


class Store(Protocol):
    """Collections of passages. All raise `StoreError` when it cannot be reached or refuses.

    Names of collections and aliases are letters, digits and `_`, beginning with a letter.
    """

    async def describe(self, name: str) -> Collection | None:
        """The collection of that name, or that the alias stands for."""
        ...

    async def list_collections(self) -> list[str]:
        """Names of all collections, aliases not among them."""
        ...

    async def create(self, name: str, shape: Shape) -> None:
        """Make a collection; one that is there with the same shape stays. Raises `StoreError` when another is."""
        ...

    async def drop(self, name: str) -> None:
        """Remove a collection with all its passages, and its aliases. Nothing when there is none."""
        ...

    async def point(self, alias: str, name: str) -> None:
        """Let the alias stand for that collection, from one moment to the next."""
        ...

    async def write(self, name: str, rows: Sequence[Row]) -> None:
        """Write rows over those of the same id. They are kept, also by a process that is killed, when this returns.

        Raises `StoreError` when a vector has other dimensions than the collection.
        """
        ...

    async def remove(self, name: str, *, document: str, store: str = "", keep: str | None = None) -> None:
        """Remove a document's passages; those of the version with the digest `keep` stay."""
        ...

    async def remove_store(self, name: str, store: str) -> None:
        """Remove all passages of one vector store."""
        ...

    async def heads(self, name: str, *, store: str = "") -> list[Head]:
        """The heads of all documents, several where an older version is still there. Nothing without collection."""
        ...

    async def passages(
        self, name: str, *, document: str, digest: str, first: int, last: int, readers: Sequence[str], store: str = ""
    ) -> list[Hit]:
        """The passages of a document from ordinal `first` to `last`, in order; scores are 0."""
        ...

    async def search(self, name: str, query: Query) -> list[Hit]:
        """The best `k` passages, the best first. Raises `RequestError` when the filter cannot be understood."""
        ...

    async def aclose(self) -> None:
        """Let go of it."""
        ...
