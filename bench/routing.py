"""Prefix-aware routing beside published rules: a real trace against simulated vLLM engines.

    .venv/bin/python bench/routing.py                                  # a few minutes
    .venv/bin/python bench/routing.py --quick --policies hanok,llm-d   # a short look
    .venv/bin/python bench/routing.py --trace other.jsonl --engines 8 --json

Replays a trace in the form of Mooncake's (JSON lines with `timestamp` in ms, `input_length`, `output_length`,
`hash_ids` of 512-token blocks), or Azure's (CSV), at one, two and three times its own rate. The engines are simulated
(`simulated.py` says how, and where its constants come from), the others are their published rules (`anchors.py`);
`hanok` is the code of `src/hanok/routing` with what a gateway knows (`own.py`). Sixteen engines by default: at three
times its rate Mooncake's conversation then takes them near to what they can do, and not beyond, where every policy
only queues.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from anchors import ANCHORS, Policy
from own import Hanok
from replay import Outcome, read_trace, replay, scaled
from simulated import LLAMA_8B, QWEN_32B, Hardware, Request

TRACE = Path(__file__).resolve().parents[2] / "shared/data/traces/mooncake_conversation.jsonl"
LOADS = (1, 2, 3)
QUICK = 3000
"""Requests of a short look: what a cache forgets plays hardly a part in it."""
HARDWARE = {
    "qwen-32b": QWEN_32B,
    "llama-8b": LLAMA_8B,
    "slow-prefill": replace(QWEN_32B, prefill_tokens_per_s=8_000.0, flops_used=0.27),
    "small-cache": replace(QWEN_32B, blocks_factor=0.5),
    "large-cache": replace(QWEN_32B, blocks_factor=3.0),
    "slow-decode": replace(QWEN_32B, bandwidth_used=0.3),
}
POLICIES: dict[str, type[Policy]] = {each.name: each for each in (Hanok, *ANCHORS)}

Figures = dict[str, dict[str, float]]
talk = Console(stderr=True)


def measure(
    requests: Sequence[Request],
    names: Sequence[str],
    *,
    hardware: Hardware,
    engines: int,
    seeds: Sequence[int],
) -> Figures:
    """Each policy at each load: medians over the seeds."""
    figures: Figures = {name: {} for name in names}
    most = hardware.blocks * 16
    with Progress(console=talk, transient=True) as progress:
        task = progress.add_task("routing", total=len(names) * len(LOADS) * len(seeds) * len(requests))
        for load in LOADS:
            traces = [scaled(requests, load, seed, most) for seed in seeds]
            for name in names:
                outcomes: list[Outcome] = []
                for seed, trace in zip(seeds, traces, strict=True):
                    progress.update(task, description=f"{name} at {load}×")
                    outcomes.append(replay(trace, POLICIES[name], hardware=hardware, engines=engines, seed=seed))
                    progress.advance(task, len(requests))
                figures[name] |= medians(outcomes, load)
    return figures


def medians(outcomes: Sequence[Outcome], load: int) -> dict[str, float]:
    measures = ("ttft_mean_s", "ttft_p50_s", "ttft_p90_s", "ttft_p99_s", "hit_rate")
    return {f"{each}_{load}x": statistics.median(getattr(one, each) for one in outcomes) for each in measures}


def table_of(figures: Figures, title: str) -> Table:
    table = Table(
        title=title, caption="TTFT: seconds to the first token, mean (90th percentile). Bold: the lowest mean."
    )
    table.add_column("", no_wrap=True)
    for load in LOADS:
        table.add_column(f"hits {load}×", justify="right")
        table.add_column(f"TTFT {load}×", justify="right")
    best = {load: min(each[f"ttft_mean_s_{load}x"] for each in figures.values()) for load in LOADS}
    for name, mine in figures.items():
        cells: list[str] = []
        for load in LOADS:
            mean = mine[f"ttft_mean_s_{load}x"]
            text = f"{mean:.3f} ({mine[f'ttft_p90_s_{load}x']:.2f})"
            cells += [f"{mine[f'hit_rate_{load}x']:.1%}", f"[bold]{text}[/bold]" if mean == best[load] else text]
        table.add_row(name, *cells)
    return table


def chosen(names: str) -> list[str]:
    if not names:
        return list(POLICIES)
    wanted = [each.strip() for each in names.split(",")]
    unknown = [each for each in wanted if each not in POLICIES]
    if unknown:
        raise SystemExit(f"no policy is named {', '.join(unknown)}; there are {', '.join(POLICIES)}")
    return wanted


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Prefix-aware routing beside published rules, on simulated engines.")
    parser.add_argument("--trace", type=Path, default=TRACE, help="JSON lines as Mooncake's, or CSV as Azure's")
    parser.add_argument("--engines", type=int, default=16, help="how many engines (16)")
    parser.add_argument("--hardware", choices=sorted(HARDWARE), default="qwen-32b", help="what they run on, and what")
    parser.add_argument("--policies", default="", help="some of them, by commas")
    parser.add_argument("--seed", type=int, default=1, help="the first seed (1): ties, noise, times within a tick")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds; medians are shown (1)")
    parser.add_argument("--quick", action="store_true", help=f"only the first {QUICK:,} requests")
    parser.add_argument("--json", action="store_true", help="figures as JSON on stdout")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    names = chosen(args.policies)
    if args.engines < 1 or args.seeds < 1:
        raise SystemExit("there must be one engine and one seed at least")
    if not args.trace.is_file():
        talk.print(f"no trace at {args.trace}: nothing was measured. Name one with --trace FILE")
        return
    requests = read_trace(args.trace)
    if args.quick:
        requests = requests[:QUICK]
    hardware = HARDWARE[args.hardware]
    seeds = range(args.seed, args.seed + args.seeds)
    figures = measure(requests, names, hardware=hardware, engines=args.engines, seeds=seeds)
    if args.json:
        json.dump(figures, sys.stdout, indent=2)
        print()
    else:
        what = f"{args.trace.name}: {len(requests):,} requests, {args.engines} engines ({hardware.name})"
        Console().print(table_of(figures, what))


if __name__ == "__main__":
    main()
