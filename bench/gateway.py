"""Hanok beside other gateways, all in front of the same fake engine, in one run on this machine.

    .venv/bin/python bench/gateway.py             # installs the rivals into a cache folder; some half an hour
    .venv/bin/python bench/gateway.py --quick     # a minute or two, with the rivals installed before
    .venv/bin/python bench/gateway.py --only hanok,litellm --json

The idea that keeps it honest: every gateway gets the same requests from the same load generator, pinned to one core,
one gateway at a time and each in turn, so that a slow minute of the machine meets all of them; figures are compared
within a run only. Hanok has every policy on, and is shown bare beside it. A rival that cannot be installed or started
is left out with the reason, and a measure with wrong answers is shown as failed. A full run goes on with memory.py,
caches.py and workers.py, and every run ends with what was to be reached. Ends with code 1 when hanok itself was to be
measured and lacks a figure.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import caches
import memory
import prefix
import workers
from launch import Gateway, NotInstalled
from measure import MEASURES, Bench, Cores, Figures, MeasureFailed, Plan, choose_cores, collector, fake_engine
from processes import ChildFailed, busy_cores, stop_on_signals
from rivals import GATEWAYS
from table import tables_of
from targets import Seen, table_of_targets, verdicts

FULL = Plan()
QUICK = Plan(
    starts=1, rounds=1, stream_rounds=1, seconds=0.6, before=0.2, warm=0.5, patience=0.3, first_answer=6.0,
    steady_chunks=40,
)  # fmt: skip
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

    def results(self) -> Seen:
        """By gateway and measure."""
        return {name: figures.medians() for name, figures in self.figures.items()}

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
    with (
        fake_engine(cores, plan) as engine_port,
        collector(cores) as collector_port,
        progress_bar(targets * plan.starts * plan.steps) as progress,
    ):
        task = progress.task_ids[0]

        def step(what: str) -> None:
            progress.update(task, advance=1, description=what)

        comparison.measure(Bench(plan, cores, engine_port, collector_port, step), installed)


def also(name: str, measure: Callable[[], dict[str, float]], seen: Seen) -> None:
    """What a program of its own measures too."""
    try:
        seen[name] = measure()
    except (ChildFailed, MeasureFailed, NotInstalled, OSError) as error:
        talk.print(f"[red]{name} could not be measured:[/red] {error}", highlight=False)


def measure_all(comparison: Comparison, plan: Plan, cores: Cores, cache: Path, hanok_wanted: bool) -> Seen:
    everywhere = os.sched_getaffinity(0)
    cores.step_aside()
    compare(comparison, plan, cores, cache)
    seen = comparison.results()
    if plan is FULL and hanok_wanted:
        also("memory", lambda: memory.measure(cores), seen)
        also("caches", lambda: caches.measure(cores), seen)
        also("prefix", lambda: prefix.measure(cores), seen)
        os.sched_setaffinity(0, everywhere)
        also("workers", lambda: workers.measure(workers.FULL), seen)
    return seen


def tell(comparison: Comparison, seen: Seen, out: Console, one_core: bool) -> None:
    for table in tables_of(comparison.figures, comparison.left_out, one_core):
        out.print(table)
    named = (("memory", memory), ("caches", caches), ("prefix", prefix), ("workers", workers))
    for name, module in named:
        if name in seen:
            out.print(module.table_of(seen[name]))
    comparison.tell_failures()
    out.print(table_of_targets(seen))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures Hanok beside other gateways, on this machine.")
    parser.add_argument("--quick", action="store_true", help="a minute or two; only rivals that are installed already")
    parser.add_argument("--only", metavar="NAMES", help=f"some of them, with commas between: {','.join(NAMES)}")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, all else on the other")
    default_cache = Path.home() / ".cache" / "hanok-bench"
    parser.add_argument("--cache", type=Path, default=default_cache, help="where rivals are installed (%(default)s)")
    return parser.parse_args()


def main() -> int:
    args = parse_arguments()
    stop_on_signals()
    plan = QUICK if args.quick else FULL
    cores = choose_cores()
    comparison = Comparison(chosen_names(args.only))
    hanok_wanted = args.only is None or "hanok" in args.only.split(",")
    try:
        seen = measure_all(comparison, plan, cores, args.cache.expanduser().resolve(), hanok_wanted)
    except KeyboardInterrupt:
        talk.print("Stopped; everything that was started has been ended.")
        return 130
    tell(comparison, seen, talk if args.json else Console(), cores.shared)
    if args.json:
        # With as many digits as mean something.
        results = {of: {name: float(f"{value:.4g}") for name, value in each.items()} for of, each in seen.items()}
        print(json.dumps({"results": results, "left_out": comparison.left_out, "targets": verdicts(seen)}))
    return 1 if hanok_wanted and seen.get("hanok", {}).keys() != set(MEASURES) else 0


if __name__ == "__main__":
    sys.exit(main())
