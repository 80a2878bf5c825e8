"""How passages stand in Milvus: one typed schema, the same on Lite and on servers, and rows to and from it.

Words are searched by Milvus' own BM25 over `terms` (analyzer `standard`, which only cuts at spaces here), meaning by
`embedding`. The reader is the partition key. `facts` is a digest of the metadata: where a filter over JSON would look
at every row in Python (Lite), the digests of those metadata for which it holds are asked for instead.
Limits: https://milvus.io/docs/limitations.md (VARCHAR and JSON 65,535 bytes).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hanok.errors import StoreError
from hanok.knowledge.filters import quoted
from hanok.knowledge.ranking import Candidate
from hanok.knowledge.stores.checks import ID_LIMIT_CHARACTERS
from hanok.knowledge.stores.milvus_errors import import_pymilvus
from hanok.knowledge.values import Head, Hit, Plain, Row, Shape
from hanok.spec import Index

LIMIT_BYTES = 65_535
_NAME_BYTES = 1024
"""What is shown of a title, a path or a heading at most; longer ones are cut."""
LITE_INDEXES = ("FLAT", "IVF_FLAT", "HNSW")
_SHOWN = ("document", "digest", "ordinal", "path", "title", "headings", "page", "start", "end", "reader", "created_at")
HIT_FIELDS = ["id", *_SHOWN, "content", "metadata"]
CANDIDATE_FIELDS = [*HIT_FIELDS, "terms", "embedding"]
_BM25 = {"bm25_k1": 1.2, "bm25_b": 0.75}
"""Milvus' own defaults, told since Lite has others."""


def make_schema(shape: Shape) -> Any:
    """The schema of a collection of that shape."""
    pymilvus = import_pymilvus()
    DataType = pymilvus.DataType  # noqa: N806 - as it is called there
    schema = pymilvus.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=ID_LIMIT_CHARACTERS)
    schema.add_field("reader", DataType.VARCHAR, max_length=_NAME_BYTES, is_partition_key=True)
    for name in ("store", "document", "digest", "path", "title", "content", "head"):
        schema.add_field(name, DataType.VARCHAR, max_length=LIMIT_BYTES)
    for name in ("ordinal", "page", "start", "end", "created_at", "facts"):
        schema.add_field(name, DataType.INT64)
    for name in ("headings", "metadata"):
        schema.add_field(name, DataType.JSON)
    plain = {"type": "standard"}
    schema.add_field("terms", DataType.VARCHAR, max_length=LIMIT_BYTES, enable_analyzer=True, analyzer_params=plain)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=shape.dimensions)
    schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
    kind = pymilvus.FunctionType.BM25
    schema.add_function(
        pymilvus.Function(name="bm25", function_type=kind, input_field_names=["terms"], output_field_names=["sparse"])
    )
    return schema


def make_indexes(shape: Shape) -> Any:
    """The indexes of a collection of that shape: of vectors as declared, of words inverted."""
    index = shape.index
    indexes = import_pymilvus().MilvusClient.prepare_index_params()
    indexes.add_index("embedding", index_type=index.type, metric_type=index.metric, params=_building(index))
    indexes.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", params=_BM25)
    return indexes


def _building(index: Index) -> dict[str, int]:
    if index.type == "HNSW":
        return {"M": index.m, "efConstruction": index.ef_construction}
    return {} if index.type == "FLAT" else {"nlist": index.nlist}


def searching(index: Index, *, ef: int, nprobe: int, fetch_k: int) -> dict[str, Any]:
    """What a search by meaning is asked with. HNSW looks at no fewer candidates than it is to give."""
    if index.type == "HNSW":
        return {"metric_type": index.metric, "params": {"ef": max(ef, fetch_k)}}
    probing = {} if index.type == "FLAT" else {"nprobe": min(nprobe, index.nlist)}
    return {"metric_type": index.metric, "params": probing}


def read_shape(described: Mapping[str, Any], index: Mapping[str, Any]) -> Shape | None:
    """The shape of a collection, as far as Milvus tells; None when it is none of ours.

    Lite keeps no parameters of an index, and none keeps what `terms` are: only the recipe of a base says it.
    """
    fields = {field["name"]: field for field in described["fields"]}
    if not {"embedding", "sparse", "facts", "terms", *CANDIDATE_FIELDS} <= fields.keys():
        return None
    told = {"type": index.get("index_type"), "metric": index.get("metric_type")}
    for ours, theirs in (("m", "M"), ("ef_construction", "efConstruction"), ("nlist", "nlist")):
        if theirs in index:
            told[ours] = int(index[theirs])
    return Shape(dimensions=int(fields["embedding"]["params"]["dim"]), index=Index.model_validate(told))


def as_record(row: Row) -> dict[str, Any]:
    """A row as Milvus takes it. Raises `StoreError` where it is longer than Milvus keeps."""
    import numpy

    head = "" if row.head is None else msgspec.json.encode(row.head).decode()
    whole = {"document": row.document, "digest": row.digest, "content": row.text, "store": row.store, "head": head}
    for name, text in {**whole, "metadata": msgspec.json.encode(row.metadata).decode()}.items():
        _check_length(row, name, text)
    return {
        **whole,
        "id": row.id,
        "reader": row.reader,
        "path": cut(row.path, _NAME_BYTES),
        "title": cut(row.title, _NAME_BYTES),
        "headings": [cut(heading, _NAME_BYTES) for heading in row.headings],
        "metadata": dict(row.metadata),
        "facts": facts_of(row.metadata),
        "terms": _cut_terms(row.terms),
        "ordinal": row.ordinal,
        "page": row.page,
        "start": row.start,
        "end": row.end,
        "created_at": row.created_at,
        "embedding": numpy.frombuffer(row.vector, dtype="<f4"),
    }


def _check_length(row: Row, name: str, text: str) -> None:
    if (size := len(text.encode())) > LIMIT_BYTES:
        raise StoreError(
            f"passage {row.ordinal} of {row.path}: its {name} has {size:,} bytes, and Milvus keeps {LIMIT_BYTES:,}",
            hint="make `size` in `split` smaller" if name == "content" else None,
        )


def cut(text: str, limit_bytes: int) -> str:
    """As much of the text as has at most so many bytes of UTF-8, no character in pieces."""
    return text.encode()[:limit_bytes].decode(errors="ignore")


def _cut_terms(terms: str) -> str:
    short = cut(terms, LIMIT_BYTES)
    return short if short == terms else short.rpartition(" ")[0]


def facts_of(metadata: Mapping[str, Plain]) -> int:
    """A digest of metadata, 53 bits of its SHA-256; equal for equal metadata in any order of keys."""
    told = msgspec.json.encode(dict(metadata), order="sorted")
    return int.from_bytes(hashlib.sha256(told).digest()[:8]) >> 11


def as_hit(found: Mapping[str, Any]) -> Hit:
    """A record of `HIT_FIELDS` as a hit without scores."""
    shown = {name: found[name] for name in _SHOWN}
    shown["headings"] = tuple(shown["headings"])
    return Hit(id=found["id"], text=found["content"], metadata=found["metadata"], score=0.0, **shown)


def as_candidate(found: Mapping[str, Any], bm25: float = 0.0) -> Candidate:
    """A record of `CANDIDATE_FIELDS`."""
    import numpy

    vector = numpy.asarray(found["embedding"], dtype="<f4").tobytes()
    return Candidate(hit=as_hit(found), vector=vector, terms=found["terms"], bm25=bm25)


def read_heads(found: Sequence[Mapping[str, Any]]) -> list[Head]:
    """The heads among records of the field `head`."""
    return [msgspec.json.decode(each["head"], type=Head) for each in found if each["head"]]


def of_document(document: str, store: str) -> str:
    """The expression for a document's passages."""
    return f"document == {quoted(document)} and store == {quoted(store)}"


def one_of(field: str, values: Sequence[str | int]) -> str:
    """The expression for a field, not within JSON, that has one of these values."""
    listed = ", ".join(quoted(value) if isinstance(value, str) else str(value) for value in values)
    return f"{field} in [{listed}]"
