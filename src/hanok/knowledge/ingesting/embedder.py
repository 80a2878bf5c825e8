"""Passages to vectors, by a declared model over the path that charges and routes every call.

A model that is not there yet, or full, is waited for; one that does not take a text refuses the document that it is
from: the batch is halved until that text stands alone.
"""

from __future__ import annotations

import array
import asyncio
import math
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec

from hanok.errors import (
    BudgetExceeded,
    DocumentRefused,
    EngineError,
    EngineRefused,
    HanokError,
    KnowledgeError,
    RequestError,
)
from hanok.knowledge.embedding import vectors_of
from hanok.knowledge.values import Shape
from hanok.spec import Index
from hanok.wire import ANONYMOUS, Caller, ModelPath, TaskRequest
from hanok.wire.forms import read_error_message

PAUSES_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, *(10.0,) * 10)
"""How long is waited before a model is asked again: about two minutes in all."""
MOST_PAUSE_S = 60.0
INPUT_FAULTS = (400, 413, 422)
NEVER = (401, 403, 404)
NEAR_UNIT = 0.01
"""How far from 1 a vector's length may be to be taken for normalised; models round."""
_PROBE = "Hanok"

Fault = Literal["input", "never", "later"]
OpenModels = Callable[[], Awaitable[ModelPath]]


class Embedder:
    """Embeds texts. `models` is opened when it is first needed; `waiting` is told what is waited for, "" when nothing.

    `prefix` stands before every text, `dimensions` is asked of models that can shorten.
    """

    def __init__(
        self,
        models: OpenModels,
        *,
        model: str,
        prefix: str = "",
        dimensions: int | None = None,
        caller: Caller = ANONYMOUS,
        pauses_s: Sequence[float] = PAUSES_S,
        waiting: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.tokens = 0
        self.dimensions = 0
        self._open = models
        self._models: ModelPath | None = None
        self._opening = asyncio.Lock()
        self._model = model
        self._prefix = prefix
        self._asked_dimensions = dimensions
        self._caller = caller
        self._pauses_s = pauses_s
        self._waiting = waiting

    async def probe(self, index: Index) -> Shape:
        """What a collection of this model's vectors is made like, by embedding one text. Raises `KnowledgeError`."""
        try:
            [vector] = await self._ask([_PROBE])
        except _Refused as refused:
            raise KnowledgeError(f"the model {self._model!r} does not make vectors here: {refused}") from None
        floats = _floats(vector)
        length = math.sqrt(math.fsum(each * each for each in floats))
        if not math.isfinite(length) or not length:
            raise KnowledgeError(
                f"the model {self._model!r} makes vectors without a direction (their length: {length})"
            )
        if index.metric == "IP" and abs(length - 1) > NEAR_UNIT:
            message = (
                f"the model {self._model!r} makes vectors of length {length:.3g}, and the metric IP takes those of 1"
            )
            raise KnowledgeError(message, hint="declare `index: {metric: COSINE}`")
        self.dimensions = len(floats)
        return Shape(dimensions=len(floats), index=index)

    async def embed(self, texts: Sequence[str]) -> list[bytes | DocumentRefused]:
        """A vector for each text, or why its document cannot be taken. Raises `KnowledgeError`."""
        try:
            vectors = await self._ask(texts)
        except _Refused as refused:
            if len(texts) == 1:
                return [_does_not_take(self._model, str(refused))]
            half = len(texts) // 2
            return [*await self.embed(texts[:half]), *await self.embed(texts[half:])]
        return [self._fit(vector) for vector in vectors]

    def _fit(self, vector: bytes) -> bytes | DocumentRefused:
        if self.dimensions and len(vector) != 4 * self.dimensions:
            dimensions = len(vector) // 4
            raise KnowledgeError(
                f"the model {self._model!r} makes vectors of {self.dimensions} and of {dimensions} floats"
            )
        if not math.isfinite(sum(_floats(vector))):
            return _does_not_take(self._model, "its vector has values that are no numbers")
        return vector

    async def _ask(self, texts: Sequence[str]) -> list[bytes]:
        """Raises `_Refused` when the texts are at fault, `KnowledgeError` when there is no hope."""
        pauses = iter(self._pauses_s)
        while True:
            try:
                vectors = await self._ask_once(texts)
            except (EngineError, RequestError) as error:
                await self._recover(error, next(pauses, None))
            else:
                self._waiting("")
                return vectors

    async def _recover(self, error: EngineError | RequestError, pause_s: float | None) -> None:
        fault = fault_of(error)
        if fault == "input":
            raise _Refused(_said(error)) from error
        if fault == "never" or pause_s is None:
            waited = "" if fault == "never" else f" (waited {math.fsum(self._pauses_s):.0f} s)"
            message = f"the model {self._model!r} does not embed: {_said(error)}{waited}"
            raise KnowledgeError(message, hint=error.hint or _hint(fault)) from error
        self._waiting(f"the model {self._model!r}: {_said(error)}")
        retry_after_s: float = getattr(error, "retry_after_s", None) or 0.0
        await asyncio.sleep(min(max(pause_s, retry_after_s), MOST_PAUSE_S))

    async def _ask_once(self, texts: Sequence[str]) -> list[bytes]:
        async with self._opening:
            if self._models is None:
                self._models = await self._open()
        told = [self._prefix + text for text in texts]
        request = TaskRequest.embed(self._model, told, encoding_format="base64", dimensions=self._asked_dimensions)
        result = await self._models.perform(msgspec.structs.replace(request, caller=self._caller))
        vectors = vectors_of(result, len(texts))
        self.tokens += result.usage.prompt_tokens if result.usage else 0
        return vectors


class _Refused(Exception):
    """The model does not take these texts."""


def fault_of(error: HanokError) -> Fault:
    """Whether the texts are at fault, or nothing will help, or it may do later."""
    status = getattr(error, "status", 500)
    if isinstance(error, BudgetExceeded) or status in NEVER or _is_about_money(error):
        return "never"
    return "input" if status in INPUT_FAULTS else "later"


def _is_about_money(error: HanokError) -> bool:
    return isinstance(error, EngineRefused) and b"insufficient_quota" in error.refusal.body


def _said(error: HanokError) -> str:
    inside = read_error_message(error.refusal.body) if isinstance(error, EngineRefused) else None
    return inside or error.message


def _hint(fault: Fault) -> str | None:
    return (
        None if fault == "never" else "see `hanok models`; what was ingested is kept, and the next run goes on from it"
    )


def _does_not_take(model: str, why: str) -> DocumentRefused:
    return DocumentRefused(f"the model {model!r} does not take a passage: {why}", code="not_embedded")


def _floats(vector: bytes) -> array.array[float]:
    floats = array.array("f")
    floats.frombytes(vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats
