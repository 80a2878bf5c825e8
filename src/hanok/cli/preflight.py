"""`hanok preflight`: prove offline that manifests, or a platform file, can work; `hanok rules`: what it looks for."""

from __future__ import annotations

import datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanok.cli.plan import user_catalog
from hanok.cli.terminal import DEFAULT_FILE, JsonOption, data, new_table, print_json
from hanok.errors import PreflightError

if TYPE_CHECKING:
    from hanok.gpu import Anatomy
    from hanok.preflight import Facts, Report

EXIT_REFUTED, EXIT_UNKNOWN = 1, 3

rules = typer.Typer(name="rules", help="What preflight looks for.", no_args_is_help=True)


def preflight(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Manifests, folders, articles, a platform file, or `-`; by default `platform.yaml` here."),
    ] = None,
    kubernetes: Annotated[str, typer.Option("--kubernetes", help="The cluster's version of Kubernetes.")] = "1.37",
    catalog: Annotated[Path | None, typer.Option("--catalog", help="A catalogue of instance types and prices.")] = None,
    quotas: Annotated[
        Path | None,
        typer.Option("--quotas", help="The account's EC2 quotas: JSON of `aws service-quotas`, or by code."),
    ] = None,
    show_info: Annotated[bool, typer.Option("--info", help="Show findings that are only information, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Prove offline that manifests can work on a cluster, and what they will cost.

    Nothing is asked of a cluster, a cloud or the network. Exit codes: 0 proved; 1 refuted; 2 wrong input;
    3 unknown: something is missing that the proof needs.

    Example: `hanok preflight deploy/ --json`
    """
    from hanok.cli import preflight_view
    from hanok.preflight import Case, gather
    from hanok.preflight import preflight as prove

    gathered = gather(paths or [DEFAULT_FILE])
    if not (gathered.cluster.sources or gathered.cluster.findings):
        told = ", ".join(str(path) for path in paths or ())
        raise PreflightError(f"{told}: no YAML there", hint="name manifests, a folder of them, or `-` for stdin")
    report = prove(Case(cluster=gathered.cluster, facts=_facts(kubernetes, catalog, quotas)))
    if as_json:
        print_json(preflight_view.form(report))
    else:
        preflight_view.show(report, show_info=show_info)
    raise typer.Exit(_exit_code(report))


def _exit_code(report: Report) -> int:
    return {"proved": 0, "refuted": EXIT_REFUTED, "unknown": EXIT_UNKNOWN}[report.verdict]


def _facts(kubernetes: str, catalog: Path | None, quotas: Path | None) -> Facts:
    from hanok.gpu import load_catalog, read_catalog
    from hanok.preflight import Facts, read_quotas

    figures = read_catalog(catalog) if catalog else load_catalog(user_catalog())[0]
    today = datetime.datetime.now(datetime.UTC).date()
    return Facts(
        catalog=figures,
        anatomy=cache(partial(_anatomy, Path())),
        today=today,
        kubernetes=kubernetes,
        quotas=read_quotas(quotas) if quotas else {},
    )


def _anatomy(folder: Path, model: str) -> Anatomy:
    from hanok.gpu import load_model

    return load_model(model, folder=folder, fetch=None)


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

    from hanok.preflight import page
    from hanok.preflight import rules as all_rules

    name = rule.upper()
    if name not in all_rules():
        raise PreflightError(f"no rule is called {rule!r}", hint="see `hanok rules list`")
    data.print(Markdown(page(name)))
