"""What the programs here are started with."""

from __future__ import annotations

import msgspec

EMBEDDED = "gemma3-270m"


class LlamaCppSettings(msgspec.Struct, kw_only=True):
    """What the server is started with. `model` is `gemma3-270m`, `hf:OWNER/REPO[:FILE]` or a path; `type` its use."""

    name: str
    model: str
    type: str
    models_folder: str
    port: int
    threads: int
    context_tokens: int
    parallel: int
    chat_template: str | None
    gpu_layers: int
