"""The steps of serving that one process takes by itself, and several divide among them."""

from __future__ import annotations

import asyncio
import gc
import os
import shlex
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hanok.cli.state import RunningServer
from hanok.cli.terminal import talk
from hanok.errors import StartError
from hanok.spec import Loaded

if TYPE_CHECKING:
    from hanok.assemble import House
    from hanok.gateway import HttpServer
    from hanok.serving import Fleet


def _nothing() -> None: ...


async def accepting(server: HttpServer, serving: asyncio.Task[None]) -> None:
    """Return when the server takes connections. Raises what kept it from that."""
    while not server.listening:
        if serving.done():
            serving.result()
            raise StartError("the HTTP server ended as soon as it began")
        await asyncio.sleep(0.005)


def calm_the_collector() -> None:
    """What is alive now lives as long as we do, and calls leave hardly any cycles: look for garbage less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def reload_on_hangup(house: House, stopping: asyncio.Event) -> None:
    """SIGHUP has platform.yaml looked at. Where it means that our terminal was closed, we stop, as ever."""
    on_terminal, stays = _has_terminal(), signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # as under `nohup`

    def hang_up() -> None:
        if on_terminal and not _has_terminal():
            if not stays:
                stopping.set()
        else:
            house.config.ask()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def stop_on_signals(at_once: Callable[[], None] = _nothing) -> asyncio.Event:
    """An event set by SIGINT or SIGTERM; a second one ends the process at once, after a last word from `at_once`."""
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            at_once()
            os._exit(130)
        stopping.set()

    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop)
    return stopping


async def drain(house: House, server: HttpServer, serving: asyncio.Task[None], drain_s: float) -> None:
    """Let in nobody new, wait for what runs, then close the door."""
    house.door.draining = True
    runner = house.ordered.runner
    runner.drain()
    deadline = asyncio.get_running_loop().time() + drain_s
    while (server.busy() or runner.busy()) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.05)
    if server.busy():
        server.cut()
        await asyncio.sleep(0.05)
    server.stop()
    await asyncio.wait([serving], timeout=2.0)


def greet(loaded: Loaded, server: RunningServer, secret: str, *, tell: bool) -> None:
    """Say where it listens, with which key, and what to try. `tell` the key also where logs may be kept.

    `secret` is empty where this machine has no key of its own.
    """
    model = next((each.name for each in loaded.platform.models if each.type == "chat"), None)
    loopback = server.host in ("127.0.0.1", "localhost", "::1")
    kept = loaded.state / "local.key"
    told = tell or (loopback and talk.is_terminal)
    shown = (secret if told else f"$(cat {shlex.quote(str(kept))})") if secret else "$HANOK_KEY"
    talk.print(f"[bold]{loaded.platform.name}[/] listens on [bold cyan]{server.url}/v1[/]", highlight=False)
    if not secret:
        talk.print("Key: `hanok keys create NAME` makes one", highlight=False)
    elif told:
        talk.print(f"Key: [bold]{secret}[/]   (yours, kept in {kept})", highlight=False, soft_wrap=True)
    else:
        talk.print(f"Key: yours, kept in {kept}", highlight=False, soft_wrap=True)
    if model:
        talk.print("Try:", highlight=False)
        body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "What is the capital of France?"}}]}}'
        talk.print(
            f"  curl {server.url}/v1/chat/completions \\\n"
            f'    -H "Authorization: Bearer {shown}" \\\n'
            f"    -H 'Content-Type: application/json' \\\n"
            f"    -d '{body}'",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
        talk.print(f'or: hanok ask "What is the capital of France?"', highlight=False)  # noqa: F541
    _say_what_is_ingested(loaded)


def _say_what_is_ingested(loaded: Loaded) -> None:
    """Which bases are filled now, beside everything else."""
    from hanok.knowledge.ingesting import Notes

    bases = [base.name for base in loaded.platform.knowledge if base.on_start]
    reports = {name: Notes(loaded.state, name).last() for name in bases}
    empty = [name for name, report in reports.items() if report is None or not report.completed_at]
    if empty:
        first = empty[0]
        told = f"Ingesting {', '.join(empty)} in the background; to see how far it is: hanok knowledge status {first}"
        talk.print(told, highlight=False, soft_wrap=True)


async def show_loading(fleet: Fleet) -> None:
    """Tell how the engines come up, with a spinner on a terminal."""
    waiting = {each.name: each for each in fleet.endpoints}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as progress:
        tasks = {name: progress.add_task(f"loading {name} ({each.kind})") for name, each in waiting.items()}
        while waiting:
            for name, each in list(waiting.items()):
                if each.state == "starting":
                    continue
                del waiting[name]
                progress.remove_task(tasks[name])
                if each.state == "up":
                    progress.console.print(f"[green]✓[/] {name} ({each.kind}) is up", highlight=False)
                else:
                    progress.console.print(
                        f"[red]✗[/] {name} ({each.kind}) is {each.state}: {escape(each.reason)}",
                        highlight=False,
                        soft_wrap=True,
                    )
            await asyncio.sleep(0.1)
    if fleet.ready():
        talk.print("[green]Ready.[/] Stop with Ctrl-C.")
    else:
        talk.print("Ready, but not every model is up; see `hanok models`. Stop with Ctrl-C.")
