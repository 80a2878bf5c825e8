"""Vector stores of a house: what keeps them, what fills them, and the desk in front."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from hanok.batches import Shelf
from hanok.errors import DocumentRefused
from hanok.gateway import Reception, VectorStores
from hanok.knowledge.ingesting.run import EmbedUnits
from hanok.knowledge.library import Library
from hanok.knowledge.parsing.client import Parsers
from hanok.knowledge.parsing.refusals import MIB
from hanok.knowledge.ranking.terms import terms_of
from hanok.knowledge.values import Entry, Passage
from hanok.knowledge.vector_stores.filling import Filler
from hanok.knowledge.vector_stores.keeping import Keeping
from hanok.knowledge.vector_stores.record_store import Records
from hanok.ledger import KeyRing
from hanok.spec import Loaded, Platform, Recipe
from hanok.wire import Caller, ModelPath

IDLE_S = 60.0
"""How long a parser process waits for the next file."""


@dataclass(frozen=True, kw_only=True)
class Stacks:
    """Vector stores: nothing is opened or started before somebody makes one."""

    keeping: Keeping
    filler: Filler
    parsers: Parsers
    desk: VectorStores

    def change(self, platform: Platform) -> None:
        """Go on by what this platform declares."""
        self.keeping.change(platform)
        self.filler.change(platform)

    async def close(self) -> None:
        """Leave what is being read to who comes next."""
        await self.filler.close()
        await self.parsers.aclose()


def make_stacks(
    loaded: Loaded,
    *,
    library: Library,
    shelf: Shelf,
    reception: Reception,
    keys: KeyRing,
    models: ModelPath,
    serves: Callable[[], bool],
) -> Stacks:
    """Vector stores, filled with files of that shelf; whoever attached a file is charged for its vectors."""
    records, files, parsers = Records(loaded.state / "vector_stores.db"), _Shelved(shelf), Parsers(idle_s=IDLE_S)

    async def cut(entry: Entry, data: bytes, recipe: Recipe, embed: EmbedUnits) -> tuple[str, Sequence[Passage]]:
        parted = await parsers.parse_and_split(entry, data, recipe.parse, recipe.splits)
        return parted.title, await parted.passages(embed)

    def caller(key_id: str) -> Caller | None:
        key = keys.by_id(key_id)
        request_id = f"req_{secrets.token_hex(12)}"
        return None if key is None else reception.caller_for(key, request_id=request_id, session=None, run=None)

    filler = Filler(
        loaded.state,
        records=records,
        store=library.store,
        models=models,
        files=files,
        cut=cut,
        terms=terms_of,
        callers=caller,
        platform=loaded.platform,
        serves=serves,
        wall=time.time,
        monotonic=time.monotonic,
    )
    keeping = Keeping(
        records,
        library=library,
        files=files,
        platform=loaded.platform,
        wake=filler.wake,
        wall=time.time,
        random_hex=lambda digits: secrets.token_hex(digits // 2),
    )
    desk = VectorStores(keeping, library=library, reception=reception, wall=time.time)
    return Stacks(keeping=keeping, filler=filler, parsers=parsers, desk=desk)


class _Shelved:
    """Files on the shelf, as vector stores ask for them."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def filename(self, id_: str, owner: str) -> str:
        return (await self._shelf.find(id_, owner)).filename

    async def read(self, id_: str, owner: str, limit_bytes: int) -> bytes:
        file = await self._shelf.find(id_, owner)
        if file.bytes > limit_bytes:
            most = f"vector_stores.parse.max_file_mib is {limit_bytes / MIB:g}"
            message = f"{file.filename} has {file.bytes / MIB:,.1f} MiB; {most}"
            raise DocumentRefused(message, code="too_large")
        async with aclosing(self._shelf.content(file)) as pieces:
            return b"".join([piece async for piece in pieces])
