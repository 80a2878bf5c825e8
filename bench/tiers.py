"""How well requests are sorted into tiers, what that saves, and what it takes: `python bench/tiers.py [--json]`.

Each classifier sorts the requests of `tier_prompts.py`: the rules; the nearest of the built-in examples, by the
embedded sentence encoder; and the embedded 270M model when asked (both need the extra `local`). Costs are by example
prices and an assumed answer of 300 tokens a request; they say how sorting pays, not what anybody's bill will be.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform as machine
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from hanok.assemble import running
from hanok.gateway import Sorter
from hanok.routing.tiers import TIERS, Asked, Rules
from hanok.spec import Auto, TierRules, load
from hanok.wire import ChatRequest
from tier_prompts import prompts

ANSWER_TOKENS = 300
PRICES = {
    "simple": {"input": 0.10, "output": 0.40},
    "moderate": {"input": 0.50, "output": 1.50},
    "complex": {"input": 2.50, "output": 10.00},
}
"""US dollars per million tokens: round figures of the kind that small, middling and large hosted models cost."""
Labelled = tuple[str, str, str]
"""A tier, a language, a text."""
CLASSIFIER_MODELS = {"rules": None, "examples": "encoder", "model": "gemma"}
LONG = {
    "English prose": "The quick brown fox reads a long report about the weather and then tells its friends. " * 115,
    "English instructions": "Analyze this report, explain the risks and compare the strategies. " * 150,
    "Korean prose": "오늘은 날씨가 맑아서 친구와 함께 가까운 공원에 다녀왔습니다. " * 120,
    "Korean instructions": "이 보고서를 분석하고 위험을 설명하고 전략을 비교해줘. " * 140,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--without", nargs="*", default=[], choices=list(CLASSIFIER_MODELS))
    parser.add_argument("--every", type=int, default=1, help="only each N-th request")
    given = parser.parse_args()
    chosen = prompts()[:: given.every]
    names = [name for name in CLASSIFIER_MODELS if name not in given.without]
    report = asyncio.run(_measure(names, chosen)) | {
        "rules_on_10_kb_us": _long_prompts(),
        "machine": machine.platform(),
    }
    print(json.dumps(report, indent=1, ensure_ascii=False) if given.json else _shown(report))


async def _measure(names: list[str], chosen: Sequence[Labelled]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "platform.yaml"
        file.write_text(yaml.safe_dump(_platform(names)), "utf-8")
        async with running(load(file)) as house:
            await house.fleet.wait_started(each.name for each in house.loaded.platform.models)
            results = {}
            for name in names:
                results[name] = await _sort(name, Sorter(_auto(name), house.models), chosen)
            return {"prompts": len(chosen), "cores": os.cpu_count(), "classifiers": results}


def _platform(names: list[str]) -> dict[str, Any]:
    models: list[dict[str, Any]] = [{"name": tier, "serve": {"engine": "echo"}} for tier in TIERS]
    if "examples" in names:
        models.append({"name": "encoder", "type": "embedding", "serve": {"engine": "sentence-encoder"}})
    if "model" in names:
        models.append({"name": "gemma", "serve": {"engine": "llamacpp"}})
    return {"name": "bench", "gateway": {"reload": False}, "models": models}


def _auto(name: str) -> Auto:
    return Auto.model_validate(
        {
            **{tier: tier for tier in TIERS},
            "classifier": name,
            "classifier_model": CLASSIFIER_MODELS[name],
            "timeout_s": 60,
        }
    )


async def _sort(name: str, sorter: Sorter, chosen: Sequence[Labelled]) -> dict[str, Any]:
    if not sorter.is_ready:
        await sorter.learn()
    matrix: Counter[tuple[str, str]] = Counter()
    right: Counter[str] = Counter()
    times: list[float] = []
    undecided = 0
    spent = 0.0
    for tier, language, text in chosen:
        request = ChatRequest.ask("auto", [{"role": "user", "content": text}])
        begun = time.perf_counter()
        verdict = await sorter.judge(request)
        times.append((time.perf_counter() - begun) * 1e3)
        print(f"\r{name} {len(times)}/{len(chosen)}", end="", file=sys.stderr)
        undecided += verdict.classifier != name
        matrix[(tier, verdict.tier)] += 1
        right[language] += verdict.tier == tier
        spent += _cost(verdict.tier, text)
    all_complex = sum(_cost("complex", text) for _, _, text in chosen)
    oracle = sum(_cost(tier, text) for tier, _, text in chosen)
    each = Counter(language for _, language, _ in chosen)
    return {
        "accuracy": sum(right.values()) / len(chosen),
        "accuracy_by_language": {language: count / each[language] for language, count in sorted(right.items())},
        "too_low": sum(count for (was, is_), count in matrix.items() if TIERS.index(is_) < TIERS.index(was)),
        "too_high": sum(count for (was, is_), count in matrix.items() if TIERS.index(is_) > TIERS.index(was)),
        "decided_by_rules_instead": undecided if name != "rules" else 0,
        "confusion": {was: {is_: matrix[(was, is_)] for is_ in TIERS} for was in TIERS},
        "saved_share": 1 - spent / all_complex,
        "saved_share_if_always_right": 1 - oracle / all_complex,
        "ms_median": statistics.median(times),
        "ms_p95": sorted(times)[int(len(times) * 0.95)],
    }


def _cost(tier: str, text: str) -> float:
    price = PRICES[tier]
    return (len(text.encode()) / 4 * price["input"] + ANSWER_TOKENS * price["output"]) / 1e6


def _long_prompts() -> dict[str, float]:
    """Microseconds of processor time that the rules take for a prompt of 10 KB."""
    rules = Rules.of(TierRules())
    found: dict[str, float] = {}
    for name, text in LONG.items():
        asked = Asked(text=text, prompt_bytes=len(text.encode()))
        best = float("inf")
        for _ in range(20):
            begun = time.process_time()
            for _ in range(50):
                rules.judge(asked)
            best = min(best, (time.process_time() - begun) / 50)
        found[name] = best * 1e6
    return found


def _shown(report: dict[str, Any]) -> str:
    lines = [f"{report['prompts']} requests of our own, {report['cores']} cores"]
    for name, found in report["classifiers"].items():
        by = ", ".join(f"{language} {share:.0%}" for language, share in found["accuracy_by_language"].items())
        lines += [
            "",
            f"{name}: {found['accuracy']:.1%} right ({by}); {found['too_low']} too low, {found['too_high']} too high",
            f"  saved {found['saved_share']:.0%} of all-complex (always right: "
            f"{found['saved_share_if_always_right']:.0%})",
            f"  {found['ms_median']:.3f} ms a decision, p95 {found['ms_p95']:.3f} ms; "
            f"{found['decided_by_rules_instead']} decided by the rules instead",
            f"  {'':<10}" + "".join(f"{tier:>10}" for tier in TIERS),
        ]
        lines += [
            f"  {was:<10}" + "".join(f"{row[tier]:>10}" for tier in TIERS) for was, row in found["confusion"].items()
        ]
    lines += ["", "rules on a prompt of 10 KB:"]
    lines += [f"  {name}: {micros:.0f} µs" for name, micros in report["rules_on_10_kb_us"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
