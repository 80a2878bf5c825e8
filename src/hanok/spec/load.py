"""platform.yaml in: bytes to a checked tree, with every mistake told by file, line and column.

YAML is composed into nodes first, so that each value keeps its place; `${env:NAME}` and `${env:NAME:-default}` are
filled in (nothing else reads the environment); then Pydantic checks shapes and `spec.checks` what refers to what.

Who only asks a running server may read leniently: a variable that is not set is then told by `Loaded.require` alone,
and something of a fitting shape stands in its place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode

from hanok.errors import Problem, SpecError
from hanok.spec.checks import Finding, check_references, quoted
from hanok.spec.explain import explain
from hanok.spec.nodes import NOT_TEXT, Book, Place, compose, position, problem, walk, where
from hanok.spec.prompts_load import check_files
from hanok.spec.tree import Loaded, Platform
from hanok.spec.written import NOT_SET, VARIABLE, Written, as_written

SIZE_LIMIT_BYTES = 4 * 1024 * 1024

_STAND_INS = (NOT_SET, f"http://{NOT_SET}.invalid/v1", "1", "true")
_BEGINNING = re.compile(r"\$\{env:", re.IGNORECASE)


def load(file: Path, environment: Mapping[str, str] | None = None, *, lenient: bool = False) -> Loaded:
    """Read and check a platform file; `lenient` lets pass variables that are not set.

    Raises `SpecError` with every problem found: an unreadable file, broken UTF-8 or YAML, wrong shapes, names that
    refer to nothing (these only when all shapes are right).
    """
    return parse(read(file), file, environment, lenient=lenient)


def parse(text: str, file: Path, environment: Mapping[str, str] | None = None, *, lenient: bool = False) -> Loaded:
    """Check a platform given as text; `file` is for messages and relative paths. Raises `SpecError`."""
    return check(as_written(text, file), environment, lenient=lenient)


def check(written: Written, environment: Mapping[str, str] | None = None, *, lenient: bool = False) -> Loaded:
    """Check a platform as it is written, whose book takes what is wrong. Raises `SpecError`."""
    environment = os.environ if environment is None else environment
    file, book = written.book.file, written.book
    filled = _fill(written.values, (), environment, book)
    book.blamed |= book.unset.keys()
    if lenient:
        _stand_in(filled, book)
    else:
        book.problems += chain.from_iterable(book.unset.values())
    try:
        platform = Platform.model_validate(filled)
    except ValidationError as error:
        _place([explain(Platform, detail) for detail in error.errors(include_url=False)], book)
    else:
        if not book.problems:
            _place(check_references(platform), book)
        folder = file.resolve().parent
        if not book.problems and not lenient:  # files may be where the server is
            _place(list(check_files(platform, folder)), book)
        if not book.problems:
            state = folder / platform.state
            unset = tuple(chain.from_iterable(book.unset.values()))
            known = digest(written.text)
            return Loaded(platform=platform, file=file, folder=folder, state=state, digest=known, unset=unset)
    raise SpecError(_sorted(book.problems)) from None


def problems_of(loaded: Loaded, findings: list[Finding]) -> list[Problem]:
    """What was found in a platform that is valid, by its lines; where its file is another by now, without them."""
    book = Book(loaded.file)
    with suppress(SpecError):
        text = read(loaded.file)
        if digest(text) == loaded.digest:
            walk(compose(text, loaded.file), (), book, [])
    _place(findings, book)
    return _sorted(book.problems)


def digest(text: str) -> str:
    """What a platform file's text is known by: its SHA-256."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read(file: Path) -> str:
    """The text of a platform file. Raises `SpecError` when there is none that can be read."""

    def fail(message: str, hint: str) -> SpecError:
        return SpecError([problem(file, 0, 0, (), message, hint)])

    try:
        if file.is_dir():
            raise fail("is a folder, not a file", "name the file, as in `hanok up platform.yaml`")
        with file.open("rb") as handle:
            data = handle.read(SIZE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        raise fail("no such file", "write a starter with `hanok init`") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise fail(f"cannot be read: {reason}", "check the file's name and its permissions") from None
    if len(data) > SIZE_LIMIT_BYTES:
        raise fail(f"is larger than {SIZE_LIMIT_BYTES // 1024**2} MiB", "a platform file is a few kilobytes of YAML")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = position(data[: error.start].decode("utf-8"))
        message = f"is not UTF-8: byte 0x{data[error.start]:02x}"
        raise SpecError([problem(file, line, column, (), message, "save the file as UTF-8")]) from None


def _fill(value: Any, place: Place, environment: Mapping[str, str], book: Book) -> Any:
    if isinstance(value, dict):
        return {
            key: _fill(item, (*place, key), environment, book) for key, item in cast("dict[str, Any]", value).items()
        }
    if isinstance(value, list):
        return [_fill(item, (*place, index), environment, book) for index, item in enumerate(cast("list[Any]", value))]
    return _fill_text(value, place, environment, book) if isinstance(value, str) else value


def _fill_text(text: str, place: Place, environment: Mapping[str, str], book: Book) -> str:
    if wrong := next((each for each in _BEGINNING.finditer(text) if not VARIABLE.match(text, each.start())), None):
        hint = "write `${env:NAME}` or `${env:NAME:-default}`, with letters, digits and _ in the name"
        shown, closed, _ = text[wrong.start() :].partition("}")
        _blame(place, book, f"{quoted(shown + closed)} is no variable", hint)
        return text
    missing: set[str] = set()
    filled = VARIABLE.sub(lambda match: _variable(match, missing, place, environment, book), text)
    if filled != text:
        book.written[filled] = text
    return filled


def _variable(match: re.Match[str], missing: set[str], place: Place, environment: Mapping[str, str], book: Book) -> str:
    """What stands for one variable; one that is `missing` is told once for each text."""
    name, default = match.group(1), match.group(2)
    found = environment.get(name)
    if default is not None and not found:  # as in a shell: unset or empty
        return default
    if found is None and name not in missing:
        missing.add(name)
        hint = f"set it (`export {name}=…`) or give a default: ${{env:{name}:-…}}"
        message = f"the environment has no variable {name}"
        told = problem(book.file, *where(place, book.places), place, message, hint)
        book.unset.setdefault(place, []).append(told)
    if found and NOT_TEXT.search(found):
        _blame(place, book, f"the variable {name} is not UTF-8", "set it to text")
    return found or ""


def _blame(place: Place, book: Book, message: str, hint: str) -> None:
    book.problems.append(problem(book.file, *where(place, book.places), place, message, hint))
    book.blamed.add(place)


def _stand_in(filled: Any, book: Book) -> None:
    """Put something of a fitting shape where variables are not set: the first of the stand-ins that is taken."""
    wanting = set(book.unset)
    for stand_in in _STAND_INS:
        for place in wanting:
            _put(filled, place, stand_in)
        wanting = set(_refused(filled, book)) & set(book.unset)


def _put(tree: Any, place: Place, value: str) -> None:
    for step in place[:-1]:
        tree = tree[step]
    tree[place[-1]] = value


def _refused(filled: Any, book: Book) -> Iterator[Place]:
    """Where shapes are wrong: the places themselves, and those above them."""
    try:
        Platform.model_validate(filled)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            place = _as_written(explain(Platform, detail).place, book.places)
            yield from (place[:length] for length in range(1, len(place) + 1))


def _place(findings: list[Finding], book: Book) -> None:
    """Turn findings into problems of the book, each mistake once."""
    meant = {(*finding.place[:-1], finding.instead) for finding in findings if finding.instead}
    told: set[tuple[int, int, str]] = set()
    for finding in findings:
        place = _as_written(finding.place, book.places)
        if book.is_blamed(place) or (finding.missing and finding.place in meant):
            continue
        line, column = where(place, book.keys if finding.at_key and place in book.keys else book.places)
        if (line, column, finding.message) in told:
            continue
        told.add((line, column, finding.message))
        message, hint = (_as_in_file(text, book) for text in (finding.message, finding.hint))
        book.problems.append(problem(book.file, line, column, place, str(message), hint))


def _as_in_file(text: str | None, book: Book) -> str | None:
    """What came from the environment may be a secret: show the name of the variable instead."""
    for filled, written in book.written.items() if text else ():
        text = str(text).replace(quoted(filled), quoted(written))
    return text


def _as_written(place: Place, places: Mapping[Place, Node]) -> Place:
    """`serve` may be written as one block where the tree holds a list, `fallbacks` as a list where it holds a block:

    then index 0, or `error`, is not in the file.
    """
    written: Place = ()
    for step in place:
        if isinstance(step, int) and step == 0 and isinstance(places.get(written), MappingNode | ScalarNode):
            continue
        if step == "error" and written and written[-1] == "fallbacks" and not isinstance(places[written], MappingNode):
            continue
        written = (*written, step)
    return written


def _sorted(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.line, problem.column))
