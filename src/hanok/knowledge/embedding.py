"""Texts to vectors, by a declared model over the path that charges and routes every call."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hanok.errors import EngineBroken, Unknown
from hanok.spec import Model, Platform, Recipe
from hanok.wire import Answer, Caller, ChatRequest, ModelPath, TaskRequest, TaskResult


class AskedBy:
    """A model path whose tasks are asked, and paid for, by one caller, whoever they say they are from."""

    def __init__(self, models: ModelPath, caller: Caller) -> None:
        self._models = models
        self._caller = caller

    async def open(self, request: ChatRequest) -> Answer:
        return await self._models.open(msgspec.structs.replace(request, caller=self._caller))

    async def perform(self, request: TaskRequest) -> TaskResult:
        return await self._models.perform(msgspec.structs.replace(request, caller=self._caller))


def embedder_of(platform: Platform, recipe: Recipe) -> Model:
    """The model that makes a recipe's vectors. Raises `Unknown` when none is declared."""
    name = recipe.embed.model
    found = platform.first("embedding") if name is None else platform.model(name)
    if found is None:
        message = (
            "no model that makes vectors is declared: add "
            "{name: embed, type: embedding, serve: {engine: sentence-encoder}}"
        )
        raise Unknown(message, code="no_embedding_model")
    return found


async def embed(
    models: ModelPath, model: str, texts: Sequence[str], *, caller: Caller, dimensions: int | None = None
) -> list[bytes]:
    """One vector for each text, as `values` has them. Raises as `TaskModel.perform` does; `EngineBroken`."""
    asked = TaskRequest.embed(model, list(texts), encoding_format="float", dimensions=dimensions)
    return vectors_of(await models.perform(msgspec.structs.replace(asked, caller=caller)), len(texts))


def vectors_of(result: TaskResult, count: int) -> list[bytes]:
    """The vectors of that many texts. Raises `EngineBroken` when these are none, or not as many."""
    try:
        vectors = result.packed_vectors()
    except ValueError as error:
        raise EngineBroken(f"{result.endpoint}: {error}") from error
    if len(vectors) != count:
        raise EngineBroken(f"{result.endpoint} gave {len(vectors)} vectors for {count} texts")
    return vectors
