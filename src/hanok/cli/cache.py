"""`hanok cache`: what is kept of answers, and forgetting it.

Asks the running server, because answers may be in its memory; answers on a Redis server are reached without it, too.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.markup import escape

from hanok.cli.server import Server
from hanok.cli.state import read_server
from hanok.cli.terminal import FileOption, JsonOption, data, load_to_ask, new_table, print_json
from hanok.errors import StartError
from hanok.spec import Loaded

_PATH = "/admin/cache"
cache = typer.Typer(name="cache", help="Answers that are kept and given again.", no_args_is_help=True)


def show(file: FileOption = None, as_json: JsonOption = False) -> None:
    """Show what is kept, by model, and how often it was found.

    Example: `hanok cache show`
    """
    loaded = load_to_ask(file)
    admin = _find_admin(loaded)
    shown = admin.ask("GET", _PATH) if admin else asyncio.run(_count(loaded))
    if as_json:
        print_json(shown)
        return
    titles = ("ENTRIES", "MIB", "HITS", "SEMANTIC", "MISSES")
    table = new_table("MODEL", *titles, kept=("MODEL",), numbers=titles)
    for row in shown["models"]:
        counts = [f"{row[name]:,}" if name in row else "–" for name in ("hits", "semantic", "misses")]
        table.add_row(escape(row["model"]), f"{row['entries']:,}", f"{row['bytes'] / 2**20:,.1f}", *counts)
    data.print(table if shown["models"] else "No model has a cache, or nothing is kept.")


def clear(
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only this model's answers.")] = None,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget kept answers, of all models or of one.

    Example: `hanok cache clear --model local`
    """
    loaded = load_to_ask(file)
    if model is not None and loaded.platform.model(model) is None:
        known = ", ".join(each.name for each in loaded.platform.models)
        raise StartError(f"no model is called {model!r}", hint=f"models here: {known}")
    admin = _find_admin(loaded)
    path = _PATH + (f"?model={quote(model, safe='')}" if model else "")
    cleared = admin.ask("DELETE", path) if admin else asyncio.run(_clear(loaded, model))
    if as_json:
        print_json(cleared)
    else:
        data.print(f"{cleared['cleared']:,} answers forgotten.")


def _find_admin(loaded: Loaded) -> Server | None:
    """The way to the running server; None where the answers are reached without it. Raises `StartError`."""
    in_redis = loaded.platform.cache.store == "redis"
    server, key = read_server(loaded.state), loaded.platform.gateway.admin_key
    if in_redis and (server is None or key is None):
        loaded.require("cache")
        loaded.require("ledger")
        return None
    if server is None:
        raise StartError("no server runs here, so nothing is kept in memory", hint="start one with `hanok up`")
    return Server.of_admin(loaded)


async def _count(loaded: Loaded) -> dict[str, Any]:
    from hanok.caches import open_store

    store = open_store(loaded.platform, wall=time.time)
    try:
        found = await store.count()
    finally:
        await store.aclose()
    if found is None:
        raise _away()
    rows = [{"model": model, "entries": each.entries, "bytes": each.bytes} for model, each in sorted(found.items())]
    return {"store": "redis", "models": rows}


async def _clear(loaded: Loaded, model: str | None) -> dict[str, Any]:
    from hanok.caches import open_store

    store = open_store(loaded.platform, wall=time.time)
    try:
        cleared = await store.clear(model)
    finally:
        await store.aclose()
    if cleared is None:
        raise _away()
    return {"model": model, "cleared": cleared}


def _away() -> StartError:
    return StartError("the cache's Redis does not answer", hint="see `cache.redis` and `ledger.redis` in platform.yaml")


cache.command("show")(show)
cache.command("clear")(clear)
