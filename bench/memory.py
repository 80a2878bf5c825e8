"""How much memory Hanok takes, with all policies on, after 50,000 and after 100,000 requests.

    .venv/bin/python bench/memory.py
    .venv/bin/python bench/memory.py --answers 2000 --json      # a short look

Over 16 connections, whole and streamed answers in turn, of 10,000 sessions in turn, so that 10,000 accounts of sessions
are kept. What the second half adds is what it would go on to add: everything that is kept once is there by then.
"""

import argparse
import json
import sys

from rich.console import Console
from rich.table import Table

from launch import Gateway, NotInstalled
from measure import Bench, Cores, Figures, MeasureFailed, Plan, choose_cores, collector, fake_engine
from ours import launch_hanok, no_install
from processes import ChildFailed, rss_mib, stop_on_signals
from targets import AIMS, table_of_targets

ANSWERS = 50_000
SESSIONS = 10_000
CONNECTIONS = 16
PLAN = Plan(seconds=900.0, before=0.0, chunks=20)
HANOK = Gateway("hanok", "", "/health/ready", no_install, launch_hanok, exports=True)

talk = Console(stderr=True)


def measure(cores: Cores, answers: int = ANSWERS) -> dict[str, float]:
    """MiB at the start, after so many answers, and after twice as many. Raises what kept it from that."""
    with (
        fake_engine(cores, PLAN) as engine_port,
        collector(cores) as collector_port,
        talk.status(f"memory: {2 * answers:,} requests"),
    ):
        bench = Bench(PLAN, cores, engine_port, collector_port, lambda _what: None)
        with bench.started(HANOK, no_install(), Figures()) as subject:
            assert subject.child is not None
            pid = subject.child.process.pid
            seen = {"start_mib": rss_mib(pid)}
            for half in ("first", "second"):
                report, _ = bench.checked_load(
                    subject.target,
                    *("--mixed", "--connections", str(CONNECTIONS), "--sessions", str(SESSIONS)),
                    *("--answers", str(answers)),
                )
                subject.check()
                seen |= {f"{half}_mib": rss_mib(pid), f"{half}_answers": float(report.answers)}
    return seen | {"growth_mib": seen["second_mib"] - seen["first_mib"]}


def table_of(seen: dict[str, float]) -> Table:
    table = Table(title=f"Memory, all policies on, {SESSIONS:,} sessions")
    for title in ("after requests", "MiB"):
        table.add_column(title, justify="right")
    first, second = int(seen["first_answers"]), int(seen["first_answers"] + seen["second_answers"])
    for requests, mib in ((0, seen["start_mib"]), (first, seen["first_mib"]), (second, seen["second_mib"])):
        table.add_row(f"{requests:,}", f"{mib:,.1f}")
    table.add_row("growth", f"{seen['growth_mib']:+,.1f}", style="bold")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures how much memory Hanok takes.")
    parser.add_argument("--answers", type=int, default=ANSWERS, help="of each half (%(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, all else on the other")
    args = parser.parse_args()
    cores = choose_cores()
    stop_on_signals()
    cores.step_aside()
    try:
        seen = measure(cores, args.answers)
    except (ChildFailed, MeasureFailed, NotInstalled, OSError) as error:
        talk.print(f"[red]memory could not be measured:[/red] {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        return 130
    out = talk if args.json else Console()
    out.print(table_of(seen))
    if args.answers >= ANSWERS:
        out.print(table_of_targets({"memory": seen}, tuple(aim for aim in AIMS if aim.what.startswith("memory"))))
    if args.json:
        print(json.dumps({"memory": seen}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
