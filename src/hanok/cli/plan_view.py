"""How `hanok plan` looks: for people a table with bars of memory, for machines one object. Fits 80 columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from hanok.cli.money import usd, usd_range
from hanok.cli.terminal import data
from hanok.gpu import (
    DENSE_ERROR,
    EXPERTS_ERROR,
    GIB,
    Catalog,
    Cost,
    Fit,
    Miss,
    Option,
    Plan,
    Rate,
    api_million,
)

WIDE = 108
MONTH_H = 730
_BLOCKS = (
    ("weights", "█", "blue"),
    ("engine", "▒", "yellow"),
    ("KV cache", "░", "green"),
    ("not used", "·", "bright_black"),
)


def show(plans: Sequence[tuple[str, Plan]], catalog: Catalog, *, top: int | None) -> None:
    """Every plan, on stdout."""
    for name, plan in plans:
        data.print(_plan(name, plan, catalog, top))
        data.print()
    if (hour := _together(plans)) is not None and len(plans) > 1:
        told = f"The cheapest of each together: ${usd(hour)}/h on demand, ${usd(hour * MONTH_H)} a month\n"
        data.print(Text(told, style="bold"))
    error = EXPERTS_ERROR if any(plan.wanted.anatomy.experts for _, plan in plans) else DENSE_ERROR
    note = f"Speeds are estimates, ±{error:.0%}; memory ±1 GiB a GPU. Prices: {catalog.region}, {catalog.date:%B %Y}."
    data.print(Text(f"{note} How it is reckoned: docs/planning.md", style="bright_black"))


def _together(plans: Sequence[tuple[str, Plan]]) -> float | None:
    """USD an hour of the cheapest option of each; None where one has none, or no price."""
    hours = [plan.hour for _, plan in plans]
    return sum(hour for hour in hours if hour is not None) if hours and None not in hours else None


def _plan(name: str, plan: Plan, catalog: Catalog, top: int | None) -> Group:
    parts: list[Any] = [_head(name, plan), Text()]
    spot = plan.wanted.deploy.spot
    options = _shown(plan.options, top)
    if options:
        parts += [_table(options, spot=spot), _legend(options), Text()]
        parts += _notes(plan, options[0], catalog)
    elif not plan.slices:
        parts += [Text("✗ No machine of the catalogue can serve this.", style="bold red"), *_remedies(plan)]
    if slices := _shown(plan.slices, top and max(1, top // 2)):
        parts += [
            _title("As slices of GPUs (MIG)", "the price is the slices' share of a machine"),
            _table(slices, spot=spot),
        ]
    if missed := plan.misses if top is None else [miss for miss in plan.misses if miss.way.fit][:top]:
        more = len(plan.misses) - len(missed)
        parts += [_title("Nearest misses", f"{more} more with --all" if more else ""), _misses(missed)]
    return Group(*parts)


def _shown(options: Sequence[Option], top: int | None) -> list[Option]:
    """The best of each kind of machine, as many as are asked for; all of them when all are."""
    if top is None:
        return list(options)
    first: dict[tuple[str, int, str | None], Option] = {}
    for option in options:
        first.setdefault((option.machine.accelerator, option.machine.gpus, option.machine.profile), option)
    return list(first.values())[:top]


def _head(name: str, plan: Plan) -> Text:
    wanted, anatomy = plan.wanted, plan.wanted.anatomy
    weights = sum(count * anatomy.packing.bytes_of(part) for part, count in anatomy.parts.items())
    active = f" ({anatomy.active / 1e9:.1f} B active)" if anatomy.experts else ""
    title = Text.assemble((name, "bold"), f"  {anatomy.name}" if anatomy.name != name else "")
    title.append(f"\n{anatomy.parameters / 1e9:.1f} B parameters{active}, {anatomy.packing.format}, ")
    title.append(f"{weights / GIB:.1f} GiB of weights", style="blue")
    calls = f"\n{wanted.deploy.concurrency} calls of {wanted.deploy.context_tokens:,} tokens in memory at once"
    title.append(calls + f"; a usual call: {wanted.shape.prompt:,} in, {wanted.shape.output:,} out")
    if wanted.per_s is not None:
        title.append(f", {wanted.per_s:g} a second")
    limits = wanted.deploy.latency
    told = [f"≤ {limits.tpot_ms:g} ms a token"] if limits.tpot_ms is not None else []
    told += [f"≤ {limits.ttft_s:g} s to the first"] if limits.ttft_s is not None else []
    return title.append("\n" + ", ".join(told) if told else "")


def _title(title: str, more: str) -> Text:
    return Text.assemble(("\n" + title, "bold"), (f"  {more}" if more else "", "bright_black"))


def _table(options: Iterable[Option], *, spot: bool) -> Table:
    wide = data.width >= WIDE
    bar = 50 if wide else 23
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bright_black", show_edge=False)
    table.add_column("MACHINES", no_wrap=True, min_width=24)
    table.add_column("MEMORY OF ONE GPU", no_wrap=True, width=bar)
    table.add_column("AT THE LOAD", no_wrap=True, min_width=12)
    table.add_column("SPOT, ABOUT" if spot else "ON DEMAND", no_wrap=True, min_width=14)
    for option in options:
        table.add_row(_machine(option), _memory(option, bar), _speed(option), _price(option, spot=spot))
    return table


def _machine(option: Option) -> Text:
    machine = option.machine
    if machine.profile is not None:
        text = Text.assemble((f"{option.count}× {machine.profile}", "bold"))
        return text.append(f"\nof {_gpu(option)}, {option.instance.split('.')[0]}", style="bright_black")
    text = Text.assemble((f"{option.count}× {option.instance}", "bold"))
    return text.append(f"\n{machine.gpus}× {_gpu(option)}{_spread(option)}", style="bright_black")


def _gpu(option: Option) -> str:
    title = option.machine.device.title.removeprefix("NVIDIA ").replace(" Blackwell Server", "").replace(" SXM", "")
    return title if title.startswith("A100") else re.sub(r" \d+GB$", "", title)


def _spread(option: Option) -> str:
    told = f" TP{option.split.tensor}" if option.split.tensor > 1 else ""
    told += f" PP{option.split.pipeline}" if option.split.pipeline > 1 else ""
    told += f" ×{option.replicas}" if option.replicas > 1 else ""
    return told + (" arm64" if option.host.arch == "arm64" else "")


def _memory(option: Option, width: int) -> Text:
    room = option.fit
    calls = room.concurrency * option.replicas
    told = f"{calls} call{'s' if calls != 1 else ''}"
    text = _bar(room, width).append("\n").append(told)
    if option.tight:
        return text.append(f" · tight, {room.kv / GIB:.1f} GiB", style="red")
    text.append(f" · {_short(room.kv_tokens * option.replicas)} tokens", style="bright_black")
    return text.append(f" · {room.kv / GIB:.1f} GiB of KV a GPU" if width > 30 else "", style="bright_black")


def _bar(room: Fit, width: int) -> Text:
    """Weights, engine, KV cache and what is left aside, in their shares of the memory."""
    sizes = (room.weights, room.overhead, room.kv, room.memory - room.usable)
    text, filled, drawn = Text(), 0.0, 0
    for size, (_, block, colour) in zip(sizes, _BLOCKS, strict=True):
        filled += max(0.0, size)
        end = min(width, round(filled / room.memory * width))
        text.append(block * (end - drawn), style=colour)
        drawn = max(drawn, end)
    return text


def _legend(options: Iterable[Option]) -> Text:
    blocks = Text("  ").join(Text.assemble((block, colour), f" {name}") for name, block, colour in _BLOCKS)
    letters = {short: words for option in options for short, words in _letters(option)}
    told = Text("  ").join(Text(f"{short} {words}", style="bright_black") for short, words in letters.items())
    return Text("\n").join([blocks, told]) if letters else blocks


def _letters(option: Option) -> Iterator[tuple[str, str]]:
    """The letters that stand for how an option is spread, and what they mean."""
    if option.split.tensor > 1:
        yield "TP", "tensor parallel"
    if option.split.pipeline > 1:
        yield "PP", "pipeline parallel"
    if option.replicas > 1:
        yield "×", "replicas"


def _remedies(plan: Plan) -> list[Text]:
    """What would help, with the machine and the price that it would take."""
    told = [Text(f"  {words}: {_offer(option)}") for words, option in plan.remedies]
    return [Text("It would fit with", style="bold"), *told] if told else []


def _offer(option: Option) -> str:
    what = f"{option.machine.profile} of {option.instance}" if option.machine.profile else option.instance
    price = f", ${usd(option.cost.hour)}/h" if option.cost else ""
    return f"{option.count}× {what}{price}"


def _short(tokens: int) -> str:
    return f"{tokens / 1e6:.1f}M" if tokens >= 1e6 else f"{tokens / 1e3:.0f}k" if tokens >= 1e4 else f"{tokens:,}"


def _speed(option: Option) -> Text:
    load = option.load
    first = f"{load.ttft_s:.1f} s" if load.ttft_s >= 1 else f"{load.ttft_s * 1000:.0f} ms"
    return Text.assemble(f"{load.tpot_s * 1000:.0f} ms/token", (f"\n{first} first", "bright_black"))


def _price(option: Option, *, spot: bool) -> Text:
    cost = option.cost
    if cost is None:
        return Text("no price", style="bright_black")
    hour, million = (cost.hour, cost.hour), (cost.million_full, cost.million_load)
    if spot:
        hour, million = cost.spot_hour, (cost.spot(million[0])[0], cost.spot(million[1])[1])
    return Text.assemble((f"{usd_range(*hour)}/h", "bold"), (f"\n{usd_range(*million)}/1M", "bright_black"))


def _notes(plan: Plan, best: Option, catalog: Catalog) -> list[Any]:
    told: list[Text] = []
    if best.machine.profile is None:
        command = f"vllm serve {_checkpoint(plan)} {' '.join(best.flags)}"
        told.append(Text.assemble(("start   ", "bright_black"), (command, "cyan")))
    if best.cost is not None and not plan.wanted.deploy.spot:
        low, high = best.cost.spot_hour
        share = f"{100 * catalog.spot.low:.0f}–{catalog.spot.high:.0%} of on demand, an assumption"
        told.append(Text.assemble(("spot    ", "bright_black"), f"about ${usd(low)}–{usd(high)}/h: {share}"))
    if plan.api is not None:
        price = api_million(plan.api, plan.wanted.shape)
        month = f"{catalog.apis.date:%B %Y}"
        told.append(
            Text.assemble(("an API  ", "bright_black"), f"about ${price:.2f}/1M tokens for {plan.api.model} ({month})")
        )
    told.append(
        Text.assemble(
            ("$/1M    ", "bright_black"), "from always full to only the load; prompt and answer tokens together"
        )
    )
    return list(told)


def _checkpoint(plan: Plan) -> str:
    """What is to be served: the model, or one that somebody must have quantised so."""
    wish = plan.wanted.deploy.quantization
    return plan.wanted.anatomy.name + (f" (its {wish} checkpoint)" if wish not in ("auto", "none", "fp8") else "")


def _misses(misses: Iterable[Miss]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, show_edge=False)
    table.add_column(no_wrap=True, min_width=25)
    table.add_column(overflow="fold")
    refused: dict[str, list[str]] = {}
    for miss in misses:
        if miss.way.fit is None:
            refused.setdefault("; ".join(miss.way.reasons), []).append(miss.instance.split(".")[0])
        else:
            table.add_row(_missed(miss), Text("; ".join(miss.way.reasons)))
    for reason, names in refused.items():
        table.add_row(
            Text.assemble(("✗ ", "red"), f"{len(names)} of other makes" if len(names) > 1 else names[0]), reason
        )
    return table


def _missed(miss: Miss) -> Text:
    name = f"{miss.machine.profile} of {miss.machine.accelerator}" if miss.machine.profile else miss.instance
    split = f" TP{miss.way.split.tensor}" if miss.way.split.tensor > 1 else ""
    return Text.assemble(
        ("✗ ", "red"),
        name,
        (split + (f" PP{miss.way.split.pipeline}" if miss.way.split.pipeline > 1 else ""), "bright_black"),
    )


def form(plans: Sequence[tuple[str, Plan]], catalog: Catalog, source: str) -> dict[str, Any]:
    """The same for machines. Bytes as GiB, times in seconds, prices in USD."""
    return {
        "catalog": {"date": str(catalog.date), "region": catalog.region, "from": source},
        "spot": catalog.spot.model_dump(),
        "error": {"speed_dense": DENSE_ERROR, "speed_experts": EXPERTS_ERROR, "memory_gib": 1.0},
        "plans": [_form(name, plan) for name, plan in plans],
        "cheapest_together_usd_per_hour": _together(plans),
    }


def _form(name: str, plan: Plan) -> dict[str, Any]:
    wanted, anatomy = plan.wanted, plan.wanted.anatomy
    return {
        "model": name,
        "weights": anatomy.name,
        "parameters": anatomy.parameters,
        "active_parameters": round(anatomy.active),
        "format": anatomy.packing.format,
        "weights_gib": _gib(sum(count * anatomy.packing.bytes_of(part) for part, count in anatomy.parts.items())),
        "wanted": wanted.deploy.model_dump(mode="json")
        | {
            "load": {
                "requests_per_s": wanted.per_s,
                "prompt_tokens": wanted.shape.prompt,
                "output_tokens": wanted.shape.output,
            }
        },
        "fits": plan.fits,
        "options": [_option(option) for option in plan.options],
        "slices": [_option(option) for option in plan.slices],
        "misses": [_miss(miss) for miss in plan.misses],
        "remedies": [{"change": words, "option": _option(option)} for words, option in plan.remedies],
        "api": plan.api and {**plan.api.model_dump(), "usd_per_million": round(api_million(plan.api, wanted.shape), 4)},
    }


def _option(option: Option) -> dict[str, Any]:
    host = option.host
    return {
        "instance": option.instance,
        "count": option.count,
        "accelerator": option.machine.accelerator,
        "gpus": option.machine.gpus,
        "mig_profile": option.machine.profile,
        "tensor_parallel": option.split.tensor,
        "pipeline_parallel": option.split.pipeline,
        "replicas": option.replicas,
        "memory_of_one_gpu": _room(option.fit),
        "tight": option.tight,
        "concurrency": option.fit.concurrency * option.replicas,
        "kv_tokens": option.fit.kv_tokens * option.replicas,
        "at_load": _rate(option.load),
        "when_full": _rate(option.full),
        "usd": option.cost and _cost(option.cost),
        "host": {
            "arch": host.arch,
            "cpu": host.cpu,
            "memory_mib": host.memory_mib,
            "efa": host.efa,
            "nvme_gb": host.nvme_gb,
        },
        "vllm_flags": list(option.flags),
    }


def _room(room: Fit) -> dict[str, float]:
    return {
        "memory_gib": _gib(room.memory),
        "usable_gib": _gib(room.usable),
        "weights_gib": _gib(room.weights),
        "engine_gib": _gib(room.overhead),
        "kv_cache_gib": _gib(room.kv),
        "one_call_gib": _gib(room.sequence),
    }


def _gib(size: float) -> float:
    return round(size / GIB, 2)


def _rate(rate: Rate) -> dict[str, float]:
    return {
        "calls_at_once": rate.batch,
        "ttft_s": round(rate.ttft_s, 4),
        "tpot_s": round(rate.tpot_s, 5),
        "requests_per_s": round(rate.requests_per_s, 3),
        "decode_tokens_per_s": round(rate.decode_tokens_s, 1),
        "prefill_tokens_per_s": round(rate.prefill_tokens_s, 1),
    }


def _cost(cost: Cost) -> dict[str, Any]:
    return {
        "per_hour": round(cost.hour, 4),
        "per_million_tokens": [round(cost.million_full, 4), round(cost.million_load, 4)],
        "spot_per_hour": [round(each, 4) for each in cost.spot_hour],
        "spot_per_million_tokens": [
            round(cost.spot(cost.million_full)[0], 4), round(cost.spot(cost.million_load)[1], 4),
        ],
    }  # fmt: skip


def _miss(miss: Miss) -> dict[str, Any]:
    return {
        "instance": miss.instance,
        "instances": [name for name, _ in miss.machine.instances],
        "accelerator": miss.machine.accelerator,
        "gpus": miss.machine.gpus,
        "mig_profile": miss.machine.profile,
        "tensor_parallel": miss.way.split.tensor,
        "pipeline_parallel": miss.way.split.pipeline,
        "memory_of_one_gpu": miss.way.fit and _room(miss.way.fit),
        "reasons": list(miss.way.reasons),
    }
