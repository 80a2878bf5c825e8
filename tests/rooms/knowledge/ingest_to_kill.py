"""`python -m tests.rooms.knowledge.ingest_to_kill FOLDER EDITION`: an ingest into Milvus Lite, in one process to kill.

It says a line before and after each call that writes. EDITION is which texts there are.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from hanok.knowledge.stores.milvus import MilvusStore
from tests.rooms.knowledge.shelves import Base, Texts


def texts(edition: int) -> dict[str, str]:
    """Two documents in three change with each edition, one comes and one goes; one is longer than a write."""
    found = {
        f"{number}.txt": "\n".join(f"line {line} of {number}.{edition if number % 3 else 0}" for line in range(number))
        for number in range(1 + edition, 40 + edition)
    }
    return found | {"long.txt": "\n".join(f"line {number} of edition {edition}" for number in range(900))}


class Telling(MilvusStore):
    async def write(self, name: str, rows: Any) -> None:
        print("before", flush=True)
        await super().write(name, rows)
        print("after", flush=True)

    async def remove(self, name: str, **what: Any) -> None:
        print("before", flush=True)
        await super().remove(name, **what)
        print("after", flush=True)

    async def point(self, alias: str, name: str) -> None:
        print("before", flush=True)
        await super().point(alias, name)
        print("after", flush=True)


async def main(folder: Path, edition: int) -> None:
    store = Telling(str(folder / "passages.db"))
    base = Base(folder, Texts(texts(edition)), store=store)
    await base.ingest()
    await store.aclose()
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
