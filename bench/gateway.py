"""Hanok beside other gateways, all in front of the same fake engine, in one run on this machine.

    .venv/bin/python bench/gateway.py             # installs the rivals into a cache folder; some ten minutes
    .venv/bin/python bench/gateway.py --quick     # under a minute, with the rivals installed before
    .venv/bin/python bench/gateway.py --only hanok,litellm --json

The idea that keeps it honest: every gateway gets the same requests from the same load generator, pinned to one core,
one gateway at a time and each in turn, so that a slow minute of the machine meets all of them; figures are compared
within a run only. A rival that cannot be installed or started is left out with the reason, and a measure with wrong
answers is shown as failed. Ends with code 1 when hanok itself was to be measured and lacks a figure.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from measure import MEASURES, Bench, Cores, Figures, MeasureFailed, Plan, fake_engine
from processes import ChildFailed, busy_cores
from rivals import GATEWAYS, Gateway, NotInstalled
from table import table_of

FULL = Plan(starts=3, rounds=2, stream_rounds=2, seconds=4.0, before=0.5, warm=4.0, patience=35.0, chunks=50)
QUICK = Plan(starts=1, rounds=2, stream_rounds=1, seconds=0.6, before=0.2, warm=0.8, patience=0.3, chunks=50)
NAMES = (*(gateway.name for gateway in GATEWAYS), "direct")

talk = Console(stderr=True)


class Comparison:
    """The gateways of this run and what is known about them so far."""

    def __init__(self, names: list[str]) -> None:
        self.gateways = [gateway for gateway in GATEWAYS if gateway.name in names]
        self.with_direct = "direct" in names
        self.figures = {name: Figures() for name in names}
        self.left_out: dict[str, str] = {}

    def leave_out(self, gateway: Gateway, reason: str) -> None:
        self.left_out[gateway.name] = reason
        self.gateways.remove(gateway)
        self.figures.pop(gateway.name)
        talk.print(f"[yellow]{gateway.name} is left out:[/yellow] {reason}", highlight=False)

    def install(self, cache: Path, may_install: bool) -> dict[str, Path]:
        installed: dict[str, Path] = {}
        for gateway in list(self.gateways):
            with talk.status(f"looking for {gateway.name}, installing it if it is not there"):
                try:
                    installed[gateway.name] = gateway.install(cache, may_install)
                except (NotInstalled, OSError) as error:
                    self.leave_out(gateway, str(error))
        return installed

    def measure(self, bench: Bench, installed: dict[str, Path]) -> None:
        for _ in range(bench.plan.starts):
            if self.with_direct:
                bench.direct(self.figures["direct"])
            for gateway in list(self.gateways):
                try:
                    bench.gateway(gateway, installed[gateway.name], self.figures[gateway.name])
                except (ChildFailed, MeasureFailed, NotInstalled, OSError) as error:
                    self.leave_out(gateway, str(error))

    def results(self) -> dict[str, dict[str, float]]:
        """By gateway and measure, with as many digits as mean something."""
        return {
            name: {measure: float(f"{value:.4g}") for measure, value in figures.medians().items()}
            for name, figures in self.figures.items()
        }

    def tell_failures(self) -> None:
        for name, figures in self.figures.items():
            for measure, reason in figures.failed.items():
                talk.print(f"[red]{name} {measure} failed:[/red] {reason}", highlight=False)


def chosen_names(only: str | None) -> list[str]:
    """In the order of the table; direct is always there, as what the others are held against."""
    wanted = set(only.split(",")) if only else set(NAMES)
    unknown = wanted - set(NAMES)
    if unknown:
        raise SystemExit(f"no gateway is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return [name for name in NAMES if name in wanted | {"direct"}]


def choose_cores() -> Cores:
    if not hasattr(os, "sched_setaffinity"):
        raise SystemExit("the benchmark pins processes to cores, which needs Linux")
    mine = sorted(os.sched_getaffinity(0))
    return Cores(gateway=mine[0], load=mine[1] if len(mine) > 1 else mine[0])


def tell_noise() -> None:
    busy = busy_cores()
    if busy > 0.15:
        talk.print(f"[yellow]Other work keeps {busy:.1f} cores of this machine busy: expect wrong figures.[/yellow]")


@contextmanager
def progress_bar(total: int) -> Generator[Progress]:
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=talk, transient=True) as progress:
        progress.add_task("starting", total=total)
        yield progress


def compare(comparison: Comparison, plan: Plan, cores: Cores, cache: Path) -> None:
    installed = comparison.install(cache, may_install=plan is FULL)
    tell_noise()
    targets = len(comparison.gateways) + comparison.with_direct
    os.sched_setaffinity(0, {cores.load})  # this program too keeps off the gateway's core
    with fake_engine(cores, plan.chunks) as engine_port, progress_bar(targets * plan.starts * plan.steps) as progress:
        task = progress.task_ids[0]

        def step(what: str) -> None:
            progress.update(task, advance=1, description=what)

        comparison.measure(Bench(plan, cores, engine_port, step), installed)


def stop(_signal: int, _frame: FrameType | None) -> None:
    """Leaves all blocks, so that all children end."""
    raise KeyboardInterrupt


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures Hanok beside other gateways, on this machine.")
    parser.add_argument("--quick", action="store_true", help="under a minute; only rivals that are installed already")
    parser.add_argument("--only", metavar="NAMES", help=f"some of them, with commas between: {','.join(NAMES)}")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, all else on the other")
    default_cache = Path.home() / ".cache" / "hanok-bench"
    parser.add_argument("--cache", type=Path, default=default_cache, help="where rivals are installed (%(default)s)")
    return parser.parse_args()


def main() -> int:
    args = parse_arguments()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, stop)
    plan = QUICK if args.quick else FULL
    cores = choose_cores()
    comparison = Comparison(chosen_names(args.only))
    try:
        compare(comparison, plan, cores, args.cache.expanduser().resolve())
    except KeyboardInterrupt:
        talk.print("Stopped; everything that was started has been ended.")
        return 130
    results = comparison.results()
    (talk if args.json else Console()).print(table_of(comparison.figures, cores.shared))
    comparison.tell_failures()
    if args.json:
        print(json.dumps({"results": results}))
    hanok_wanted = args.only is None or "hanok" in args.only.split(",")
    return 1 if hanok_wanted and results.get("hanok", {}).keys() != set(MEASURES) else 0


if __name__ == "__main__":
    sys.exit(main())
