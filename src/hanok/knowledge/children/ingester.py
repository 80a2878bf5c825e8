"""`python -m hanok.knowledge.children.ingester DESCRIPTOR`: one ingest, for the house at the other end of that socket.

The house says first what to ingest, then answers what models are asked. The report goes into the state folder.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import sys
import time

from hanok.errors import HanokError
from hanok.knowledge.client import open_store
from hanok.knowledge.ingesting.ingest import Ingest, ingest
from hanok.knowledge.ingesting.launch import CALLER, EXIT_BUSY, EXIT_DONE, EXIT_FAILED
from hanok.knowledge.ingesting.notes_store import Busy
from hanok.knowledge.ingesting.pipe import PipedModels, receive
from hanok.knowledge.ingesting.tools_launch import open_tools
from hanok.spec import Loaded

NICENESS = 10
"""Whoever answers calls goes first. The librarian is started before, as it answers, too."""


async def _work(descriptor: int) -> int:
    end = socket.socket(fileno=descriptor)
    end.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=end)
    told = await receive(reader)
    if told is None:
        return EXIT_FAILED
    loaded, base = pickle.loads(told)  # noqa: S301 - from whoever started us
    models = PipedModels(reader, writer)
    hearing = asyncio.create_task(models.hear())
    working = asyncio.create_task(_ingest(loaded, base, models))
    await asyncio.wait([hearing, working], return_when=asyncio.FIRST_COMPLETED)
    if not working.done():  # nobody waits for it any more
        working.cancel()
    await asyncio.wait([working])
    hearing.cancel()
    return EXIT_FAILED if working.cancelled() else working.result()


async def _ingest(loaded: Loaded, name: str, models: PipedModels) -> int:
    async def open_models() -> PipedModels:
        return models

    base = next(each for each in loaded.platform.knowledge if each.name == name)
    store = open_store(loaded)
    try:
        await store.reach()
        os.nice(NICENESS)
        order = Ingest(
            loaded=loaded, base=base, store=store, models=open_models, tools=open_tools, wall=time.time, caller=CALLER
        )
        await ingest(order)
    except Busy:
        return EXIT_BUSY
    except HanokError as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    finally:
        await store.aclose()
    return EXIT_DONE


def main() -> None:
    sys.exit(asyncio.run(_work(int(sys.argv[1]))))


if __name__ == "__main__":
    main()
