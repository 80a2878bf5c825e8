"""`hanok keys` and `hanok usage`: the ledger, from the terminal. They work whether or not the server runs."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from hanok.cli.terminal import DEFAULT_FILE, FileOption, JsonOption, data, print_json, talk
from hanok.ledger import Key, Ledger, UsageRow
from hanok.spec import load

keys = typer.Typer(help="Make, list and revoke the keys that open the API.", no_args_is_help=True)
_PERIOD = re.compile(r"^(\d+)([hdw])$")
_UNIT_S = {"h": 3600, "d": 86400, "w": 7 * 86400}


class By(StrEnum):
    """What usage is grouped by."""

    KEY = "key"
    MODEL = "model"
    SESSION = "session"
    DAY = "day"


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, as `alice` or `ci`.")],
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and show it, once.

    Example: `hanok keys create alice`
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", name):
        raise typer.BadParameter("letters, digits and . _ @ - (at most 64), beginning with a letter or digit")
    new = _ledger(file).create_key(name)
    if as_json:
        print_json({"key": new.secret, "id": new.key.id, "name": name})
    else:
        print(new.secret)
        talk.print("This key is shown only now; the ledger keeps its hash.")


@keys.command("list")
def list_(file: FileOption = None, as_json: JsonOption = False) -> None:
    """List the keys, revoked ones too.

    Example: `hanok keys list`
    """
    found = _ledger(file).list_keys()
    if as_json:
        print_json({"keys": [_key_form(key) for key in found]})
        return
    table = Table("NAME", "ID", "KEY", "CREATED", "STATUS", box=None)
    for key in found:
        status = "revoked" if key.revoked_at else "in use"
        table.add_row(key.name, key.id, key.shown, _time(key.created_at), status)
    data.print(table if found else "No keys yet: hanok keys create NAME")


@keys.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="The key's name or id.")],
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key. A running server follows within a second or two.

    Example: `hanok keys revoke alice`
    """
    key = _ledger(file).revoke_key(name)
    if as_json:
        print_json({"revoked": key.id, "name": key.name})
    else:
        talk.print(f"Revoked {key.name} ({key.id}).")


def usage(
    by: Annotated[By, typer.Option(help="What to group by.")] = By.MODEL,
    since: Annotated[str | None, typer.Option(help="Only the last `24h`, `7d`, `4w`, or since `2026-11-01`.")] = None,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was used and what it cost.

    Example: `hanok usage --by key --since 7d`
    """
    rows = _ledger(file).usage(by.value, since=_since(since))
    if as_json:
        print_json({"by": by.value, "rows": [_row_form(row) for row in rows]})
        return
    if not rows:
        data.print("Nothing used yet.")
        return
    table = Table(box=None)
    table.add_column(by.value.upper())
    for title in ("CALLS", "FAILED", "IN", "OUT", "COST USD", "LATENCY", "FIRST TOKEN"):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(*_cells(row))
    if len(rows) > 1:
        table.add_section()
        table.add_row(*_cells(_total(rows)), style="bold")
    data.print(table)


def _ledger(file: Path | None) -> Ledger:
    return Ledger(load(file or DEFAULT_FILE).state)


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
        f"{row.mean_latency_ms:,.0f} ms",
        f"{row.mean_first_token_ms:,.0f} ms",
    )


def _total(rows: list[UsageRow]) -> UsageRow:
    calls = sum(row.calls for row in rows)
    return UsageRow(
        group="total",
        calls=calls,
        failed=sum(row.failed for row in rows),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        completion_tokens=sum(row.completion_tokens for row in rows),
        cost_nano_usd=sum(row.cost_nano_usd for row in rows),
        mean_latency_ms=sum(row.mean_latency_ms * row.calls for row in rows) / calls,
        mean_first_token_ms=sum(row.mean_first_token_ms * row.calls for row in rows) / calls,
    )


def _row_form(row: UsageRow) -> dict[str, Any]:
    return {
        "group": row.group,
        "calls": row.calls,
        "failed": row.failed,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "cost_usd": row.cost_usd,
        "mean_latency_ms": row.mean_latency_ms,
        "mean_first_token_ms": row.mean_first_token_ms,
    }


def _key_form(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "key": key.shown,
        "created_at": _time(key.created_at),
        "revoked_at": _time(key.revoked_at) if key.revoked_at else None,
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
