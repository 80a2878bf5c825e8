"""Files in: the catalogue that ships with Hanok or a newer one, the table of models, a model's config.json.

What ships is read by libyaml and trusted to be YAML; what a user brings is read node by node, so that every mistake can
be told by its line.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from hanok.errors import PlanError, SpecError
from hanok.gpu.anatomy import Anatomy, Config, read_anatomy
from hanok.gpu.catalog import Catalog, unknown_accelerators
from hanok.gpu.weights import LINEAR, Packing
from hanok.spec.explain import explain
from hanok.spec.load import read
from hanok.spec.nodes import Book, Place, compose, construct, problem, walk, where

CATALOG, MODELS = "catalog.yaml", "models.json"
CONFIG, QUANTIZATION = "config.json", "hf_quant_config.json"
CONFIG_LIMIT_BYTES = 4 * 1024 * 1024
Fetch = Callable[[str], "FetchedConfig"]
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, kw_only=True)
class FetchedConfig:
    """A model's config.json, and its hf_quant_config.json where it has one."""

    config: Config
    quantization: Config | None = None


def load_catalog(user_file: Path | None = None) -> tuple[Catalog, str]:
    """The catalogue to plan with, and where it is from: the user's, unless the one that ships is newer.

    Raises `SpecError` where the user's cannot be read.
    """
    ours = Catalog.model_validate(yaml.load(_shipped(CATALOG), Loader=_Loader))  # noqa: S506 - a safe loader
    if user_file is None or not user_file.exists():
        return ours, "built in"
    theirs = read_catalog(user_file)
    theirs = theirs if theirs.families else theirs.model_copy(update={"families": ours.families})
    return (theirs, str(user_file)) if theirs.date >= ours.date else (ours, f"built in; {user_file} is older")


def read_catalog(file: Path) -> Catalog:
    """A catalogue that somebody wrote. Raises `SpecError` with every mistake, by line and column."""
    book = Book(file)
    root = compose(read(file), file)
    walk(root, (), book, [])
    try:
        catalog = Catalog.model_validate(construct(root, file))
    except ValidationError as error:
        findings = [explain(Catalog, detail) for detail in error.errors(include_url=False)]
        meant = {(*each.place[:-1], each.instead) for each in findings if each.instead}
        for each in findings:
            if not (each.missing and each.place in meant):
                _blame(book, each.place, each.message, each.hint, at_key=each.at_key)
    else:
        known = ", ".join(catalog.accelerators)
        for place, name in unknown_accelerators(catalog):
            _blame(book, place, f"no accelerator is called {name!r}", f"accelerators here: {known}")
        if not book.problems:
            return catalog
    raise SpecError(sorted(book.problems, key=lambda each: (each.line, each.column))) from None


def _blame(book: Book, place: Place, message: str, hint: str | None, *, at_key: bool = False) -> None:
    if not book.is_blamed(place):
        line, column = where(place, book.keys if at_key and place in book.keys else book.places)
        book.problems.append(problem(book.file, line, column, place, message, hint))


def load_model(name: str, *, folder: Path, fetch: Fetch | None) -> Anatomy:
    """The anatomy of a model: a folder or a config.json of that name, else the built-in table, else by `fetch`.

    Raises `PlanError`.
    """
    for path in (folder / name, folder / name / CONFIG):
        if path.is_file():
            return _from_file(name, path)
    table = load_models()
    found = _named(name, table)
    if found is not None:
        return _from_table(*found)
    if fetch is not None and name.count("/") == 1:
        fetched = fetch(name)
        return read_anatomy(name, fetched.config, fetched.quantization)
    raise PlanError(f"no model is called {name!r}", hint=_nearest(name, table))


@cache
def load_models() -> Mapping[str, Mapping[str, Any]]:
    """The table of well-known models: of each config.json what `anatomy` looks at, or why it is refused."""
    return json.loads(_shipped(MODELS))


def _named(name: str, table: Mapping[str, Mapping[str, Any]]) -> tuple[str, Mapping[str, Any]] | None:
    """The name in full and the entry of a model, whose name may be in any case, and without its owner."""
    wanted = name.lower()
    for known, entry in table.items():
        for each in (known, *entry.get("also", ())):
            if wanted in (each.lower(), each.lower().rsplit("/", 1)[-1]):
                return each, entry
    return None


def _from_table(name: str, entry: Mapping[str, Any]) -> Anatomy:
    if "refused" in entry:
        hint = "plan a model of another architecture, or measure this one"
        raise PlanError(f"{name}: {entry['refused']}", hint=hint)
    found = read_anatomy(name, entry["config"])
    packing = cast("dict[str, Any]", entry.get("packing") or {})
    figures = {key: value for key, value in packing.items() if key != "parts"}
    return replace(found, packing=Packing(parts=frozenset(packing.get("parts") or LINEAR), **figures))


def _from_file(name: str, path: Path) -> Anatomy:
    beside = path.with_name(QUANTIZATION)
    quantization = read_config(_bytes(beside), str(beside)) if beside.is_file() else None
    return read_anatomy(name, read_config(_bytes(path), str(path)), quantization)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(CONFIG_LIMIT_BYTES + 1)
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror}") from error


def read_config(data: bytes, source: str) -> Config:
    """A JSON object from bytes. Raises `PlanError`."""
    if len(data) > CONFIG_LIMIT_BYTES:
        raise PlanError(
            f"{source} is larger than {CONFIG_LIMIT_BYTES // 1024**2} MiB", hint="it should be a config.json"
        )
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{source} is not JSON: {error}", hint="it should be a model's config.json") from None
    if not isinstance(found, dict):
        raise PlanError(f"{source} is not a JSON object", hint="it should be a model's config.json")
    return cast("Config", found)


def _nearest(name: str, table: Mapping[str, Mapping[str, Any]]) -> str:
    known = [each for name, entry in table.items() for each in (name, *entry.get("also", ()))]
    short = {each.rsplit("/", 1)[-1].lower(): each for each in reversed(known)}
    near = difflib.get_close_matches(name.rsplit("/", 1)[-1].lower(), list(short), n=3, cutoff=0.5)
    said = f"did you mean {' or '.join(short[each] for each in near)}? " if near else ""
    return f"{said}name a folder with its config.json, or one of `hanok catalog models`"


def _shipped(name: str) -> str:
    return resources.files("hanok.gpu").joinpath(name).read_text("utf-8")
