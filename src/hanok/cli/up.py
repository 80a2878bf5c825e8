"""`hanok up`: start the whole house in this process and its engines beside it."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hanok.cli.create import write_starter
from hanok.cli.state import RunningServer, forget_server, local_key, read_server, write_server
from hanok.cli.terminal import DEFAULT_FILE, FileArgument, talk
from hanok.errors import StartError
from hanok.spec import Loaded, load
from hanok.telemetry import configure_logging

if TYPE_CHECKING:
    from hanok.assemble import House
    from hanok.gateway import HttpServer

_log = logging.getLogger(__name__)


def up(
    file: FileArgument = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="TCP port to listen on.")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "warning",
    log_json: Annotated[bool, typer.Option("--log-json", help="Log lines as JSON.")] = False,
) -> None:
    """Start the platform: the HTTP API, the ledger, and every engine that platform.yaml declares.

    With no file and none here, a starter is written first. Stop with Ctrl-C; running answers may finish.

    Example: `hanok up`
    """
    import uvloop

    if log_level.lower() not in ("debug", "info", "warning", "error"):
        raise typer.BadParameter("takes debug, info, warning or error", param_hint="--log-level")
    configure_logging(log_level, "json" if log_json else "text")
    loaded = load(_file_or_starter(file))
    gateway = loaded.platform.gateway
    address = (host or gateway.host, port or gateway.port)
    _check_address(loaded, *address)
    uvloop.run(_serve(loaded, *address))


def _file_or_starter(file: Path | None) -> Path:
    if file is None and not DEFAULT_FILE.exists():
        found = write_starter(DEFAULT_FILE)
        talk.print(f"No platform.yaml here: wrote a starter with {', '.join(found)}.")
    return file or DEFAULT_FILE


def _check_address(loaded: Loaded, host: str, port: int) -> None:
    """Find out that the port is taken before any engine is started. Raises `StartError`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        raise StartError(f"{host!r} is not an address of this machine", hint="try --host 127.0.0.1") from None
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from None
        ours = read_server(loaded.state)
        if ours is not None and ours.port == port:
            hint = f"this platform is running already (process {ours.process_id}); stop it first, or use it"
        else:
            hint = f"stop what listens there, or choose another: hanok up --port {port + 1}"
        raise StartError(f"port {port} on {host} is taken", hint=hint) from None


async def _serve(loaded: Loaded, host: str, port: int) -> None:
    from hanok.assemble import http_server, running

    async with running(loaded) as house:
        secret, fresh = local_key(loaded.state, house.ledger)
        house.take_up_keys()
        server = http_server(house, host, port)
        serving = asyncio.create_task(server.serve())
        stopping = _stop_on_signals()
        _reload_on_hangup(house, stopping)
        house.config.heard = lambda said: talk.print(escape(said), highlight=False, soft_wrap=True)
        running_server = RunningServer(process_id=os.getpid(), host=host, port=port)
        await _accepting(server, serving)
        _calm_the_collector()
        write_server(loaded.state, running_server)
        _greet(loaded, running_server, secret, fresh)
        loading = asyncio.create_task(_show_loading(house))
        try:
            await asyncio.wait([serving, asyncio.create_task(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
        finally:
            loading.cancel()
            await _drain(house, server, serving, house.loaded.platform.gateway.drain_s)
            forget_server(loaded.state)


async def _accepting(server: HttpServer, serving: asyncio.Task[None]) -> None:
    """Return when the server takes connections. Raises what kept it from that."""
    while not server.listening:
        if serving.done():
            serving.result()
            raise StartError("the HTTP server ended as soon as it began")
        await asyncio.sleep(0.005)


def _calm_the_collector() -> None:
    """What is alive now lives as long as we do, and calls leave hardly any cycles: look for garbage less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _stop_on_signals() -> asyncio.Event:
    """An event set by SIGINT or SIGTERM; a second one ends the process at once."""
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            os._exit(130)
        stopping.set()

    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop)
    return stopping


def _reload_on_hangup(house: House, stopping: asyncio.Event) -> None:
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


async def _drain(house: House, server: HttpServer, serving: asyncio.Task[None], drain_s: float) -> None:
    """Let in nobody new, wait for what runs, then close the door."""
    house.door.draining = True
    running = server.busy()
    if running:
        talk.print(f"Stopping: waiting up to {drain_s:g} s for {running} running calls (Ctrl-C again to quit at once).")
    else:
        talk.print("Stopping.")
    deadline = asyncio.get_running_loop().time() + drain_s
    while server.busy() and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.05)
    if server.busy():
        server.cut()
        await asyncio.sleep(0.05)
    server.stop()
    await asyncio.wait([serving], timeout=2.0)


def _greet(loaded: Loaded, server: RunningServer, secret: str, fresh: bool) -> None:
    model = next((each.name for each in loaded.platform.models if each.type == "chat"), None)
    loopback = server.host in ("127.0.0.1", "localhost", "::1")
    shown = secret if fresh or (loopback and talk.is_terminal) else f"$(cat {loaded.state / 'local.key'})"
    talk.print(f"[bold]{loaded.platform.name}[/] listens on [bold cyan]{server.url}/v1[/]", highlight=False)
    talk.print(
        f"Key: [bold]{shown}[/]   (yours, kept in {loaded.state / 'local.key'})", highlight=False, soft_wrap=True
    )
    if model:
        talk.print("Try:", highlight=False)
        body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "What is the capital of France?"}}]}}'
        talk.print(
            f"  curl {server.url}/v1/chat/completions \\\n"
            f"    -H 'Authorization: Bearer {shown}' \\\n"
            f"    -H 'Content-Type: application/json' \\\n"
            f"    -d '{body}'",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
        talk.print(f'or: hanok ask "What is the capital of France?"', highlight=False)  # noqa: F541


async def _show_loading(house: House) -> None:
    """Tell how the engines come up, with a spinner on a terminal."""
    waiting = {each.name: each for each in house.fleet.endpoints}
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
    if house.fleet.ready():
        talk.print("[green]Ready.[/] Stop with Ctrl-C.")
    else:
        talk.print("Ready, but not every model is up; see `hanok models`. Stop with Ctrl-C.")
