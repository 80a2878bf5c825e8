"""Words shared by every room: what a model is asked, what it answers, and the two shapes that pass it on.

Nothing here opens a door. Bodies stay the bytes they came as (`msgspec.Raw`): a field that nobody needs to read is
never parsed, and an engine's chunk is relayed as the engine wrote it.
"""

from hanok.wire.charge import NANO, Charge, Ending
from hanok.wire.chat import (
    ANONYMOUS,
    Answer,
    Caller,
    ChatModel,
    ChatRequest,
    Chunk,
    Embedder,
    EmbeddingRequest,
    Embeddings,
    ModelPath,
    Operation,
    Usage,
    json_bytes,
)

__all__ = [
    "ANONYMOUS",
    "NANO",
    "Answer",
    "Caller",
    "Charge",
    "ChatModel",
    "ChatRequest",
    "Chunk",
    "Embedder",
    "EmbeddingRequest",
    "Embeddings",
    "Ending",
    "ModelPath",
    "Operation",
    "Usage",
    "json_bytes",
]
