"""Rules of scaling beside fixed numbers of replicas, on recorded traces, in simulated time.

    .venv/bin/python bench/autoscaling.py            # a few minutes
    .venv/bin/python bench/autoscaling.py --quick    # the first quarter of an hour of each trace
    .venv/bin/python bench/autoscaling.py --trace other.csv --json

Replicas are as `hanok plan` reckons an 8B model's cheapest machine with room for the trace's calls; speeds are
estimates. `swept` is what `hanok simulate --sweep` names: the cheapest whose p99 time to a first token keeps the limit.
It was chosen on the trace that it is shown with; `--split` chooses on the first half, and shows it on the second.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from hanok.autoscaling.load import load_trace
from hanok.autoscaling.simulation import Hardware, Setting, Tried, candidates, cheapest, fixed, hardware_of
from hanok.autoscaling.trace import Call, select
from hanok.gpu import load_catalog, load_model, plan
from hanok.spec import Deploy, ModelScale

TRACES = Path(__file__).resolve().parents[2] / "shared/data/traces"
KNOWN = ("mooncake_conversation.jsonl", "azure_code_2023.csv")
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
CONTEXT = 131_072
IN_FLIGHT = 16
talk = Console(stderr=True)


def hardware() -> Hardware:
    """One replica, as planned."""
    catalog, _ = load_catalog(Path("/nonexistent"))
    deploy = Deploy(weights=MODEL, context_tokens=CONTEXT, concurrency=2, mig=False)
    return hardware_of(plan(load_model(MODEL, folder=Path(), fetch=None), deploy, catalog), name=MODEL)


def rules(scale: ModelScale) -> list[tuple[str, ModelScale]]:
    """What others would do: one target alone, and all three at llm-d's figures, which are Hanok's defaults."""
    alone = {"running": None, "waiting": None, "kv_cache": None}
    return [
        *fixed(scale),
        ("running 16 alone", scale.model_copy(update={**alone, "running": 16.0})),
        ("waiting 1 alone", scale.model_copy(update={**alone, "waiting": 1.0})),
        ("kv cache 0.7 alone", scale.model_copy(update={**alone, "kv_cache": 0.7})),
        ("all three (defaults)", scale),
    ]


def compare(calls: Sequence[Call], on: Hardware, *, most: int, limit_s: float, split: bool) -> list[Tried]:
    """Every rule on one trace, and the one that a sweep would choose."""
    half = calls[-1].at_s / 2
    seen = [each for each in calls if each.at_s <= half] if split else list(calls)
    rest = [replace(each, at_s=each.at_s - half) for each in calls if each.at_s > half] if split else list(calls)
    learn, show = Setting(calls=seen, hardware=on), Setting(calls=rest, hardware=on)
    scale = ModelScale(max=most)
    numbers = [each for _, each in fixed(scale)]
    with Progress(console=talk, transient=True) as progress:
        several = [*rules(scale)]
        tried: list[Tried] = [
            show.try_out(each, title=title) for title, each in progress.track(several, description="rules")
        ]
        swept = [learn.try_out(each) for each in progress.track([*candidates(scale), *numbers], description="sweep")]
    shared = replace(show, max_in_flight=IN_FLIGHT)
    tried.append(shared.try_out(scale, title=f"all three, max_in_flight {IN_FLIGHT}"))
    best = cheapest(swept, ttft_s=limit_s)
    if best is not None:
        tried.append(show.try_out(best.scale, title=f"swept: {best.outcome.title}"))
    return tried


def seconds_of(calls: Sequence[Call], on: Hardware) -> float:
    """Seconds of this machine's time that 10,000 calls take to replay."""
    begun = time.perf_counter()
    Setting(calls=calls, hardware=on).try_out(ModelScale(max=8))
    return (time.perf_counter() - begun) / len(calls) * 10_000


def table_of(title: str, tried: Sequence[Tried], limit_s: float) -> Table:
    table = Table(title=title, caption=f"TTFT: time to the first token; bold keeps the limit of {limit_s:g} s")
    table.add_column("replicas by")
    for heading in ("TTFT p50 s", "TTFT p99 s", "mean", "max", "GPU-hours", "$", "$ 1M tokens"):
        table.add_column(heading, justify="right")
    for each in tried:
        outcome, p99 = each.outcome, each.outcome.ttft_s(0.99)
        table.add_row(
            outcome.title, f"{outcome.ttft_s(0.5):.2f}", f"[bold]{p99:.2f}[/bold]" if p99 <= limit_s else f"{p99:.1f}",
            f"{outcome.mean_replicas:.1f}", str(outcome.most), f"{outcome.gpu_hours:.1f}",
            f"{outcome.usd or 0:.2f}", f"{outcome.usd_million or 0:.3f}",
        )  # fmt: skip
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="Rules of scaling on recorded traces, simulated.")
    parser.add_argument("--trace", type=Path, action="append", help="a trace (may be repeated); by default two")
    parser.add_argument("--max", type=int, default=12, help="most replicas (12)")
    parser.add_argument("--limit", type=float, default=30.0, help="seconds that p99 may take (30)")
    parser.add_argument("--split", action="store_true", help="choose on the first half, show the second")
    parser.add_argument("--quick", action="store_true", help="only the first quarter of an hour")
    parser.add_argument("--json", action="store_true", help="figures as JSON on stdout")
    args = parser.parse_args()
    on, told = hardware(), {}
    for trace in args.trace or [TRACES / name for name in KNOWN]:
        if not trace.is_file():
            talk.print(f"no trace at {trace}: nothing was measured. Name one with --trace FILE")
            continue
        calls = select(load_trace(trace), hours=0.25 if args.quick else None)
        tried = compare(calls, on, most=args.max, limit_s=args.limit, split=args.split)
        took = seconds_of(calls, on)
        told[trace.name] = {"seconds_for_10000_calls": took, "rules": [each.outcome.form() for each in tried]}
        if not args.json:
            what = f"{trace.name}: {tried[0].outcome.calls:,} calls, {on.title}; 10,000 calls in {took:.2f} s"
            Console().print(table_of(what, tried, args.limit))
    if args.json:
        json.dump(told, sys.stdout, indent=2)
        print()


if __name__ == "__main__":
    main()
