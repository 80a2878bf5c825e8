"""`hanok certificate …`: sign what preflight proved, and check that it is true of the files here."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from hanok.cli.preflight import (
    CatalogOption,
    CrdsOption,
    Given,
    ModelsOption,
    QuotasOption,
    certificate_of,
    look_over,
    telling_in_json,
    within,
    write_file,
)
from hanok.cli.terminal import JsonOption, data, print_json, talk
from hanok.errors import PreflightError

if TYPE_CHECKING:
    from hanok.preflight.certificate import Certificate

EXIT_NOT_VALID = 1

certificate = typer.Typer(name="certificate", help="What preflight proved, signed and checked.", no_args_is_help=True)
FileArgument = Annotated[Path, typer.Argument(help="The certificate.")]


@certificate.command("keygen")
def keygen(
    file: Annotated[Path, typer.Argument(help="The private key; the public one is put beside it as `FILE.pub`.")],
) -> None:
    """Make a pair of Ed25519 keys in PEM. The private one can be read by its owner alone.

    Example: `hanok certificate keygen preflight.key`
    """
    from hanok.preflight.load_keys import make_keys

    public = file.with_name(f"{file.name}.pub")
    key = make_keys(file, public)
    talk.print(f"{file} signs, {public} verifies; keyid {key.id}", soft_wrap=True)


@certificate.command("sign")
def sign(
    file: FileArgument,
    key: Annotated[Path, typer.Option("--key", help="The private key, in PEM.")],
    out: Annotated[Path | None, typer.Option("--out", help="Where to; by default over the certificate.")] = None,
) -> None:
    """Put a certificate into a signed DSSE envelope.

    Example: `hanok certificate sign certificate.json --key preflight.key`
    """
    from hanok.preflight.certificate import read_statement
    from hanok.preflight.envelope import is_envelope, seal
    from hanok.preflight.load_keys import load_private

    payload = _read(file)
    if is_envelope(payload):
        raise PreflightError(f"{file} is signed already", hint="sign the statement that preflight wrote")
    verdict = read_statement(payload).verdict
    signer = load_private(key)
    write_file(out or file, seal(payload.removesuffix(b"\n"), signer) + b"\n")
    talk.print(f"signed {out or file} with {signer.id}; it says: {verdict}", soft_wrap=True)


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """One thing that was checked: true, false, or not looked at (None)."""

    question: str
    holds: bool | None
    told: Sequence[str]


@certificate.command("verify")
def verify(
    file: FileArgument,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="What was looked at then, where it lies elsewhere now; in the same order."),
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="The public key, in PEM, that must have signed.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Run preflight again, and compare.")] = False,
    proved: Annotated[bool, typer.Option("--proved", help="Refuse a certificate of any other verdict.")] = False,
    crds: CrdsOption = None,
    catalog: CatalogOption = None,
    models: ModelsOption = None,
    quotas: QuotasOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a certificate: its signature, that the files are the very same, and (`--again`) that it still holds.

    Exit codes: 0 valid; 1 not valid; 2 wrong input.

    Example: `hanok certificate verify certificate.json --key preflight.key.pub --again`
    """
    with telling_in_json(as_json, valid=False):
        answers, found = _answers(file, paths or [], key)
        if again and found:
            given = Given(catalog=catalog, models=models, quotas=quotas, crds=crds or ())
            answers.append(_again(found, paths or [], given))
        answers += [_proved(found)] if proved and found else []
    valid = all(each.holds is not False for each in answers)
    if as_json:
        told = [{"question": each.question, "holds": each.holds, "told": list(each.told)} for each in answers]
        print_json({"valid": valid, "verdict": found.verdict if found and valid else None, "answers": told})
    else:
        _show(answers, found if valid else None)
    raise typer.Exit(0 if valid else EXIT_NOT_VALID)


def _answers(file: Path, paths: Sequence[Path], key: Path | None) -> tuple[list[_Answer], Certificate | None]:
    """What was checked, and what the certificate says, where its signature lets one listen."""
    signature, found = _signature(_read(file), key)
    if found is None or signature.holds is False:
        return [signature], None
    return [signature, _files(found, paths)], found


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise PreflightError(
            f"{file} cannot be read: {error.strerror}", hint="`hanok preflight … --certificate FILE` writes one"
        ) from None


def _signature(read: bytes, key: Path | None) -> tuple[_Answer, Certificate | None]:
    """Whether it is signed as it should be, and what it says."""
    from hanok.preflight.certificate import read_statement
    from hanok.preflight.envelope import is_envelope, is_signed, open_envelope
    from hanok.preflight.load_keys import load_public

    public = load_public(key) if key else None
    if not is_envelope(read):
        told = "there is none: anybody may have written this"
        return _Answer(question="signature", holds=False if key else None, told=[told]), read_statement(read)
    envelope = open_envelope(read)
    if public is None:
        told = ["not looked at: name a public key with --key"]
        return _Answer(question="signature", holds=None, told=told), read_statement(envelope.payload)
    if not is_signed(envelope, public):
        return _Answer(question="signature", holds=False, told=[f"it is not that of {key}"]), None
    return _Answer(question="signature", holds=True, told=[f"by {public.id}"]), read_statement(envelope.payload)


def _files(found: Certificate, paths: Sequence[Path]) -> _Answer:
    from hanok.preflight import gather
    from hanok.preflight.certificate import changed_files

    now = gather(_places(found, paths)).cluster.sources
    renamed = [replace(each, name=_as_then(each.name, found, paths)) for each in now]
    told = changed_files(found, renamed)
    return _Answer(question="files", holds=not told, told=told or [f"{len(now)} as they were"])


def _places(found: Certificate, paths: Sequence[Path]) -> list[Path]:
    """Where to look. Raises `PreflightError` where that cannot be told."""
    then = found.options.paths
    if paths and len(paths) != len(then):
        raise PreflightError(f"then it was {len(then)} paths: {', '.join(then)}", hint="name as many, in that order")
    return [within(path) for path in paths] or [Path(path) for path in then]


def _as_then(name: str, found: Certificate, paths: Sequence[Path]) -> str:
    """A file's name, as it was told when the certificate was made."""
    for path, then in zip(paths, found.options.paths, strict=False):
        if Path(name).is_relative_to(within(path)):
            return str(Path(then) / Path(name).relative_to(within(path)))
    return name


def _again(found: Certificate, paths: Sequence[Path], given: Given) -> _Answer:
    """Whether a second look says the same."""
    from hanok.preflight.certificate import differences, moved, read_statement

    options, ceiling = found.options, found.options.more.get("max-usd-month")
    stamp = options.timestamp
    today = datetime.date.fromisoformat(stamp[:10]) if stamp else datetime.datetime.now(datetime.UTC).date()
    asked = replace(given, kubernetes=found.kubernetes, max_usd_month=float(ceiling) if ceiling else None)
    report = look_over(_places(found, paths), asked, today, options.terms)
    then = [Path(path) for path in options.paths]
    again = read_statement(certificate_of(report, then, asked, stamp)).statement
    told = differences(found, moved(again, lambda name: _as_then(name, found, paths)))
    return _Answer(question="again", holds=not told, told=told or [f"{report.verdict}, claim by claim"])


def _proved(found: Certificate) -> _Answer:
    """A proof of some rules alone is none that a gate may let pass."""
    terms = found.options.terms
    holds = found.verdict == "proved" and not (terms.select or terms.skip)
    return _Answer(question="proved", holds=holds, told=[f"the verdict was {found.verdict}{_asked(found)}"])


def _show(answers: Sequence[_Answer], found: Certificate | None) -> None:
    marks = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("–", "bright_black")}
    for each in answers:
        mark, style = marks[each.holds]
        data.print(Text.assemble((f"{mark} ", style), f"{each.question:<10}", "; ".join(each.told)))
    words, style = ("valid", "bold green") if found else ("not valid", "bold red")
    said = f": preflight's verdict on these files is {found.verdict}{_asked(found)}" if found else ""
    data.print(Text.assemble((words, style), said))


def _asked(found: Certificate) -> str:
    """Which rules the verdict is about, where they are not all."""
    terms = found.options.terms
    told = [f"only {', '.join(terms.select)}"] if terms.select else []
    told += [f"without {', '.join(terms.skip)}"] if terms.skip else []
    return f" ({'; '.join(told)})" if told else ""
