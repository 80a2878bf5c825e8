"""What routing by prompts costs: prefix routing over 8 endpoints, beside the least busy of them.

    .venv/bin/python bench/prefix.py
    .venv/bin/python bench/prefix.py --quick

The same whole answers over 32 connections, of 64 different prompts in turn, once short of and once long enough for what
agents send. Only keys and metering are on, so that the difference is the routing.
"""

import argparse
import json
import sys
from functools import partial

from rich.console import Console
from rich.table import Table

from fake_engine import MODEL
from launch import Gateway, Launch, NotInstalled, Place
from measure import CONNECTIONS, Bench, Cores, Figures, MeasureFailed, Plan, choose_cores, fake_engine
from ours import no_install, start_platform
from processes import ChildFailed, stop_on_signals

ENDPOINTS = 8
PROMPTS = 64
SIZES = (4_000, 40_000)  # bytes: about 1,000 and 10,000 tokens
POLICIES = ("least-busy", "prefix")
FULL = Plan()
QUICK = Plan(rounds=1, seconds=1.0, warm=1.0)

talk = Console(stderr=True)


def launch(policy: str, place: Place) -> Launch:
    endpoint = f'{{engine: openai, url: "ENGINE/v1", model: {MODEL}}}'
    serve = ", ".join([endpoint] * ENDPOINTS)
    text = (
        f"name: bench\nteams: [{{name: bench}}]\nmodels:\n  - {{name: {MODEL}, routing: {policy}, serve: [{serve}]}}\n"
    )
    return start_platform(place, text)


def measure(cores: Cores, plan: Plan = FULL) -> dict[str, float]:
    """Requests a second and CPU µs a request, by policy and prompt size. Raises what kept it from that."""
    figures = Figures()
    samples: dict[str, list[float]] = {}
    with fake_engine(cores, plan) as engine_port:
        bench = Bench(plan, cores, engine_port, 0, lambda _what: None)
        for policy in POLICIES:
            gateway = Gateway(policy, "", "/health/ready", no_install, partial(launch, policy))
            with talk.status(f"prefix: {policy}"), bench.started(gateway, no_install(), figures) as subject:
                bench.warm_up(subject)
                for size in SIZES * plan.rounds:
                    computed = subject.cpu_seconds()
                    options = ("--connections", str(CONNECTIONS), "--prompts", str(PROMPTS))
                    report, _ = bench.checked_load(subject.target, *options, "--prompt-bytes", str(size))
                    subject.check()
                    samples.setdefault(f"{policy}_{size}_rps", []).append(report.per_s)
                    cpu_us = 1e6 * (subject.cpu_seconds() - computed) / report.answers
                    samples.setdefault(f"{policy}_{size}_cpu_us", []).append(cpu_us)
    return {name: sorted(values)[len(values) // 2] for name, values in samples.items()}


def table_of(seen: dict[str, float]) -> Table:
    table = Table(title=f"Prefix routing over {ENDPOINTS} endpoints, {PROMPTS} prompts in turn")
    for title in ("prompt", "policy", "req/s", "CPU µs/request"):
        table.add_column(title, justify="right")
    for size in SIZES:
        for policy in POLICIES:
            rps, cpu_us = seen[f"{policy}_{size}_rps"], seen[f"{policy}_{size}_cpu_us"]
            table.add_row(f"{size / 1000:g} kB", policy, f"{rps:,.0f}", f"{cpu_us:,.0f}")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures what routing by prompts costs.")
    parser.add_argument("--quick", action="store_true", help="some seconds")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, all else on the other")
    args = parser.parse_args()
    cores = choose_cores()
    stop_on_signals()
    cores.step_aside()
    try:
        seen = measure(cores, QUICK if args.quick else FULL)
    except (ChildFailed, MeasureFailed, NotInstalled, OSError) as error:
        talk.print(f"[red]prefix could not be measured:[/red] {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        return 130
    (talk if args.json else Console()).print(table_of(seen))
    if args.json:
        print(json.dumps({"prefix": seen}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
