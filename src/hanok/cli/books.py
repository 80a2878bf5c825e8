"""`hanok usage`, `hanok budgets` and `hanok audit`: the ledger, from the terminal, whether or not the server runs."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, cast

import typer
from rich.markup import escape
from rich.text import Text

from hanok.cli.terminal import FileOption, JsonOption, data, load_to_ask, new_table, print_json
from hanok.ledger import Ledger, UsageRow, iso, standings

BAR_WIDTH = 10
_PERIOD = re.compile(r"^(\d+)([hdw])$")
_UNIT_S = {"h": 3600, "d": 86400, "w": 7 * 86400}


class By(StrEnum):
    """What usage is grouped by."""

    KEY = "key"
    TEAM = "team"
    USER = "user"
    MODEL = "model"
    TIER = "tier"
    ENDPOINT = "endpoint"
    SESSION = "session"
    RUN = "run"
    DAY = "day"


def usage(
    by: Annotated[By, typer.Option(help="What to group by.")] = By.MODEL,
    since: Annotated[str | None, typer.Option(help="Only the last `24h`, `7d`, `4w`, or since `2026-11-01`.")] = None,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was used and what it cost.

    Example: `hanok usage --by key --since 7d`
    """
    rows = Ledger.of(load_to_ask(file)).usage(by.value, since=_since(since))
    if as_json:
        print_json({"by": by.value, "rows": [_row_form(row) for row in rows]})
        return
    if not rows:
        data.print("Nothing used yet.")
        return
    titles = ("CALLS", "FAILED", "IN", "OUT", "COST USD", "SAVED USD", "LATENCY", "FIRST TOKEN")
    group = by.value.upper()
    table = new_table(group, *titles, kept=(group, *titles[:-1]), numbers=titles)
    for row in rows:
        table.add_row(*_cells(row))
    if len(rows) > 1:
        table.add_section()
        table.add_row(*_cells(_total(rows)), style="bold")
    data.print(table)


def budgets(file: FileOption = None, as_json: JsonOption = False) -> None:
    """Show every budget of a key, team, user or model: its limit, what is used, what is left, when it begins anew.

    Example: `hanok budgets`
    """
    loaded = load_to_ask(file)
    found = standings(loaded.platform, Ledger.of(loaded), now=time.time())
    if as_json:
        print_json({"budgets": found})
        return
    if not found:
        data.print("No budgets are declared, or nothing draws on them yet; see `budgets:` in docs/platform-yaml.md.")
        return
    amounts = ("USED", "LIMIT", "LEFT")
    table = new_table("OF", "NAME", "PER", *amounts, "", "BEGINS ANEW", kept=("NAME", *amounts), numbers=amounts)
    for each in found:
        table.add_row(*_budget_cells(each))
    data.print(table)


def audit(
    last: Annotated[int, typer.Option(min=1, max=1000, help="How many entries.")] = 20,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who changed keys and limits, the newest first.

    Example: `hanok audit --last 50`
    """
    entries = Ledger.of(load_to_ask(file)).audit(limit=last)
    if as_json:
        print_json({"entries": [{**asdict(each), "at": iso(each.at)} for each in entries]})
        return
    table = new_table("TIME", "BY", "ACTION", "SUBJECT", "DETAIL", kept=("SUBJECT",))
    for each in entries:
        detail = ", ".join(f"{name}={_short(value)}" for name, value in each.detail.items() if _short(value))
        table.add_row(iso(each.at), each.actor, each.action, escape(each.subject), escape(detail))
    data.print(table if entries else "Nothing was changed yet.")


def _says_something(value: Any) -> bool:
    return value not in (None, [], {}, ["*"])


def _short(value: Any) -> str:
    """A value without what is not set in it."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return " ".join(f"{name}:{_short(each)}" for name, each in items if _says_something(each))
    if isinstance(value, list):
        return "; ".join(map(_short, cast("list[Any]", value))) if _says_something(value) else ""
    return str(value) if _says_something(value) else ""


def _budget_cells(budget: dict[str, Any]) -> tuple[str | Text, ...]:
    usd = budget["unit"] == "usd"

    def shown(amount: float) -> str:
        return f"${amount:,.4f}" if usd else f"{amount:,} tokens"

    share = min(1.0, budget["used"] / budget["limit"]) if budget["limit"] else 1.0
    colour = "red" if share >= 1 else "yellow" if share >= budget["soft"] else "green"
    full = round(share * BAR_WIDTH)
    bar = Text.assemble(("━" * full, colour), ("━" * (BAR_WIDTH - full), "bright_black"), f" {share:.0%}")
    return (
        budget["of"],
        escape(budget["name"]),
        budget["per"],
        shown(budget["used"]),
        shown(budget["limit"]),
        shown(budget["remaining"]),
        bar,
        (budget["resets_at"] or "never").partition("T")[0],
    )


def _since(text: str | None) -> float:
    if text is None:
        return 0.0
    if match := _PERIOD.match(text):
        return time.time() - int(match.group(1)) * _UNIT_S[match.group(2)]
    try:
        return _aware(datetime.fromisoformat(text)).timestamp()
    except ValueError:
        raise typer.BadParameter("takes 24h, 7d, 4w or a date like 2026-11-01", param_hint="--since") from None


def _aware(moment: datetime) -> datetime:
    """A moment without a time zone is meant in UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _cells(row: UsageRow) -> tuple[str, ...]:
    return (
        escape(row.group or "–"),
        f"{row.calls:,}",
        f"{row.failed:,}",
        f"{row.prompt_tokens:,}",
        f"{row.completion_tokens:,}",
        f"{row.cost_usd:.6f}",
        f"{row.saved_usd:.6f}",
        f"{row.mean_latency_ms:,.0f} ms",
        f"{row.mean_first_token_ms:,.0f} ms" if row.first_tokens else "–",
    )


def _total(rows: list[UsageRow]) -> UsageRow:
    calls, first_tokens = sum(row.calls for row in rows), sum(row.first_tokens for row in rows)
    return UsageRow(
        group="total",
        calls=calls,
        failed=sum(row.failed for row in rows),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        completion_tokens=sum(row.completion_tokens for row in rows),
        cost_nano_usd=sum(row.cost_nano_usd for row in rows),
        saved_nano_usd=sum(row.saved_nano_usd for row in rows),
        mean_latency_ms=sum(row.mean_latency_ms * row.calls for row in rows) / calls,
        mean_first_token_ms=sum(row.mean_first_token_ms * row.first_tokens for row in rows) / max(1, first_tokens),
        first_tokens=first_tokens,
    )


def _row_form(row: UsageRow) -> dict[str, Any]:
    return {
        "group": row.group,
        "calls": row.calls,
        "failed": row.failed,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "cost_usd": row.cost_usd,
        "saved_usd": row.saved_usd,
        "mean_latency_ms": row.mean_latency_ms,
        "mean_first_token_ms": row.mean_first_token_ms,
    }
