"""Schemas in: Kubernetes' own from the package `kubernetes-validate`, custom ones from files that the user names.

Nothing is read before it is asked for: of Kubernetes one file of definitions (1.8 MB, 30 ms), of a folder of custom
schemas the files whose names or texts mention the kind.
"""

from __future__ import annotations

import json
import re
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources, util
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from hanok.errors import PreflightError
from hanok.preflight.findings import Finding
from hanok.preflight.manifests import Body, list_at, mapping_at, mappings_at, text_at
from hanok.preflight.reading import documents, pieces, read_mapping
from hanok.preflight.schema.kind_schemas import DEFINITION, KindSchema, defined, recorded
from hanok.preflight.schema.shapes import Definitions

FIRST, LAST = 25, 37
"""The minor versions of Kubernetes 1 whose schemas kubernetes-validate 1.37 has."""
FILE_LIMIT_BYTES = 64 * 1024 * 1024
INSTALL = 'pip install "hanok[k8s]"'
_PACKAGE = "kubernetes_validate"
_VERSION = re.compile(r"v?1\.(\d{1,3})(?:\.\d+)?(?:[-+].*)?")
_NAMED = re.compile(r".*_([a-z0-9]+)_v\d[a-z0-9]*\.json")
"""Names of recorded schemas: `group_kind_version.json`."""
_KIND = re.compile(r"\bkind[\"']?:\s*[\"']?(\w+)")
_SUFFIXES = (".json", ".yaml", ".yml")
_ITEM = re.compile(r"^- ", re.MULTILINE)
_GROUP_VERSION_KIND = "x-kubernetes-group-version-kind"


def read_version(text: str, place: str = "--kubernetes") -> str:
    """`v1.34.2` as `1.34`. Raises `PreflightError` for versions whose schemas are not known; `place` is who says so."""
    found = _VERSION.fullmatch(text.strip())
    if found is None or not FIRST <= int(found[1]) <= LAST:
        raise PreflightError(
            f"{place} {text}: schemas of that version are not known",
            hint=f"name a version from 1.{FIRST} to 1.{LAST}, as `--kubernetes 1.{LAST}`",
        )
    return f"1.{int(found[1])}"


@cache
def load_builtins(version: str) -> Builtins | None:
    """The schemas of a version of Kubernetes; None where the package is not installed. Raises `PreflightError`."""
    name = read_version(version)
    if util.find_spec(_PACKAGE) is None:
        return None
    return Builtins(version=name)


def load_custom(paths: Sequence[Path]) -> Shelf:
    """The custom schemas at these paths. Raises `PreflightError` where there is no such file or folder."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(each for each in path.rglob("*") if each.suffix.lower() in _SUFFIXES and each.is_file())
        elif path.is_file():
            found.append(path)
        else:
            raise PreflightError(f"--crds {path}: there is no such file or folder", hint="name one that holds CRDs")
    return Shelf(files=found)


@cache
def load_time_zones() -> frozenset[str]:
    """The names of time zones that this machine knows; none where it has no database of them."""
    return frozenset(zoneinfo.available_timezones())


@cache
def load_moves() -> Mapping[str, Sequence[Body]]:
    """What became of kinds that were renamed or removed, by their group: `moves.yaml`."""
    text = resources.files("hanok.preflight.schema").joinpath("moves.yaml").read_text("utf-8")
    found: dict[str, list[Body]] = {}
    for each in mappings_at(read_mapping(text), "moves"):
        found.setdefault(text_at(each, "was").rpartition("/")[0], []).append(each)
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Builtins:
    """The schemas of one version of Kubernetes."""

    version: str

    @property
    def definitions(self) -> Definitions:
        return self._definitions

    @cached_property
    def _definitions(self) -> Definitions:
        text = _file(self.version, "_definitions.json")
        more = read_mapping(resources.files("hanok.preflight.schema").joinpath("choices.yaml").read_text("utf-8"))
        return Definitions(schemas=mapping_at(json.loads(text or "{}"), "$defs"), more=_choices(more))

    @cached_property
    def _names(self) -> Mapping[str, Mapping[tuple[str, str], str]]:
        """By kind, then by group and version, the names of definitions."""
        found: dict[str, dict[tuple[str, str], str]] = {}
        for name, schema in self.definitions.schemas.items():
            for each in schema.get(_GROUP_VERSION_KIND, ()):
                found.setdefault(each["kind"], {})[each["group"], each["version"]] = name
        return found

    @cached_property
    def _groups(self) -> frozenset[str]:
        return frozenset(group for found in self._names.values() for group, _ in found)

    def find(self, group: str, version: str, kind: str) -> KindSchema | None:
        name = self._names.get(kind, {}).get((group, version))
        return None if name is None else self._schema(group, version, kind, name)

    def of(self, kind: str) -> Sequence[KindSchema]:
        return [
            self._schema(group, version, kind, name) for (group, version), name in self._names.get(kind, {}).items()
        ]

    def _schema(self, group: str, version: str, kind: str, name: str) -> KindSchema:
        return KindSchema(group=group, version=version, kind=kind, shape=self.definitions.shape(name))

    def has_group(self, group: str) -> bool:
        return group in self._groups

    def served_by(self, group: str, version: str, kind: str) -> Sequence[str]:
        known = (f"1.{minor}" for minor in range(FIRST, LAST + 1))
        return [each for each in known if _serves(each, group, version, kind)]


@cache
def _serves(kubernetes: str, group: str, version: str, kind: str) -> bool:
    if not re.fullmatch(r"\w{1,80}", kind) or not re.fullmatch(r"[\w.-]{0,120}", group + version):
        return False
    first = f"{group.split('.')[0]}-" if group else ""
    text = _file(kubernetes, f"{kind.lower()}-{first}{version}.json")
    wanted = {"group": group, "kind": kind, "version": version}
    return text is not None and wanted in list_at(json.loads(text), _GROUP_VERSION_KIND)


def _file(kubernetes: str, name: str) -> str | None:
    """A file of the package, which is not imported: that would load a checker of schemas that nobody needs here."""
    found = util.find_spec(_PACKAGE)
    folders = found.submodule_search_locations if found else None
    file = Path(folders[0] if folders else "", "kubernetes-json-schema", f"v{kubernetes}.0-local-strict", name)
    return file.read_text("utf-8") if file.is_file() else None


def _choices(more: Body) -> Mapping[str, Mapping[str, Body]]:
    """The table of enumerations as additions to schemas."""
    return {
        name: {key: {"enum": each} if isinstance(each, list) else each for key, each in mapping_at(more, name).items()}
        for name in more
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class Shelf:
    """Custom schemas in files, read as far as they are asked for."""

    files: Sequence[Path]
    _found: dict[str, list[KindSchema]] = field(default_factory=dict[str, list[KindSchema]])
    _problems: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def problems(self) -> Sequence[tuple[str, str]]:
        return self._problems

    def of(self, kind: str) -> Sequence[KindSchema]:
        if kind not in self._found:
            told = [schema for file in self._named.get(kind.lower(), ()) for schema in self._read_json(file)]
            told += [schema for file, text in self._pieces.get(kind, ()) for schema in self._read_yaml(file, text)]
            told += self._others
            self._found[kind] = [schema for schema in told if schema.kind == kind]
        return self._found[kind]

    @cached_property
    def _named(self) -> Mapping[str, Sequence[Path]]:
        """Files whose names tell the kind, by it."""
        found: dict[str, list[Path]] = {}
        for file in self.files:
            if named := _NAMED.fullmatch(file.name):
                found.setdefault(named[1], []).append(file)
        return found

    @cached_property
    def _pieces(self) -> Mapping[str, Sequence[tuple[Path, str]]]:
        """Texts that hold one definition each, by every kind that they mention."""
        found: dict[str, list[tuple[Path, str]]] = {}
        for file in self.files:
            if file.suffix.lower() == ".json":
                continue
            for text in _cut(self._text(file)):
                for kind in set(_KIND.findall(text)) if DEFINITION in text else ():
                    found.setdefault(kind, []).append((file, text))
        return found

    @cached_property
    def _others(self) -> Sequence[KindSchema]:
        """What the JSON files define whose names tell nothing."""
        files = [each for each in self.files if each.suffix.lower() == ".json" and not _NAMED.fullmatch(each.name)]
        return [schema for file in files for schema in self._read_json(file)]

    def _read_json(self, file: Path) -> Iterator[KindSchema]:
        try:
            value = json.loads(self._text(file) or "null")
        except (ValueError, RecursionError):
            self._problems.append((str(file), "is not JSON"))
            return
        yield from _schemas(value)

    def _read_yaml(self, file: Path, text: str) -> Iterator[KindSchema]:
        def say(finding: Finding) -> None:
            self._problems.append((str(file), finding.message))

        for document in documents(text, str(file), say):
            value = document.value
            for each in cast("list[Any]", value) if isinstance(value, list) else [value]:
                yield from _schemas(each)

    def _text(self, file: Path) -> str:
        try:
            if file.stat().st_size > FILE_LIMIT_BYTES:
                self._problems.append((str(file), f"is larger than {FILE_LIMIT_BYTES // 2**20} MiB"))
                return ""
            return file.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            self._problems.append((str(file), f"cannot be read: {error}"))
            return ""


def _cut(text: str) -> Iterator[str]:
    """The documents of a YAML text, and of a `List` each item for itself."""
    for piece, _ in pieces(text):
        cuts = [found.start() for found in _ITEM.finditer(piece)] if re.search(r"^items:", piece, re.MULTILINE) else []
        if not cuts:
            yield piece
        for start, end in pairwise([*cuts, len(piece)]):
            yield re.split(r"^\w", piece[start:end], maxsplit=1, flags=re.MULTILINE)[0]


def _schemas(value: Any) -> Iterator[KindSchema]:
    if not isinstance(value, dict):
        return
    body = cast("Body", value)
    if text_at(body, "kind") == DEFINITION:
        yield from defined(body)
    elif isinstance(body.get("items"), list):
        for each in mappings_at(body, "items"):
            yield from _schemas(each)
    elif isinstance(body.get("schema"), dict) and text_at(body, "kind") and text_at(body, "version"):
        yield recorded(body)
