"""How many answers a second Hanok gives from its cache, with all policies on, and what one costs.

    .venv/bin/python bench/caches.py
    .venv/bin/python bench/caches.py --seconds 1 --json      # a short look

The same body again and again, as in gateway.py; but after the first time the engine is not asked.
"""

import argparse
import json
import sys

from rich.console import Console
from rich.table import Table

from launch import Gateway, Launch, NotInstalled, Place
from measure import (
    CONNECTIONS,
    ERRORS_ALLOWED,
    Bench,
    Cores,
    Figures,
    MeasureFailed,
    Plan,
    Subject,
    asked,
    choose_cores,
    collector,
    fake_engine,
)
from ours import launch_hanok, no_install
from processes import ChildFailed, stop_on_signals
from targets import AIMS, table_of_targets

CACHE = "cache: {all_models: true}\n"

talk = Console(stderr=True)


def launch_cached(place: Place) -> Launch:
    return launch_hanok(place, CACHE)


HANOK = Gateway("hanok", "", "/health/ready", no_install, launch_cached, exports=True)


def measure(cores: Cores, seconds: float = 4.0) -> dict[str, float]:
    """Answers a second and CPU microseconds an answer. Raises what kept it from that."""
    plan = Plan(seconds=seconds)
    with fake_engine(cores, plan) as engine_port, collector(cores) as collector_port, talk.status("cache hits"):
        bench = Bench(plan, cores, engine_port, collector_port, lambda _what: None)
        with bench.started(HANOK, no_install(), Figures()) as subject:
            bench.warm_up(subject)
            return hits(bench, subject)


def hits(bench: Bench, subject: Subject) -> dict[str, float]:
    """A round in which the engine is asked once at most."""
    before, computed = asked(bench.engine_port), subject.cpu_seconds()
    report, _ = bench.load(
        subject.target, "--connections", str(CONNECTIONS), "--seconds", str(bench.plan.seconds), "--warmup", "0"
    )
    used = subject.cpu_seconds() - computed
    if report.errors > ERRORS_ALLOWED * report.answers or not report.answers:
        raise MeasureFailed(f"{report.errors} errors, {report.answers} answers; the first: {report.first_error}")
    if asked(bench.engine_port) > before + 1:
        raise MeasureFailed(f"the engine was asked {asked(bench.engine_port) - before} times")
    return {"hits_per_s": report.per_s, "cpu_us_hit": 1e6 * used / report.answers}


def table_of(seen: dict[str, float]) -> Table:
    table = Table(title="Answers from the cache, all policies on, 32 connections")
    for title in ("answers/s", "CPU µs/answer"):
        table.add_column(title, justify="right")
    table.add_row(f"{seen['hits_per_s']:,.0f}", f"{seen['cpu_us_hit']:,.0f}")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures answers from Hanok's cache.")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each round (%(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, all else on the other")
    args = parser.parse_args()
    cores = choose_cores()
    stop_on_signals()
    cores.step_aside()
    try:
        seen = measure(cores, args.seconds)
    except (ChildFailed, MeasureFailed, NotInstalled, OSError) as error:
        talk.print(f"[red]the cache could not be measured:[/red] {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        return 130
    out = talk if args.json else Console()
    out.print(table_of(seen))
    out.print(table_of_targets({"caches": seen}, tuple(aim for aim in AIMS if "cache" in aim.what)))
    if args.json:
        print(json.dumps({name: float(f"{value:.4g}") for name, value in seen.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
