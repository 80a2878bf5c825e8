"""Vectors: the size that an embedding model makes against the size that the collection was made for.

What is compared belongs together for certain: variables of one container, a container and the ConfigMaps of its
namespace, the blocks of one article. A model that can be asked for shorter vectors is given the benefit of the doubt
where its code or environment asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hanok.preflight.case import Case
from hanok.preflight.consistency.embedded import line_of
from hanok.preflight.consistency.environment import Environment, Variable, environment
from hanok.preflight.consistency.load import load_figures
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import mapping_at
from hanok.preflight.workloads import Workload

SIZES_DIFFER = Rule(
    "HK501",
    "error",
    "vectors of another size than their collection's",
    "make the collection anew with the model's size, or take a model of the collection's size",
)
MODELS_DIFFER = Rule(
    "HK502",
    "warning",
    "one collection, two embedding models",
    "embed questions with the model that the documents were embedded with",
)

_MODEL = re.compile(r"(?:[A-Z]+_)?EMBED(?:DING|DINGS)?_MODEL(?:_NAME|_ID)?")
_SIZE = re.compile(
    r"(?:[A-Z]+_)?(?:(?:EMBED(?:DING)?|VECTOR|COLLECTION|MILVUS)_DIM(?:S|ENSIONS?)?|(?:EMBEDDING|VECTOR)_SIZE)"
)
_STORE = re.compile(r"(?:MILVUS|QDRANT|WEAVIATE|PGVECTOR|CHROMA|VECTOR_DB|VECTOR_STORE|VECTORSTORE)_(?:HOST|URI|URL)")
_COLLECTION = re.compile(r"(?:[A-Z]+_)?COLLECTION(?:_NAME)?")
_SHORTENS = re.compile(r"DIMENSIONS?$")
_ABOUT_VECTORS = re.compile(r"milvus|float_vector|fieldschema|qdrant|pgvector|vector", re.IGNORECASE)
_DECLARED = re.compile(
    r"(?<![\w.])[\"']?(?:dim|dimension|vector_dim|embedding_dim|vector_size)[\"']?\s*[:=]\s*[\"']?(\d{2,5})\b"
)
_CALLED = re.compile(
    r"(?:\b(?:\w*Embeddings?|SentenceTransformer)|embeddings\.create)\s*\((?P<arguments>[^()]{0,400})\)"
)
_NAMED = re.compile(r"\bmodel(?:_name|_id)?\s*=\s*[\"']([^\"']+)[\"']|^\s*[\"']([^\"']+)[\"']")
_ASKED = re.compile(r"\bdimensions\s*=\s*(\d+)")


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that the table knows."""

    name: str
    size: int
    shorter: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedding:
    """A container that embeds."""

    workload: Workload
    variable: Variable
    model: Model
    environment: Environment


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A size that a collection is given, and where."""

    size: int
    file: str
    line: int


def known(name: str) -> Model | None:
    """The model of that name, whoever its owner is."""
    short = name.strip().lower().rsplit("/", 1)[-1]
    entry = load_figures()["embeddings"].get(short)
    return Model(name=short, size=entry["size"], shorter=entry.get("shorter", False)) if entry else None


def check_variables(case: Case) -> Iterator[Finding]:
    """Model and size beside one another in one container's environment."""
    for one in _embeddings(case):
        for size, variable in _sizes(one.environment):
            asked = one.model.shorter and size < one.model.size
            if size != one.model.size and not asked:
                message = f"{one.model.name} makes vectors of {one.model.size}, and {variable.name} says {size}"
                yield SIZES_DIFFER.on(variable.manifest, *variable.path, message=message)


def check_collections(case: Case) -> Iterator[Finding]:
    """A container's model and the collections that its namespace, or its article, declares."""
    for one in _embeddings(case):
        if any(True for _ in _sizes(one.environment)) or _asks_shorter(one.environment):
            continue
        declared = _declared_for(case, one)
        if declared and all(each.size != one.model.size for each in declared):
            where = _places(declared)
            message = f"{one.model.name} makes vectors of {one.model.size}, and the collection takes {where}"
            yield SIZES_DIFFER.on(one.variable.manifest, *one.variable.path, message=message)


def check_code(case: Case) -> Iterator[Finding]:
    """Code in an article that embeds with one size into a collection of another."""
    for code in case.cluster.codes:
        declared = _in_codes(case, code.file)
        for found in _CALLED.finditer(code.text) if declared else ():
            named, asked = _NAMED.search(found["arguments"]), _ASKED.search(found["arguments"])
            model = known(named[1] or named[2]) if named else None
            size = int(asked[1]) if asked else model.size if model else 0
            if model and all(each.size != size for each in declared):
                line = code.offset + 1 + code.text.count("\n", 0, found.start())
                message = f"{model.name} makes vectors of {size} here, and the collection takes {_places(declared)}"
                yield SIZES_DIFFER.at(code.file, line, message)


def check_models(case: Case) -> Iterator[Finding]:
    """Containers that look into the same collection with different models."""
    embeddings = list(_embeddings(case))
    for index, one in enumerate(embeddings):
        sharing = (each for each in embeddings[:index] if _share(each, one))
        other = next((each for each in sharing if each.model.name != one.model.name), None)
        if other is not None:
            apart = one.model.size != other.model.size
            message = (
                f"embeds with {one.model.name}, and {other.workload.title} with {other.model.name} into the same store"
            )
            severity = "error" if apart else None
            yield MODELS_DIFFER.on(one.variable.manifest, *one.variable.path, message=message, severity=severity)


def _embeddings(case: Case) -> Iterator[Embedding]:
    for workload in case.workloads:
        for container in workload.containers:
            given = environment(case.cluster, workload, container)
            for name, variable in given.variables.items():
                model = known(variable.value) if _MODEL.fullmatch(name) and variable.value else None
                if model is not None:
                    yield Embedding(workload=workload, variable=variable, model=model, environment=given)


def _sizes(given: Environment) -> Iterator[tuple[int, Variable]]:
    for name, variable in given.variables.items():
        if _SIZE.fullmatch(name) and (variable.value or "").strip().isdecimal():
            yield int(variable.value or 0), variable


def _asks_shorter(given: Environment) -> bool:
    return any(_SHORTENS.search(name) for name in given.variables)


def _share(one: Embedding, other: Embedding) -> bool:
    """Whether two look into the same collection for certain: the same store, and no different names within it."""
    stores = [
        {variable.value for name, variable in each.environment.variables.items() if _STORE.fullmatch(name)} - {"", None}
        for each in (one, other)
    ]
    names = [
        {variable.value for name, variable in each.environment.variables.items() if _COLLECTION.fullmatch(name)}
        for each in (one, other)
    ]
    return bool(stores[0] & stores[1]) and bool(names[0]) and names[0] == names[1]


def _declared_for(case: Case, one: Embedding) -> list[Declared]:
    file, namespace = one.workload.manifest.file, one.workload.namespace
    return [*_in_codes(case, file), *_in_configs(case, namespace)]


def _in_codes(case: Case, file: str) -> list[Declared]:
    return [
        Declared(size=int(found[1]), file=file, line=code.offset + 1 + code.text.count("\n", 0, found.start()))
        for code in case.cluster.codes
        if code.file == file and _ABOUT_VECTORS.search(code.text) and not _ASKED.search(code.text)
        for found in _DECLARED.finditer(code.text)
    ]


def _in_configs(case: Case, namespace: str) -> Iterator[Declared]:
    for config in case.cluster.of("ConfigMap"):
        for key, text in mapping_at(config.body, "data").items():
            if config.namespace == namespace and isinstance(text, str) and _ABOUT_VECTORS.search(f"{key} {text}"):
                for found in _DECLARED.finditer(text):
                    line = line_of(config, text, found.start(), "data", key)
                    yield Declared(size=int(found[1]), file=config.file, line=line)


def _places(declared: Sequence[Declared]) -> str:
    sizes = sorted({each.size for each in declared})
    said = " or ".join(str(each) for each in sizes)
    return f"{said} ({declared[0].file}:{declared[0].line})"


CHECKS = (check_variables, check_collections, check_code, check_models)
