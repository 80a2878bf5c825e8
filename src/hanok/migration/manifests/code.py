"""Python in articles: what it says of a collection of vectors, of chunks and of searches. Read, never run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from hanok.migration.manifests.told import Block
from hanok.preflight.manifests import Cluster, Code, mapping_at, whole_at

_LONGEST = 200_000
_TYPES = ("code", "documentation", "chat_logs", "text", "table")
_STRATEGIES = {
    "fixed": "fixed", "recursive": "fixed", "character": "fixed", "token": "token", "semantic": "semantic",
    "markdown": "markdown", "code": "code",
}  # fmt: skip
_INDEXES = ("FLAT", "IVF_FLAT", "HNSW", "GPU_IVF_FLAT", "SCANN")
_METRICS = ("COSINE", "IP", "L2")


@dataclass(frozen=True, kw_only=True)
class Said:
    """One thing that code says, and its line."""

    value: Any
    line: int


@dataclass(kw_only=True)
class Findings:
    """What the code of one article says of its knowledge."""

    file: str
    collections: dict[str, int] = field(default_factory=dict[str, int])
    """Names, and the lines where they stand first."""
    dimensions: Said | None = None
    index: Said | None = None
    """`index` of a knowledge base."""
    split: Said | None = None
    """`split` of a knowledge base."""
    retrieve: Said | None = None
    """`retrieve` of a knowledge base."""
    models: dict[str, int] = field(default_factory=dict[str, int])
    """Embedding models, and the lines where they stand first."""


def read_codes(cluster: Cluster) -> dict[str, Findings]:
    """What the Python of each file says."""
    found: dict[str, Findings] = {}
    for code in cluster.codes:
        if code.language in ("python", "py", "python3"):
            _read(code, found.setdefault(code.file, Findings(file=code.file)))
    return found


def _read(code: Code, found: Findings) -> None:
    for node in _nodes(code.text):
        line = code.offset + int(getattr(node, "lineno", 1))
        if isinstance(node, ast.Call):
            _read_call(node, line, found)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            _read_assignment(node, line, found)


def _nodes(text: str) -> Iterator[ast.AST]:
    """The parts of a program in the order of its lines; none of one that cannot be parsed."""
    if len(text) > _LONGEST:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Python thinks of their escapes
            tree = ast.parse(text)
        nodes = [each for each in ast.walk(tree) if isinstance(each, ast.Call | ast.Assign | ast.AnnAssign)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    yield from sorted(nodes, key=lambda each: each.lineno)


def _read_call(node: ast.Call, line: int, found: Findings) -> None:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    given = {each.arg: _value(each.value) for each in node.keywords if each.arg}
    name = given.get("collection_name") or (given.get("name") if called == "Collection" else None)
    if called == "Collection" and name is None and node.args:
        name = _value(node.args[0])
    if isinstance(name, str) and name:
        found.collections.setdefault(name, line)
    size = whole_at(given, "dim") or whole_at(given, "dimension")
    if size and found.dimensions is None and called in ("FieldSchema", "add_field", "create_collection"):
        found.dimensions = Said(value=size, line=line)
    if called.endswith("Embeddings") and isinstance(given.get("model"), str):
        found.models.setdefault(given["model"], line)
    if isinstance(given.get("search_kwargs"), dict) and found.retrieve is None:
        found.retrieve = _retrieve(given["search_kwargs"], given.get("search_type"), line)


def _read_assignment(node: ast.Assign | ast.AnnAssign, line: int, found: Findings) -> None:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    names = [each.id for each in targets if isinstance(each, ast.Name)]
    value = _value(node.value) if node.value is not None else None
    if not isinstance(value, dict):
        return
    body = cast("dict[str, Any]", value)
    if "index_type" in body and found.index is None:
        found.index = Said(value=_index(body), line=line)
    elif any("chunk" in name.lower() for name in names) and found.split is None:
        rules = list(_rules(body))
        found.split = Said(value=rules, line=line) if rules else None


def _value(node: ast.AST) -> Any:
    """A literal; None for anything that would have to be run."""
    try:
        return ast.literal_eval(cast("ast.expr", node))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def _index(body: Mapping[str, Any]) -> Block:
    params = mapping_at(body, "params")
    found: Block = {}
    if body.get("index_type") in _INDEXES:
        found["type"] = body["index_type"]
    if body.get("metric_type") in _METRICS:
        found["metric"] = body["metric_type"]
    sizes = {"m": whole_at(params, "M"), "ef_construction": whole_at(params, "efConstruction")}
    return found | {key: each for key, each in (sizes | {"nlist": whole_at(params, "nlist")}).items() if each}


def _rules(body: Mapping[str, Any]) -> Iterator[Block]:
    """Rules of chunking by the type of a document; what holds for all others stands last."""
    for key in sorted(body, key=lambda each: each not in _TYPES):
        rule = mapping_at(body, key)
        strategy = _STRATEGIES.get(str(rule.get("strategy")))
        if strategy is not None and (key in _TYPES or key == "default"):
            yield split_rule(strategy, whole_at(rule, "chunk_size"), whole_at(rule, "overlap"), key)


def split_rule(strategy: str | None, size: int | None, overlap: int | None, type_: str = "default") -> Block:
    """A rule of `split`; an overlap is taken with a size alone, and half of it at most."""
    found: Block = {"type": type_} if type_ != "default" else {}
    found |= {"strategy": strategy} if strategy else {}
    if size is not None and 16 <= size <= 32_768:
        found["size"] = size
        if overlap is not None and overlap >= 0:
            found["overlap"] = min(overlap, size // 2)
    return found


def strategy_of(text: str) -> str | None:
    """A strategy's name as Hanok has it."""
    return _STRATEGIES.get(text.strip().lower())


def _retrieve(kwargs: Mapping[str, Any], search_type: object, line: int) -> Said | None:
    k, fetch_k = whole_at(kwargs, "k"), whole_at(kwargs, "fetch_k")
    found: Block = {"k": k} if k and 1 <= k <= 100 else {}
    if fetch_k and fetch_k >= (k or 5):
        found["fetch_k"] = min(fetch_k, 1000)
    if search_type == "mmr":
        share = kwargs.get("lambda_mult", 0.5)  # LangChain's own
        found["mmr_lambda"] = share if isinstance(share, float) and 0 <= share <= 1 else 0.5
    return Said(value=found, line=line) if found else None
