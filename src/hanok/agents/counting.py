"""What a run has used, counted from what it finished: receipts are the truth, also after a crash."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hanok.agents.reply import Reply
from hanok.agents.values import Bounds, Receipt, Used, text_of
from hanok.wire import NANO


def add(used: Used, more: Used) -> Used:
    """Both together."""
    return Used(
        steps=used.steps + more.steps,
        tool_calls=used.tool_calls + more.tool_calls,
        prompt_tokens=used.prompt_tokens + more.prompt_tokens,
        completion_tokens=used.completion_tokens + more.completion_tokens,
        cost_nano_usd=used.cost_nano_usd + more.cost_nano_usd,
        seconds=used.seconds + more.seconds,
    )


def used_by_receipts(receipts: Iterable[Receipt], seconds: float) -> Used:
    """What finished calls have used, and the seconds worked so far: those of the run's row, or, where its process died
    since that was written, what its latest receipt says."""
    used = Used()
    for receipt in receipts:
        spent: dict[str, Any] = (receipt.result or {}).get("used") or {}
        used = add(used, Used(**spent))
        seconds = max(seconds, float((receipt.result or {}).get("worked_s") or 0.0))
    return replace(used, seconds=seconds)


def paid_to_tools(receipts: Iterable[Receipt]) -> int:
    """What finished tool calls have cost, in nano dollars."""
    return sum((receipt.result or {}).get("price") or 0 for receipt in receipts)


def said_last(receipts: Iterable[Receipt]) -> str | None:
    """The words that a model has said last, if it has said any."""
    replies = [receipt for receipt in receipts if receipt.kind == "model" and receipt.result is not None]
    said = [(receipt.at, text_of((receipt.result or {}).get("message"))) for receipt in replies]
    return max(((at, text) for at, text in said if text), default=(0.0, None))[1]


def used_by_reply(reply: Reply) -> Used:
    """What one model call has used."""
    return Used(
        steps=1,
        prompt_tokens=reply.usage.prompt_tokens,
        completion_tokens=reply.usage.completion_tokens,
        cost_nano_usd=reply.cost_nano_usd,
    )


def used_form(used: Used) -> dict[str, Any]:
    """For people and machines: money in US dollars."""
    form = dict(vars(used))
    cost = form.pop("cost_nano_usd")
    return {**form, "seconds": round(used.seconds, 3), "usd": cost / NANO}


def bounds_form(bounds: Bounds) -> dict[str, Any]:
    """Likewise. None does not limit."""
    return {
        "steps": bounds.steps,
        "tool_calls": bounds.tool_calls,
        "iterations": bounds.iterations,
        "retries": bounds.retries,
        "wall_time_s": bounds.wall_time_s,
        "tokens": bounds.tokens,
        "usd": None if bounds.cost_nano_usd is None else bounds.cost_nano_usd / NANO,
        "depth": bounds.depth,
    }
