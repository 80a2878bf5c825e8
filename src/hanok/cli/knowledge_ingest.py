"""`hanok knowledge ingest`: documents into a knowledge base, in this process.

Models are those of the running server, else of a house started when the first passage has to be embedded. Passages go
through the librarian either way.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hanok.cli.ask import over_http
from hanok.cli.knowledge_names import chosen
from hanok.cli.state import local_caller, read_server
from hanok.cli.terminal import FileOption, JsonOption, load_to_ask, print_json, talk
from hanok.errors import HanokError

if TYPE_CHECKING:
    from hanok.knowledge.ingesting import Report
    from hanok.spec import Knowledge, Loaded
    from hanok.wire import ModelPath

MOST_SHOWN = 20


def ingest(
    name: Annotated[str | None, typer.Argument(help="The knowledge base.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every declared base, one after the other.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make it anew beside the one that answers meanwhile.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 also when documents were refused.")] = False,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a knowledge base up to its sources. What has not changed is not read again.

    A run that was stopped or killed is taken up by the next. Exit code 1 says that something failed; documents that
    were refused are told, and fail with --strict.

    Example: `hanok knowledge ingest docs`
    """
    if (name is None) == (not all_):
        raise typer.BadParameter("name one knowledge base, or use --all", param_hint="NAME")
    loaded = load_to_ask(file)
    for part in ("knowledge", "milvus"):
        loaded.require(part)
    bases = loaded.platform.knowledge if name is None else [chosen(loaded, name)]
    try:
        reports = asyncio.run(_ingest_all(loaded, bases, rebuild=rebuild))
    except KeyboardInterrupt:
        again = " ".join(["hanok knowledge ingest", name or "--all", *(["--rebuild"] if rebuild else [])])
        talk.print(f"Stopped. What was ingested is kept; to go on: {again}", highlight=False, soft_wrap=True)
        raise
    if as_json:
        print_json({"ingests": [form(report) for report in reports]})
    if any(report.state != "done" or report.silent or (strict and report.refused) for report in reports):
        raise typer.Exit(1)


async def _ingest_all(loaded: Loaded, bases: Sequence[Knowledge], *, rebuild: bool) -> list[Report]:
    from hanok.knowledge.client import open_store

    store = open_store(loaded)
    reports: list[Report] = []
    try:
        async with contextlib.AsyncExitStack() as stack:
            for base in bases:
                reports.append(await _ingest_one(loaded, base, store, stack, rebuild=rebuild))
                tell(reports[-1])
    finally:
        await store.aclose()
    return reports


async def _ingest_one(
    loaded: Loaded, base: Knowledge, store: Any, stack: contextlib.AsyncExitStack, *, rebuild: bool
) -> Report:
    from hanok.knowledge.embedding import embedder_of
    from hanok.knowledge.ingesting import Ingest, Report, ingest
    from hanok.knowledge.ingesting.tools_launch import open_tools

    seen: list[Report] = []
    try:
        with _progress(base.name) as show:

            def told(report: Report) -> None:
                seen[:] = [report]
                show(report)

            order = Ingest(
                loaded=loaded,
                base=base,
                store=store,
                models=_models(loaded, embedder_of(loaded.platform, base).name, stack),
                tools=open_tools,
                wall=time.time,
                rebuild=rebuild,
            )
            return await ingest(order, told=told)
    except HanokError as error:
        if not seen or seen[0].state != "failed":
            return Report(base=base.name, state="failed", error=error.message, hint=error.hint or "")
        return seen[0]


def _models(loaded: Loaded, model: str, stack: contextlib.AsyncExitStack) -> Callable[[], Awaitable[ModelPath]]:
    """Opens the way to this model when it is needed; it stays open as long as the stack."""

    async def open_models() -> ModelPath:
        server = read_server(loaded.state)
        if server is not None:
            return await stack.enter_async_context(over_http(loaded, server.url, model))
        from hanok.assemble import only, running
        from hanok.knowledge.embedding import AskedBy

        loaded.require()
        house = await stack.enter_async_context(running(only(loaded, model)))
        await house.fleet.wait_started([each.name for each in house.loaded.platform.models])
        return AskedBy(house.tiered, local_caller(house.ledger))

    return open_models


@contextlib.contextmanager
def _progress(name: str) -> Generator[Callable[[Report], None]]:
    """A bar of documents on a terminal, with passages, and what is waited for."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.fields[documents]:,} documents"),
        TextColumn("{task.fields[more]}", style="progress.data.speed"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as progress:
        task = progress.add_task(name, total=None, documents=0, more="")

        def show(report: Report) -> None:
            more = report.waiting or f"{report.passages:,} passages, {report.rate(time.time()):,.0f}/s"
            total = report.documents if report.listed else None
            progress.update(task, completed=report.settled(), total=total, documents=report.documents, more=more)

        yield show


def tell(report: Report) -> None:
    """What came of an ingest, for people. Of one that never began there is nothing to count."""
    if report.started_at:
        _count(report)
    for each in report.silent:
        _say("red", "✗", f"{each.source}: {each.message}; its documents stay as they are", each.hint)
    for each in report.refused[:MOST_SHOWN]:
        _say("yellow", "!", each.message if each.path in each.message else f"{each.path}: {each.message}", each.hint)
    if report.refused:
        more = len(report.refused) - MOST_SHOWN
        rest = f", {more:,} of them not shown: hanok knowledge status {report.base}" if more > 0 else ""
        _say("yellow", "!", f"{_refused(len(report.refused))}{rest}")
    if report.error:
        _say("red", "✗", report.error)
    if report.hint:
        talk.print(f"[cyan]hint:[/] {escape(report.hint)}", highlight=False, soft_wrap=True)


def _refused(count: int) -> str:
    return "1 document was refused" if count == 1 else f"{count:,} documents were refused"


def _count(report: Report) -> None:
    told = [f"{getattr(report, name):,} {name}" for name in ("added", "changed", "unchanged", "removed")]
    if report.noted:
        told.insert(2, f"{report.noted:,} touched")
    seconds, rate = report.seconds(time.time()), report.rate(time.time())
    talk.print(
        f"[bold]{escape(report.base)}[/]: {report.total_documents:,} documents, {report.total_passages:,} passages "
        f"({', '.join(told)}); wrote {report.passages:,} passages in {seconds:,.1f} s ({rate:,.0f}/s), "
        f"{report.tokens:,} tokens embedded",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def form(report: Report) -> dict[str, Any]:
    """A report in JSON's terms, with how fast it was."""
    import msgspec

    now = time.time()
    told: dict[str, Any] = msgspec.to_builtins(report)
    return told | {"seconds": round(report.seconds(now), 3), "passages_per_s": round(report.rate(now), 1)}


def _say(colour: str, sign: str, text: str, hint: str = "") -> None:
    talk.print(f"[{colour}]{sign}[/] {escape(text)}", highlight=False, soft_wrap=True)
    if hint:
        talk.print(f"  [cyan]hint:[/] {escape(hint)}", highlight=False, soft_wrap=True)
