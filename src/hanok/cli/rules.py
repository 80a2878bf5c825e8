"""`hanok rules`: what preflight looks for, and why."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hanok.cli.terminal import JsonOption, data, new_table, print_json
from hanok.errors import PreflightError

rules = typer.Typer(name="rules", help="What preflight looks for.", no_args_is_help=True)


@rules.command("list")
def list_rules(as_json: JsonOption = False) -> None:
    """Every rule: its id, its severity, and what it finds.

    Example: `hanok rules list`
    """
    from hanok.preflight import rules as all_rules

    found = all_rules().values()
    if as_json:
        print_json(
            [{"id": each.id, "severity": each.severity, "title": each.title, "hint": each.hint} for each in found]
        )
        return
    table = new_table("RULE", "SEVERITY", "FINDS", kept=("RULE", "SEVERITY"))
    for each in found:
        table.add_row(each.id, each.severity, each.title)
    data.print(table)


@rules.command("show")
def show_rule(rule: Annotated[str, typer.Argument(help="The rule's id.")]) -> None:
    """Why a rule is there, with a bad and a good example.

    Example: `hanok rules show HK002`
    """
    from rich.markdown import Markdown

    from hanok.cli.preflight_view import WIDEST
    from hanok.preflight import page
    from hanok.preflight import rules as all_rules

    name = rule.upper()
    if name not in all_rules():
        raise PreflightError(f"no rule is called {rule!r}", hint="see `hanok rules list`")
    if data.is_terminal:
        data.print(Markdown(page(name)), width=min(data.width, WIDEST))
    else:  # a pipe has no width to centre and fill
        sys.stdout.write(page(name))
