"""`hanok knowledge`: documents to ask. What is in the bases, and the group of all commands about them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.markup import escape

from hanok.cli.knowledge_answer import ask
from hanok.cli.knowledge_ask import search
from hanok.cli.knowledge_ingest import MOST_SHOWN, form, ingest
from hanok.cli.knowledge_names import chosen, meant
from hanok.cli.terminal import FileOption, JsonOption, data, load_to_ask, new_table, print_json, talk
from hanok.errors import StartError

if TYPE_CHECKING:
    from hanok.knowledge.ingesting import Report
    from hanok.knowledge.store import Store
    from hanok.spec import Knowledge, Loaded

T = TypeVar("T")
NameArgument = Annotated[str, typer.Argument(help="The knowledge base.")]
knowledge = typer.Typer(help="Documents to ask: ingest them, look what is there, find passages.", no_args_is_help=True)


def list_bases(file: FileOption = None, as_json: JsonOption = False) -> None:
    """List the declared knowledge bases, and what is in them as of their last ingest.

    Example: `hanok knowledge list`
    """
    loaded = load_to_ask(file)
    rows = [_row(loaded, base) for base in loaded.platform.knowledge]
    if as_json:
        print_json({"knowledge": rows})
        return
    titles = ("NAME", "DOCUMENTS", "PASSAGES", "REFUSED", "LAST INGEST", "STATE")
    table = new_table(*titles, kept=("NAME", "LAST INGEST"), numbers=titles[1:4])
    for row in rows:
        numbers = [f"{row[name]:,}" for name in ("documents", "passages", "refused")]
        last = _time(row["last_ingest"]) if row["last_ingest"] else "never"
        table.add_row(escape(row["name"]), *numbers, last, row["state"])
    data.print(table if rows else "No knowledge base is declared; see docs/knowledge.md.")


def status(name: NameArgument, file: FileOption = None, as_json: JsonOption = False) -> None:
    """Show what is in a knowledge base, what has changed in its sources since, and what was refused.

    Example: `hanok knowledge status docs`
    """
    from hanok.knowledge.ingesting import Notes
    from hanok.knowledge.ingesting.survey import survey
    from hanok.knowledge.ingesting.tools_launch import open_tools

    loaded = load_to_ask(file)
    loaded.require("knowledge")
    base = chosen(loaded, name)
    notes = Notes(loaded.state, name)
    report, running = notes.last(), notes.is_claimed()
    found = _with_store(loaded, lambda store: survey(loaded, base, store, open_tools))
    if as_json:
        import msgspec

        last = None if report is None else form(report)
        print_json({"name": name, "running": running, **msgspec.to_builtins(found), "last": last})
        return
    rows = {
        "documents": f"{found.documents:,}",
        "passages": f"{found.passages:,}",
        "to do": f"{found.new:,} new, {found.changed:,} changed, {found.gone:,} gone, {found.unchanged:,} unchanged"
        + (f", {found.unsure:,} to be read" if found.unsure else "")
        + (f", {found.refused:,} refused and the same since" if found.refused else ""),
        "last ingest": _told(report, running),
    }
    table = new_table()
    for title, value in rows.items():
        table.add_row(title, escape(value))
    data.print(table)
    for each in found.silent:
        told = f"{each.message}\n  hint: {each.hint}" if each.hint else each.message
        talk.print(f"[red]✗[/] {escape(f'{each.source}: {told}')}", highlight=False, soft_wrap=True)
    _show_refused(report)


def delete(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete all passages of a knowledge base, also of one that is declared no more. Its documents stay where they are.

    Example: `hanok knowledge delete docs --yes`
    """
    from hanok.knowledge.ingesting import Notes

    loaded = load_to_ask(file)
    loaded.require("milvus")
    declared = any(base.name == name for base in loaded.platform.knowledge)
    found = _with_store(loaded, lambda store: _collections(loaded, name, store))
    if not found and not declared:
        raise StartError(f"there is no knowledge base {name!r}", hint=meant(loaded, name))
    if not yes:
        typer.confirm(f"Delete all passages of {name!r}?", abort=True, err=True)
    notes = Notes(loaded.state, name)
    notes.claim()
    try:
        _with_store(loaded, lambda store: _drop(store, found))
        notes.forget()
    finally:
        notes.release()
    if as_json:
        print_json({"deleted": name, "collections": len(found)})
    else:
        talk.print(f"Deleted {name!r}." if found else f"Nothing was in {name!r}.", highlight=False)
    if declared:
        talk.print("It is still declared: a server with `on_start` fills it again.", highlight=False)


def _with_store(loaded: Loaded, ask: Callable[[Store], Awaitable[T]]) -> T:
    from hanok.knowledge.client import open_store

    async def asked() -> T:
        store = open_store(loaded)
        try:
            return await ask(store)
        finally:
            await store.aclose()

    return asyncio.run(asked())


async def _collections(loaded: Loaded, name: str, store: Store) -> list[str]:
    from hanok.knowledge.recipe import alias_of

    alias = alias_of(loaded.platform.name, name)
    return [each for each in await store.list_collections() if each.startswith(f"{alias}_")]


async def _drop(store: Store, collections: list[str]) -> None:
    for each in collections:
        await store.drop(each)


def _row(loaded: Loaded, base: Knowledge) -> dict[str, Any]:
    from hanok.knowledge.ingesting import Notes

    notes = Notes(loaded.state, base.name)
    report = notes.last()
    return {
        "name": base.name,
        "description": base.description,
        "documents": report.total_documents if report else 0,
        "passages": report.total_passages if report else 0,
        "refused": len(report.refused) if report else 0,
        "last_ingest": report.completed_at if report else 0,
        "state": _state(report, running=notes.is_claimed()),
    }


def _state(report: Report | None, *, running: bool) -> str:
    if running:
        return "running"
    if report is None:
        return "empty"
    return "killed" if report.state == "running" else report.state


def _told(report: Report | None, running: bool) -> str:
    state = _state(report, running=running)
    if report is None:
        return "never"
    if running:
        rate = report.rate(time.time())
        return f"runs: {report.settled():,} of {report.documents:,} documents, {rate:,.0f} passages/s"
    ended = f"{state} at {_time(report.ended_at or report.started_at)}"
    return f"{ended}: {report.error}" if report.error else ended


def _show_refused(report: Report | None) -> None:
    refused = report.refused if report is not None else []
    for each in refused[: 5 * MOST_SHOWN]:
        told = each.message if each.path in each.message else f"{each.path}: {each.message}"
        talk.print(f"[yellow]![/] {escape(told)}", highlight=False, soft_wrap=True)
    if refused:
        talk.print(f"{len(refused):,} documents were refused.", highlight=False)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%MZ")


knowledge.command("list")(list_bases)
knowledge.command("ingest")(ingest)
knowledge.command("status")(status)
knowledge.command("search")(search)
knowledge.command("ask")(ask)
knowledge.command("delete")(delete)
