"""`hanok import`: make a platform.yaml of what runs already, and say what became of each thing in it."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from hanok.cli.preflight import CrdsOption
from hanok.cli.terminal import DEFAULT_FILE, JsonOption, print_json, talk
from hanok.errors import HanokError, SpecError, StartError
from hanok.spec.load import parse, read

if TYPE_CHECKING:
    from hanok.migration import Kind, Note, Translation, Variable

STDOUT = Path("-")
_TITLES: dict[Kind, tuple[str, str, str]] = {  # heading, its colour, name in JSON
    "carried": ("Carried over", "green", "carried_over"),
    "changed": ("Changed: it is there, but differs", "yellow", "changed"),
    "left": ("Not carried over", "magenta", "not_carried_over"),
    "wrong": ("Wrong in the source", "red", "wrong_in_source"),
}
_TABLE_WIDTH = 100

imports = typer.Typer(
    name="import",
    help="Make a platform.yaml of another gateway's configuration, or of manifests.",
    no_args_is_help=True,
)


@imports.command("litellm")
def litellm(
    file: Annotated[Path, typer.Argument(help="The configuration of LiteLLM's proxy, or a ConfigMap that holds it.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where to write the platform; `-` for stdout.")
    ] = DEFAULT_FILE,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a platform.yaml of LiteLLM's config.yaml, and tell what was carried over, changed, left out, or wrong in it.

    Secrets that stand in the configuration are not copied: the new file names variables, and the report says which.
    Exit codes: 0 written; 1 not written, as the file exists or no model could be carried over; 2 no YAML.

    Example: `hanok import litellm config.yaml --out platform.yaml`
    """
    from hanok.migration import NothingToCarryOver, render, translate

    source = _text(file)
    _keep(out, force=force)
    try:
        translation = translate(source, file)
    except NothingToCarryOver as error:
        _tell(str(file), None, None, error.notes, (), as_json=as_json)
        raise
    _finish(str(file), out, render(translation, source=file.name), translation, as_json=as_json)


@imports.command("manifests")
def manifests(
    paths: Annotated[
        list[Path], typer.Argument(help="Manifests, folders of them, articles, or `-` for stdin.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where to write the platform; `-` for stdout.")
    ] = DEFAULT_FILE,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    crds: CrdsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a platform.yaml of a cluster's manifests, and tell what was carried over, changed, left, or wrong.

    Reads vLLM, KServe, LiteLLM, kagent, Milvus, Langfuse, the jobs that bring documents, their charts by Flux, Argo CD
    and helmfile, and what `hanok render` wrote, which comes back whole. Secrets are never copied.
    Exit codes: 0 written; 1 not written, as the file exists or no model could be carried over; 2 nothing to read.

    Example: `hanok import manifests deploy/ --out platform.yaml`
    """
    from hanok.migration import NothingToCarryOver, render

    _keep(out, force=force)
    source = ", ".join(str(path) for path in paths)
    try:
        translation = _translated(paths, crds or ())
    except NothingToCarryOver as error:
        _tell(source, None, None, error.notes, (), as_json=as_json)
        raise
    text = render(translation, source=", ".join(path.name for path in paths), command="manifests")
    _finish(source, out, text, translation, as_json=as_json)


def _translated(paths: Sequence[Path], crds: Sequence[Path]) -> Translation:
    """What preflight reads there, as a platform. Raises `PreflightError` where there is nothing to read."""
    from datetime import UTC, datetime

    from hanok.cli.preflight import Given, look_over, within
    from hanok.migration.manifests import translate_manifests
    from hanok.preflight import Terms

    report = look_over([within(path) for path in paths], Given(crds=crds), datetime.now(UTC).date(), Terms())
    return translate_manifests(report.case, report)


def _keep(out: Path, *, force: bool) -> None:
    """A file that is there is written over by force only."""
    if out != STDOUT and out.exists() and not force:
        raise StartError(f"{out} exists", hint="name another file with --out, or write over it with --force")


def _finish(source: str, out: Path, text: str, translation: Translation, *, as_json: bool) -> None:
    _check(text, out, translation)
    if out != STDOUT:
        _write(out, text)
    elif not as_json:
        sys.stdout.write(text)
    _tell(source, out, text, translation.notes, translation.variables, as_json=as_json)


def _text(file: Path) -> str:
    try:
        return read(file)
    except SpecError as error:
        problem = error.problems[0]
        if problem.message != "no such file":
            raise
        raise StartError(f"{file}: no such file", hint="name LiteLLM's configuration, often config.yaml") from None


def _check(text: str, out: Path, translation: Translation) -> None:
    """Hanok's own loader must take the file, whether or not the variables are set here."""
    stand_ins = {variable.name: variable.stand_in for variable in translation.variables}
    try:
        parse(text, DEFAULT_FILE if out == STDOUT else out, stand_ins)
    except SpecError as error:
        raise HanokError(
            f"the platform that was made is not valid, which is a mistake of `hanok import`:\n{error.message}",
            hint="nothing was written; please report it with the configuration, without its secrets",
        ) from None


def _write(out: Path, text: str) -> None:
    """Write all of it or nothing: a running Hanok may be reading the file."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=out.parent, prefix=f".{out.name}.", delete=False
        ) as part:
            temporary = Path(part.name)
            part.write(text)
        temporary.chmod(out.stat().st_mode & 0o777 if out.exists() else 0o644)
        temporary.replace(out)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise StartError(f"{out} cannot be written: {error.strerror}", hint="name another file with --out") from error


def _tell(
    source: str,
    out: Path | None,
    text: str | None,
    notes: Sequence[Note],
    variables: Sequence[Variable],
    *,
    as_json: bool,
) -> None:
    unset = [each for each in variables if each.default is None and not os.environ.get(each.name)]
    if as_json:
        print_json(_form(source, out, text, notes, variables, unset))
        return
    for kind in _TITLES:
        if these := [note for note in notes if note.kind == kind]:
            _tell_kind(kind, these)
    if unset:
        _tell_variables(unset)
    if out is not None and out != STDOUT:
        counts = ", ".join(f"{sum(note.kind == kind for note in notes)} {_SHORT[kind]}" for kind in _TITLES)
        next_step = Text.assemble(("✓ ", "green"), f"Wrote {out}: {counts}. Next: ", ("hanok check ", "bold"), str(out))
        talk.print(next_step, soft_wrap=True)


_SHORT = {"carried": "carried over", "changed": "changed", "left": "not carried over", "wrong": "wrong in the source"}


_MANY = 30
"""Of more notes of one kind, those that say the same are told together, and `--json` has them all."""
_EXAMPLES = 3


def _tell_kind(kind: Kind, notes: Sequence[Note]) -> None:
    title, colour, _ = _TITLES[kind]
    together = kind in ("carried", "left") and len(notes) > _MANY
    shown = ", those alike together; --json has all" if together else ""
    talk.print(Text(f"{title} ({len(notes)}{shown})", style=f"bold {colour}"))
    if together:
        _tell_alike(notes)
        return
    if not talk.is_terminal or talk.width < _TABLE_WIDTH:
        for note in notes:
            talk.print(Text(f"  {note.place}  {_said(note)}".rstrip()), soft_wrap=True)
        return
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    table.add_column(overflow="fold", max_width=talk.width // 2)
    table.add_column(overflow="fold")
    for note in notes:
        table.add_row(Text(note.place), Text(_said(note)))
    talk.print(table)


def _tell_alike(notes: Sequence[Note]) -> None:
    from hanok.migration.notes import alike

    for each in alike(notes):
        if len(each.notes) == 1:
            talk.print(Text(f"  {each.notes[0].place}  {_said(each.notes[0])}".rstrip()), soft_wrap=True)
        else:
            what = f"{len(each.notes)} × {each.what}".rstrip(" ×")
            talk.print(Text(f"  {what}: {each.examples(_EXAMPLES)}  {each.reason}".rstrip()), soft_wrap=True)


def _said(note: Note) -> str:
    return "  ".join(part for part in (f"→ {note.to}" if note.to else "", note.message) if part)


def _tell_variables(unset: Sequence[Variable]) -> None:
    talk.print(Text(f"Variables to set before `hanok up` ({len(unset)})", style="bold cyan"))
    for variable in unset:
        talk.print(Text(f"  {variable.name}" + (f": {variable.holds}" if variable.holds else "")), soft_wrap=True)


def _form(
    source: str,
    out: Path | None,
    text: str | None,
    notes: Sequence[Note],
    variables: Sequence[Variable],
    unset: Sequence[Variable],
) -> dict[str, Any]:
    missing = {each.name for each in unset}
    told = {name: [_note(note) for note in notes if note.kind == kind] for kind, (_, _, name) in _TITLES.items()}
    return {
        "source": source,
        "written": str(out) if out is not None and out != STDOUT else None,
        **told,
        "variables": [
            {"name": each.name, "needed": each.name in missing, "holds": each.holds, "default": each.default}
            for each in variables
        ],
        "platform": text if out == STDOUT else None,
    }


def _note(note: Note) -> dict[str, Any]:
    return {key: value for key, value in asdict(note).items() if key not in ("kind", "file", "about")}
