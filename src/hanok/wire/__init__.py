"""Words shared by every room: what a model is asked, what it answers, and the two shapes that pass it on.

Nothing here opens a door. Bodies stay the bytes they came as (`msgspec.Raw`): a field that nobody needs to read is
never parsed, and an engine's chunk is relayed as the engine wrote it.
"""

from hanok.wire.charge import NANO, Charge, Ending
from hanok.wire.chat import (
    ANONYMOUS,
    BYTES_PER_TOKEN,
    NO_OPTIONS,
    Answer,
    Caller,
    ChatModel,
    ChatRequest,
    Chunk,
    Fields,
    Kept,
    ModelPath,
    Operation,
    Options,
    Pours,
    Take,
    Task,
    TaskModel,
    TaskRequest,
    TaskResult,
    Tier,
    Usage,
    WholeAnswer,
    json_bytes,
    pour,
)

__all__ = [
    "ANONYMOUS",
    "BYTES_PER_TOKEN",
    "NANO",
    "NO_OPTIONS",
    "Answer",
    "Caller",
    "Charge",
    "ChatModel",
    "ChatRequest",
    "Chunk",
    "Ending",
    "Fields",
    "Kept",
    "ModelPath",
    "Operation",
    "Options",
    "Pours",
    "Take",
    "Task",
    "TaskModel",
    "TaskRequest",
    "TaskResult",
    "Tier",
    "Usage",
    "WholeAnswer",
    "json_bytes",
    "pour",
]
