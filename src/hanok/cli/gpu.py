"""`hanok gpu top`: what GPUs do now, and what they cost while they do nothing; `hanok gpu list`: which there are."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanok.cli.plan import user_catalog
from hanok.cli.terminal import DEFAULT_FILE, JsonOption, data, print_json, talk
from hanok.errors import HanokError, SourceError

if TYPE_CHECKING:
    from hanok.cli.gpu_view import Scroll
    from hanok.gpu.monitor import Overview, Pricing, Source, Thresholds, Watch

EXIT_UNSEEN, EXIT_MARKED = 1, 3
PATIENCE_S = 5.0
TICK_S = 0.2
"""So soon a key, or a new size of the terminal, is noticed."""

_KEY = re.compile(r"\x1b\[\d*[A-Z~]|[^\x1b]")
_ENDS = ("q", "Q", "\x03", "\x04")
_STEPS = {"\x1b[A": -1, "k": -1, "\x1b[B": 1, "j": 1, "\x1b[5~": -10, "\x1b[6~": 10, " ": 10, "g": -(10**6), "G": 10**6}
Pressed = Callable[[float], str]
"""Waits some seconds for keys, and says which were pressed."""

gpu = typer.Typer(name="gpu", help="What GPUs do now, and what they cost.", no_args_is_help=True)


class Mark(StrEnum):
    LOST, HOT, THROTTLED, XID, FULL = "lost", "hot", "throttled", "xid", "full"
    POWER, BANDWIDTH, UNDER_USED, IDLE = "power", "bandwidth", "under-used", "idle"


DcgmOption = Annotated[list[str] | None, typer.Option("--dcgm", help="A DCGM exporter, as `http://node:9400/metrics`.")]
VllmOption = Annotated[list[str] | None, typer.Option("--vllm", help="A vLLM server, as `http://node:8000/metrics`.")]
PrometheusOption = Annotated[
    list[str] | None, typer.Option("--prometheus", help="A Prometheus that scrapes them, as `http://prometheus:9090`.")
]
BearerOption = Annotated[Path | None, typer.Option("--bearer-file", help="A file with a token for Prometheus.")]
CaOption = Annotated[Path | None, typer.Option("--ca-file", help="Certificates to trust, beside the usual ones.")]
TypeOption = Annotated[
    list[str] | None, typer.Option("--instance-type", help="The instance type that the GPUs are in, for the price.")
]
CatalogOption = Annotated[Path | None, typer.Option("--catalog", help="A catalogue of instance types and prices.")]
FileOption = Annotated[
    Path | None,
    typer.Option("--file", "-f", help="The platform file whose running server's engines are shown, too."),
]


@gpu.command("top")
def top(
    dcgm: DcgmOption = None,
    vllm: VllmOption = None,
    prometheus: PrometheusOption = None,
    bearer_file: BearerOption = None,
    ca_file: CaOption = None,
    file: FileOption = None,
    every: Annotated[float, typer.Option("--every", min=0.2, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one table and end.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="With --json: one line for each look, until Ctrl-C.")
    ] = False,
    fail_on: Annotated[
        list[Mark] | None, typer.Option("--fail-on", help="With --once or --json: exit 3 if a GPU is marked so.")
    ] = None,
    busy_above: Annotated[float, typer.Option("--busy-above", help="% used, else a GPU is under-used.")] = 80,
    idle_below: Annotated[float, typer.Option("--idle-below", help="% used, below which a GPU is idle.")] = 5,
    copy_above: Annotated[float, typer.Option("--copy-above", help="% of time that memory is read or written.")] = 70,
    full_from: Annotated[float, typer.Option("--full-from", help="% of memory used.")] = 95,
    hot_from: Annotated[float, typer.Option("--hot-from", help="°C.")] = 85,
    power_above: Annotated[float, typer.Option("--power-above", help="% of TDP.")] = 90,
    clock_below: Annotated[
        float, typer.Option("--clock-below", help="% of its greatest clock, while busy: throttled.")
    ] = 70,
    instance_type: TypeOption = None,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what every GPU does: use, memory, heat, power, who is on it, and what its idleness costs.

    GPUs of this machine are shown without a flag, others through DCGM exporters or Prometheus, all of it together.
    Keys: q ends, arrows scroll. Exit codes: 0 done; 1 no source tells of a GPU (with --fail-on: a source tells
    nothing); 2 wrong input; 3 a GPU is marked with what --fail-on names.

    Example: `hanok gpu top --dcgm http://node-1:9400/metrics --dcgm http://node-2:9400/metrics`
    """
    from hanok.gpu.monitor import Thresholds

    limits = Thresholds(
        busy=busy_above / 100, idle=idle_below / 100, copying=copy_above / 100, full=full_from / 100,
        hot_c=hot_from, power=power_above / 100, clock=clock_below / 100,
    )  # fmt: skip
    asked = _Asked(dcgm=dcgm, vllm=vllm, prometheus=prometheus, bearer_file=bearer_file, ca_file=ca_file, file=file)
    monitor = _Monitor.over(asked, limits, _pricing(catalog, instance_type), every_s=every)
    with monitor.watch:
        if as_json and follow:
            _follow(monitor, every)
        elif once or as_json or not data.file.isatty():
            _once(monitor, fail_on or [], as_json=as_json)
        else:
            _live(monitor, every)


@gpu.command("list")
def show_list(
    dcgm: DcgmOption = None,
    prometheus: PrometheusOption = None,
    bearer_file: BearerOption = None,
    ca_file: CaOption = None,
    instance_type: TypeOption = None,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """List GPUs and MIG slices: what they are in the catalogue, and what they cost; `?` where the type is guessed.

    Exit codes: 0 done; 1 no source tells of a GPU; 2 wrong input.

    Example: `hanok gpu list --prometheus http://prometheus:9090`
    """
    from hanok.cli import gpu_view
    from hanok.gpu.monitor import Thresholds

    asked = _Asked(dcgm=dcgm, vllm=None, prometheus=prometheus, bearer_file=bearer_file, ca_file=ca_file, file=None)
    monitor = _Monitor.over(asked, Thresholds(), _pricing(catalog, instance_type), every_s=PATIENCE_S)
    with monitor.watch:
        monitor.watch.wait_first()
        seen = monitor.look()
    _refuse_nothing(seen)
    if as_json:
        print_json(gpu_view.form(seen, monitor.pricing))
    else:
        data.print(gpu_view.inventory(seen))


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """The sources that the command line names."""

    dcgm: list[str] | None
    vllm: list[str] | None
    prometheus: list[str] | None
    bearer_file: Path | None
    ca_file: Path | None
    file: Path | None


@dataclass(frozen=True, kw_only=True)
class _Monitor:
    """A watch of the sources, and what is made of what they tell."""

    watch: Watch
    limits: Thresholds
    pricing: Pricing
    quiet: frozenset[str]
    """Sources that nobody named: that they tell nothing is no fault where others are named."""

    @classmethod
    def over(cls, asked: _Asked, limits: Thresholds, pricing: Pricing, *, every_s: float) -> _Monitor:
        from hanok.gpu.monitor.watch import Watch
        from hanok.gpu.monitor.watch_nvml import NAME, NvmlSource

        named = [*_pages(asked), *_fleet(asked.file)]
        watch = Watch([NvmlSource(), *named], every_s=every_s, patience_s=PATIENCE_S)
        return cls(watch=watch, limits=limits, pricing=pricing, quiet=frozenset([NAME] if _pages(asked) else []))

    def look(self) -> Overview:
        """What is known now."""
        from hanok.gpu.monitor import overview

        seen = [each for each in self.watch.seen() if not (each.fault and each.source in self.quiet)]
        return overview(seen, limits=self.limits, pricing=self.pricing)


def _pages(asked: _Asked) -> list[Source]:
    from hanok.gpu.monitor.client import Fetcher
    from hanok.gpu.monitor.watch_pages import PrometheusSource, dcgm_source, vllm_source

    fetcher = Fetcher(timeout_s=PATIENCE_S, ca_file=str(asked.ca_file) if asked.ca_file else None)
    dcgm = [dcgm_source(_address(each, "--dcgm", "/metrics"), fetcher) for each in asked.dcgm or ()]
    vllm = [vllm_source(_address(each, "--vllm", "/metrics"), fetcher) for each in asked.vllm or ()]
    queried = [
        PrometheusSource(url=_address(each, "--prometheus", ""), fetcher=fetcher, bearer_file=asked.bearer_file)
        for each in asked.prometheus or ()
    ]
    return [*dcgm, *queried, *vllm]


def _address(text: str, option: str, path: str) -> str:
    from hanok.gpu.monitor.client import as_address

    try:
        return as_address(text, path)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _pricing(catalog: Path | None, types: Sequence[str] | None) -> Pricing:
    from hanok.gpu import load_catalog, read_catalog
    from hanok.gpu.monitor import Pricing

    figures = read_catalog(catalog) if catalog else load_catalog(user_catalog())[0]
    for each in types or ():
        if each not in figures.instances:
            raise typer.BadParameter(
                f"the catalogue has no instance type {each!r}: see `hanok catalog show`", param_hint="--instance-type"
            )
    return Pricing(catalog=figures, types=tuple(types or ()))


def _fleet(file: Path | None) -> list[Source]:
    """The engines of the server that runs from here. Nothing, where none does and no file was named."""
    from hanok.cli.gpu_fleet import FleetSource

    if file is None and not DEFAULT_FILE.exists():
        return []
    try:
        return [FleetSource.of(file or DEFAULT_FILE)]
    except HanokError:
        if file is not None:
            raise
        return []


def _once(monitor: _Monitor, fail_on: Sequence[Mark], *, as_json: bool) -> None:
    from hanok.cli import gpu_view

    monitor.watch.wait_first()
    seen = monitor.look()
    _refuse_nothing(seen)
    if as_json:
        print_json(gpu_view.form(seen, monitor.pricing))
    else:
        data.print(gpu_view.table(seen, pricing=monitor.pricing))
    if any(seen.totals.marks.get(mark.value) for mark in fail_on):
        raise typer.Exit(EXIT_MARKED)
    if fail_on and seen.faults:
        talk.print("A source tells nothing, so its GPUs were not judged.")
        raise typer.Exit(EXIT_UNSEEN)


def _refuse_nothing(seen: Overview) -> None:
    """Raise `SourceError` where there is nothing to be shown."""
    if not seen.rows and not seen.loads:
        reasons = "; ".join(f"{each.source}: {each.fault}" for each in seen.faults)
        hint = next((each.hint for each in seen.faults if each.hint), None)
        raise SourceError(f"no source tells of a GPU: {reasons}", hint=hint)


def _follow(monitor: _Monitor, every_s: float) -> None:
    from hanok.cli import gpu_view

    monitor.watch.wait_first()
    while True:
        sys.stdout.write(json.dumps(gpu_view.form(monitor.look(), monitor.pricing), ensure_ascii=False) + "\n")
        sys.stdout.flush()
        _no_key(every_s)


def _live(monitor: _Monitor, every_s: float) -> None:
    """The whole screen, drawn anew when something may have changed."""
    from rich.live import Live

    from hanok.cli import gpu_view

    scroll = gpu_view.Scroll(console=data)
    if not monitor.quiet:  # only this machine is asked, and it answers at once
        monitor.watch.wait_first()
        _refuse_nothing(monitor.look())
    with _keys() as pressed, Live(console=data, screen=True, auto_refresh=False) as live:
        while True:
            seen = monitor.look()
            live.update(gpu_view.table(seen, pricing=monitor.pricing, scroll=scroll), refresh=True)
            if not _wait(pressed, scroll, every_s if monitor.watch.all_told else 2 * TICK_S):
                return


def _wait(pressed: Pressed, scroll: Scroll, every_s: float) -> bool:
    """Return when it is time to draw: after a while, a key or another size. False when it is time to end."""
    size = data.size
    for _ in range(max(1, round(every_s / TICK_S))):
        keys = _KEY.findall(pressed(TICK_S))
        if any(key in _ENDS for key in keys):
            return False
        for key in keys:
            scroll.move(_STEPS.get(key, 0))
        if keys or data.size != size:
            return True
    return True


@contextmanager
def _keys() -> Generator[Pressed]:
    """Keys as they are pressed, without a line's end; the terminal is given back as it was."""
    import os
    import select
    import termios
    import tty

    if not sys.stdin.isatty():
        yield _no_key
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)

    def pressed(wait_s: float) -> str:
        ready, _, _ = select.select([number], [], [], wait_s)
        return os.read(number, 256).decode("ascii", "replace") or "q" if ready else ""

    try:
        tty.setcbreak(number)
        yield pressed
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _no_key(wait_s: float) -> str:
    """Nobody types: only the time passes."""
    threading.Event().wait(wait_s)
    return ""
