"""`hanok preflight`: prove offline that manifests, or a platform file, can work."""

from __future__ import annotations

import datetime
import gc
import re
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanok import __version__
from hanok.cli.patience import patience
from hanok.cli.plan import user_catalog
from hanok.cli.terminal import DEFAULT_FILE, JsonOption, print_json
from hanok.errors import HanokError, PreflightError

if TYPE_CHECKING:
    from hanok.gpu import Anatomy
    from hanok.preflight import Declared, Facts, Report, Severity, Terms

EXIT_REFUTED, EXIT_UNKNOWN = 1, 3


class Output(Enum):
    """How the report is written on stdout."""

    text = "text"
    json = "json"
    sarif = "sarif"
    junit = "junit"
    github = "github"


class Least(Enum):
    """A severity, and those above."""

    error = "error"
    warning = "warning"
    info = "info"


ModelsOption = Annotated[
    Path | None, typer.Option("--models", help="A folder with NAME/config.json of models that are not built in.")
]
KubernetesOption = Annotated[
    str | None,
    typer.Option(
        "--kubernetes",
        help="The cluster's version of Kubernetes; by default what `cluster.kubernetes` says, else the newest known.",
    ),
]
CatalogOption = Annotated[Path | None, typer.Option("--catalog", help="A catalogue of instance types and prices.")]
QuotasOption = Annotated[
    Path | None,
    typer.Option("--quotas", help="The account's EC2 quotas: JSON of `aws service-quotas`, or by code."),
]
CrdsOption = Annotated[
    list[Path] | None,
    typer.Option("--crds", help="Schemas of custom kinds: a folder, or `kubectl get crds -o yaml`; may repeat."),
]


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the user says of the cluster, and where figures and schemas are."""

    kubernetes: str | None = None
    catalog: Path | None = None
    models: Path | None = None
    quotas: Path | None = None
    crds: Sequence[Path] = ()
    max_usd_month: float | None = None


def preflight(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Manifests, folders, articles, a platform file, or `-`; by default `platform.yaml` here."),
    ] = None,
    kubernetes: KubernetesOption = None,
    crds: CrdsOption = None,
    catalog: CatalogOption = None,
    models: ModelsOption = None,
    quotas: QuotasOption = None,
    max_usd_month: Annotated[
        float | None,
        typer.Option("--max-usd-month", min=0, help="What a month may cost at most, USD; more refutes."),
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option("--select", help="Only these rules count, by their id or how it begins: `HK2,HK301`; may repeat."),
    ] = None,
    skip: Annotated[list[str] | None, typer.Option("--skip", help="These rules do not count; may repeat.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings refute, too.")] = False,
    allow_unknown: Annotated[bool, typer.Option("--allow-unknown", help="Exit with 0 on `unknown`.")] = False,
    show_info: Annotated[bool, typer.Option("--info", help="Show findings that are only information, too.")] = False,
    least: Annotated[
        Least | None, typer.Option("--min-severity", help="Show and report nothing below; the verdict stays.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Fold nothing: show findings that are alike, too.")] = False,
    quote: Annotated[bool, typer.Option("--quote/--no-quote", help="Show the lines that findings are about.")] = True,
    output: Annotated[Output, typer.Option("--output", "-o", help="What to print on stdout.")] = Output.text,
    sarif: Annotated[Path | None, typer.Option("--sarif", help="Write SARIF 2.1.0 into this file, too.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML into this file, too.")] = None,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", help="Write what was proved into this file, as an in-toto statement."),
    ] = None,
    timestamp: Annotated[bool, typer.Option("--timestamp", help="Let the certificate tell when it was made.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Prove offline that manifests can work on a cluster, and what they will cost.

    Nothing is asked of a cluster, a cloud or the network. Exit codes: 0 proved; 1 refuted; 2 wrong input;
    3 unknown: something is missing that the proof needs.

    Example: `hanok preflight deploy/ --json`
    """
    kind = Output.json if as_json else output
    with telling_in_json(kind is Output.json, verdict=None, findings=[]):
        inputs = [within(path) for path in paths or [DEFAULT_FILE]]
        now = datetime.datetime.now(datetime.UTC)
        given = Given(
            kubernetes=kubernetes,
            catalog=catalog,
            models=models,
            quotas=quotas,
            crds=crds or (),
            max_usd_month=max_usd_month,
        )
        report = look_over(inputs, given, now.date(), terms_of(select, skip, strict=strict))
        seen = _trimmed(report, least.value if least else "info")
        for file, write in ((sarif, _sarif), (junit, _junit)):
            if file:
                write_file(file, write(seen))
        if certificate:
            moment = now.isoformat(timespec="seconds").replace("+00:00", "Z") if timestamp else None
            write_file(certificate, certificate_of(report, inputs, given, moment))
    if kind is Output.text:
        from hanok.cli import preflight_view

        looks = preflight_view.Looks(
            least=least.value if least else "info" if show_info else "warning", everything=everything, quote=quote
        )
        preflight_view.show(report, looks)
    else:
        sys.stdout.write(_PRINTED[kind](seen))
    raise typer.Exit(0 if allow_unknown and report.verdict == "unknown" else _exit_code(report))


def within(path: Path) -> Path:
    """A path below this folder, as one below it: files are told alike wherever the folder lies."""
    return path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path


def terms_of(select: Sequence[str] | None, skip: Sequence[str] | None, *, strict: bool) -> Terms:
    """Which findings count. Raises `PreflightError` for what is no rule."""
    from hanok.preflight import Terms

    return Terms(select=_rules_named(select, "--select"), skip=_rules_named(skip, "--skip"), strict=strict)


def _rules_named(texts: Sequence[str] | None, option: str) -> Sequence[str]:
    """Ids of rules, or how they begin."""
    from hanok.preflight import rules as all_rules

    named = [each.upper() for each in re.split(r"[\s,]+", ",".join(texts or ())) if each]
    for each in named:
        if not (each.startswith("HK") and any(rule.startswith(each) for rule in all_rules())):
            raise PreflightError(f"{option}: no rule begins with {each!r}", hint="see `hanok rules list`")
    return named


def look_over(paths: Sequence[Path], given: Given, today: datetime.date, terms: Terms) -> Report:
    """The report on what is there. Raises `PreflightError` where there is nothing to look at."""
    from hanok.preflight import Case, declare, gather
    from hanok.preflight import preflight as prove
    from hanok.spec.load import parse

    with _no_collector(), patience("reading") as tell:
        gathered = gather(paths)
        if not (gathered.cluster.sources or gathered.cluster.findings):
            told = ", ".join(str(path) for path in paths)
            raise PreflightError(f"{told}: no YAML there", hint="name manifests, a folder of them, or `-` for stdin")
        platforms = [declare(each, partial(parse, lenient=True)) for each in gathered.platforms]
        facts = facts_of(given, today, platforms)
        return prove(Case(cluster=gathered.cluster, facts=facts, platforms=platforms), terms=terms, tell=tell)


@contextmanager
def _no_collector() -> Generator[None]:
    """Millions of small values, hardly any of them in circles: looking for such takes a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # the report holds them all to the end
        gc.enable()


def _trimmed(report: Report, least: Severity) -> Report:
    """The report without findings that are not grave enough to be told."""
    from dataclasses import replace

    from hanok.preflight import is_grave

    return replace(report, findings=[each for each in report.findings if is_grave(each, least)])


@contextmanager
def telling_in_json(wanted: bool, **answer: Any) -> Generator[None]:
    """Whoever reads JSON is told in JSON, too, why there is no other answer."""
    try:
        yield
    except HanokError as error:
        if wanted:
            told = {"message": error.message, "hint": error.hint}
            print_json({**answer, "error": told})
        raise


def write_file(file: Path, text: str | bytes) -> None:
    """Write a report. Raises `PreflightError`."""
    try:
        file.write_bytes(text.encode("utf-8", "replace") if isinstance(text, str) else text)
    except OSError as error:
        raise PreflightError(f"{file} cannot be written: {error.strerror}", hint="name another file") from None


def _json(report: Report) -> str:
    from hanok.cli.preflight_bill import bill_form
    from hanok.preflight.reports import plain

    return _pretty(plain(report) | {"cost": bill_form(report)})


def _sarif(report: Report) -> str:
    from hanok.preflight import page
    from hanok.preflight import rules as all_rules
    from hanok.preflight.reports import sarif

    return _pretty(sarif(report, rules=all_rules(), page=page, version=__version__))


def _junit(report: Report) -> str:
    from hanok.preflight.reports import junit

    return junit(report)


def _github(report: Report) -> str:
    from hanok.preflight.reports import github

    return github(report)


def _pretty(value: Any) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


_PRINTED = {Output.json: _json, Output.sarif: _sarif, Output.junit: _junit, Output.github: _github}


def certificate_of(report: Report, paths: Sequence[Path], given: Given, moment: str | None) -> bytes:
    """The certificate of a report, not signed. Raises `PreflightError`."""
    from hanok.cli.preflight_bill import bill_form
    from hanok.preflight import digests
    from hanok.preflight.certificate import Options, canonical, certify

    beside = [within(path) for path in (*given.crds, *([given.models] if given.models else []))]
    options = Options(
        paths=[path.as_posix() for path in paths], terms=report.terms, files=digests(beside), timestamp=moment,
        more={} if given.max_usd_month is None else {"max-usd-month": f"{given.max_usd_month:.2f}"},
    )  # fmt: skip
    return canonical(certify(report, options, version=__version__, cost=bill_form(report))) + b"\n"


def _exit_code(report: Report) -> int:
    return {"proved": 0, "refuted": EXIT_REFUTED, "unknown": EXIT_UNKNOWN}[report.verdict]


def facts_of(given: Given, today: datetime.date, platforms: Sequence[Declared] = ()) -> Facts:
    """What is known besides the manifests. Raises `PreflightError`."""
    from hanok.gpu import load_catalog, read_catalog
    from hanok.preflight import Facts, read_quotas
    from hanok.preflight.schema.load import load_builtins, load_custom

    version = _version(given, platforms)
    return Facts(
        catalog=read_catalog(given.catalog) if given.catalog else load_catalog(user_catalog())[0],
        anatomy=cache(partial(_anatomy, given.models or Path())),
        today=today,
        kubernetes=version,
        quotas=read_quotas(given.quotas) if given.quotas else {},
        ceiling_usd_month=given.max_usd_month,
        builtins=load_builtins(version),
        custom=load_custom(given.crds),
    )


def _version(given: Given, platforms: Sequence[Declared]) -> str:
    """Of Kubernetes: what the user names, else what platform files declare, else the newest known."""
    from hanok.preflight import oldest
    from hanok.preflight.schema.load import LAST, read_version

    if given.kubernetes is not None:
        return read_version(given.kubernetes)
    declared = oldest(platforms)
    if declared is None or declared.kubernetes is None:
        return f"1.{LAST}"
    line = declared.manifest.line("cluster", "kubernetes")
    return read_version(declared.kubernetes, f"{declared.manifest.file}:{line} cluster.kubernetes")


def _anatomy(folder: Path, model: str) -> Anatomy:
    """A model by its name, or by the last part of its name or path, in the folder; else as it is built in."""
    from hanok.gpu import load_model

    names = (model.strip("/"), model.rstrip("/").rsplit("/", 1)[-1])
    found = next((name for name in names if name and (folder / name / "config.json").is_file()), model)
    return load_model(found, folder=folder, fetch=None)
