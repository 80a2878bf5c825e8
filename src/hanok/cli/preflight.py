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
    crds: Annotated[
        list[Path] | None,
        typer.Option("--crds", help="Schemas of custom kinds: a folder, or `kubectl get crds -o yaml`; may repeat."),
    ] = None,
    catalog: Annotated[Path | None, typer.Option("--catalog", help="A catalogue of instance types and prices.")] = None,
    models: Annotated[
        Path | None, typer.Option("--models", help="A folder with NAME/config.json of models that are not built in.")
    ] = None,
    max_usd_month: Annotated[
        float | None,
        typer.Option("--max-usd-month", min=0, help="What a month may cost at most, USD; more refutes."),
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
    from hanok.preflight import Case, declare, gather
    from hanok.preflight import preflight as prove
    from hanok.spec.load import parse

    gathered = gather(paths or [DEFAULT_FILE])
    if not (gathered.cluster.sources or gathered.cluster.findings):
        told = ", ".join(str(path) for path in paths or ())
        raise PreflightError(f"{told}: no YAML there", hint="name manifests, a folder of them, or `-` for stdin")
    platforms = [declare(each, partial(parse, lenient=True)) for each in gathered.platforms]
    facts = _facts(kubernetes, catalog, crds or [], max_usd_month, models)
    report = prove(Case(cluster=gathered.cluster, facts=facts, platforms=platforms))
    if as_json:
        print_json(preflight_view.form(report))
    else:
        preflight_view.show(report, show_info=show_info)
    raise typer.Exit(_exit_code(report))


def _exit_code(report: Report) -> int:
    return {"proved": 0, "refuted": EXIT_REFUTED, "unknown": EXIT_UNKNOWN}[report.verdict]


def _facts(
    kubernetes: str, catalog: Path | None, crds: list[Path], ceiling: float | None, models: Path | None
) -> Facts:
    from hanok.gpu import load_catalog, read_catalog
    from hanok.preflight import Facts
    from hanok.preflight.schema.load import load_builtins, load_custom, read_version

    figures = read_catalog(catalog) if catalog else load_catalog(user_catalog())[0]
    today = datetime.datetime.now(datetime.UTC).date()
    version = read_version(kubernetes)
    return Facts(
        catalog=figures,
        anatomy=cache(partial(_anatomy, models or Path())),
        today=today,
        kubernetes=version,
        ceiling_usd_month=ceiling,
        builtins=load_builtins(version),
        custom=load_custom(crds),
    )


def _anatomy(folder: Path, model: str) -> Anatomy:
    """A model by its name, or by the last part of its name or path, in the folder; else as it is built in."""
    from hanok.gpu import load_model

    names = (model.strip("/"), model.rstrip("/").rsplit("/", 1)[-1])
    found = next((name for name in names if name and (folder / name / "config.json").is_file()), model)
    return load_model(found, folder=folder, fetch=None)


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
