"""Texts to vectors, by a declared model over the path that charges and routes every call."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hanok.errors import EngineBroken
from hanok.wire import Caller, ModelPath, TaskRequest


async def embed(
    models: ModelPath, model: str, texts: Sequence[str], *, caller: Caller, dimensions: int | None = None
) -> list[bytes]:
    """One vector for each text, as `values` has them. Raises as `TaskModel.perform` does; `EngineBroken`."""
    asked = TaskRequest.embed(model, list(texts), encoding_format="float", dimensions=dimensions)
    result = await models.perform(msgspec.structs.replace(asked, caller=caller))
    try:
        vectors = result.packed_vectors()
    except ValueError as error:
        raise EngineBroken(f"{result.endpoint}: {error}") from error
    if len(vectors) != len(texts):
        raise EngineBroken(f"{result.endpoint} gave {len(vectors)} vectors for {len(texts)} texts")
    return vectors
