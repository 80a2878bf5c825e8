"""`hanok render --diff`: what a change of the platform does to the tree and to the monthly bill."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from hanok.cli.money import usd_range
from hanok.cli.patience import patience
from hanok.cli.terminal import data, print_json, talk

if TYPE_CHECKING:
    from hanok.kubernetes.differences import Change, Edit
    from hanok.preflight.cost.bill import Bill

SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
SHOWN = 100
"""Characters of a value that are shown."""


def show_differences(old: Mapping[str, str], new: Mapping[str, str], catalog: Path | None, *, as_json: bool) -> bool:
    """Tell on stdout what differs, and what a month costs before and after; whether anything differs."""
    from hanok.kubernetes.differences import differences
    from hanok.kubernetes.removals import removals

    found = differences(old, new)
    with patience("reckoning the bill"):
        bills = (_bill(old, catalog), _bill(new, catalog)) if found else None
    if as_json:
        months = _months(bills) if bills else None
        print_json({"changes": [asdict(each) for each in found], "usd_month": months, "delete": removals(old, new)})
    else:
        _show(found, bills)
        show_removals(removals(old, new))
    return bool(found)


def show_removals(commands: Sequence[str]) -> None:
    """What deletes from the cluster what the tree no longer has, where nobody else does."""
    if commands:
        talk.print("\nnobody deletes these from the cluster but you, once the new tree is applied:")
    for each in commands:
        talk.print(Text(f"  {each}"), soft_wrap=True)


def _bill(files: Mapping[str, str], catalog: Path | None) -> Bill:
    """The bill of a tree, as preflight reckons it."""
    from hanok.cli.preflight import Given, facts_of
    from hanok.kubernetes.store import write_tree
    from hanok.preflight import Case, gather

    with tempfile.TemporaryDirectory() as folder:
        write_tree(files, Path(folder))
        cluster = gather([Path(folder)]).cluster
    return Case(cluster=cluster, facts=facts_of(Given(catalog=catalog), _today())).bill


def _today() -> Any:
    import datetime

    return datetime.datetime.now(datetime.UTC).date()


def _months(bills: tuple[Bill, Bill]) -> dict[str, dict[str, list[float]]]:
    """USD a month, from the lowest to the highest rent, at the fewest and at the most replicas."""
    from hanok.preflight.cost.bill import MONTH_H

    def form(bill: Bill) -> dict[str, list[float]]:
        rents = {"fewest": bill.least, "most": bill.most}
        return {name: [round(each.low * MONTH_H, 2), round(each.high * MONTH_H, 2)] for name, each in rents.items()}

    return {"before": form(bills[0]), "after": form(bills[1])}


def _show(found: Sequence[Change], bills: tuple[Bill, Bill] | None) -> None:
    if not found or bills is None:
        data.print("nothing changes")
        return
    for each in found:
        sign, colour = SIGNS[each.what]
        data.print(Text(f"{sign} {each.title}", style=colour), soft_wrap=True)
        for edit in each.edits:
            _show_edit(edit)
    counts = {what: sum(each.what == what for each in found) for what in SIGNS}
    data.print()
    data.print(", ".join(f"{count} {what}" for what, count in counts.items() if count))
    months = _months(bills)
    for name in ("fewest", "most"):
        before, after = (usd_range(*months[when][name]) for when in ("before", "after"))
        told = before if before == after else f"{before} → {after}"
        data.print(f"a month, at the {name} replicas: {told}", highlight=False)


def _show_edit(edit: Edit) -> None:
    if edit.lines:
        if edit.place:
            data.print(f"    {edit.place}:", highlight=False)
        for line in edit.lines:
            style = {"+": "green", "-": "red"}.get(line[:1], "bright_black")
            data.print(Text(f"      {line}", style=style), soft_wrap=True)
        return
    parts = [_value(each) for each in (edit.old, edit.new)]
    data.print(Text(f"    {edit.place}: {parts[0]} → {parts[1]}"), soft_wrap=True)


def _value(value: Any) -> str:
    if value is None:
        return "(none)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
