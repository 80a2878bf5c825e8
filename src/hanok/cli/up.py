"""`hanok up`: start the whole house in this process and its engines beside it, or workers that share its calls."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hanok.cli.create import write_starter
from hanok.cli.listen import check_address
from hanok.cli.serve import accepting, calm_the_collector, drain, greet, reload_on_hangup, show_loading, stop_on_signals
from hanok.cli.state import RunningServer, forget_server, key_at_start, write_server
from hanok.cli.terminal import DEFAULT_FILE, FileArgument, talk
from hanok.spec import Loaded, load
from hanok.telemetry import configure_logging


def up(
    file: FileArgument = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="TCP port to listen on.")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "warning",
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Log lines as JSON; a new key of this machine is not shown.")
    ] = False,
) -> None:
    """Start the platform: the HTTP API, the ledger, and every engine that platform.yaml declares.

    With no file and none here, a starter is written first. Stop with Ctrl-C; running answers may finish.

    Example: `hanok up`
    """
    import uvloop

    from hanok.cli.supervisor import supervise

    if log_level.lower() not in ("debug", "info", "warning", "error"):
        raise typer.BadParameter("takes debug, info, warning or error", param_hint="--log-level")
    configure_logging(log_level, "json" if log_json else "text")
    loaded = load(_file_or_starter(file))
    gateway = loaded.platform.gateway
    address = (host or gateway.host, port or gateway.port)
    check_address(loaded, *address)
    if gateway.workers > 1:
        uvloop.run(supervise(loaded, *address, log_level=log_level, log_json=log_json))
    else:
        uvloop.run(_serve(loaded, *address, log_json=log_json))


def _file_or_starter(file: Path | None) -> Path:
    if file is None and not DEFAULT_FILE.exists():
        found = write_starter(DEFAULT_FILE)
        talk.print(f"No platform.yaml here: wrote a starter with {', '.join(found)}.")
    return file or DEFAULT_FILE


async def _serve(loaded: Loaded, host: str, port: int, *, log_json: bool) -> None:
    from hanok.assemble import http_server, running

    async with running(loaded) as house:
        secret, fresh = key_at_start(loaded, house.ledger)
        house.take_up_keys()
        server = http_server(house, host, port)
        serving = asyncio.create_task(server.serve())
        stopping = stop_on_signals()
        reload_on_hangup(house, stopping)
        house.config.heard = lambda said: talk.print(escape(said), highlight=False, soft_wrap=True)
        running_server = RunningServer(process_id=os.getpid(), host=host, port=port)
        await accepting(server, serving)
        calm_the_collector()
        write_server(loaded.state, running_server)
        greet(loaded, running_server, secret, tell=fresh and not log_json)
        loading = asyncio.create_task(show_loading(house.fleet))
        try:
            await asyncio.wait([serving, asyncio.create_task(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
        finally:
            loading.cancel()
            drain_s = house.loaded.platform.gateway.drain_s
            _say_goodbye(server.busy(), drain_s)
            await drain(house, server, serving, drain_s)
            forget_server(loaded.state)


def _say_goodbye(running: int, drain_s: float) -> None:
    if running:
        talk.print(f"Stopping: waiting up to {drain_s:g} s for {running} running calls (Ctrl-C again to quit at once).")
    else:
        talk.print("Stopping.")
