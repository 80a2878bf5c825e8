"""What pymilvus says when something goes wrong, in our words; and nothing of it on the terminal besides."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from hanok.errors import HanokError, KeptUnreachable, StoreError

_LOGGERS = ("pymilvus", "milvus_lite", "grpc", "grpc._server", "faiss")
_NO_COLLECTION = 100
_NO_DATABASE = 800
_NOT_REACHED = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "Fail connecting", "Retry timeout", "failed to connect")
_NOT_LET_IN = ("UNAUTHENTICATED", "auth check failure", "PERMISSION_DENIED", "permission deny")
T = TypeVar("T")


class NotThere(StoreError):
    """There is no such collection, or no such alias."""


def import_pymilvus() -> Any:
    """The library, silent. Raises `StoreError` with the install line when it is not there."""
    try:
        library = importlib.import_module("pymilvus")
    except ImportError as error:
        raise StoreError(f"knowledge needs Milvus' client: {error}", hint='pip install "hanok[rag]"') from None
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return library


def told(work: Callable[[], T], uri: str = "") -> T:
    """What it gives. Raises `StoreError` for whatever Milvus, or the way to it, raises."""
    try:
        return work()
    except HanokError:
        raise
    except ImportError as error:
        raise StoreError(f"knowledge needs a package: {error}", hint='pip install "hanok[rag]"') from None
    except Exception as error:  # noqa: BLE001 - pymilvus lets many kinds out, of grpc and its own
        raise _in_our_words(error, uri) from None


def _in_our_words(error: Exception, uri: str) -> StoreError:
    text = str(getattr(error, "message", "") or error)
    if getattr(error, "code", None) == _NO_COLLECTION:
        return NotThere(f"there is no collection: {text}", hint="ingest it first: hanok knowledge ingest")
    if "Open local milvus failed" in text or "milvus_lite" in text:
        return StoreError(
            f"Milvus Lite cannot open {uri}: another process has it, or it is of an older Milvus Lite",
            hint="end that process, or move the folder away and ingest again",
        )
    if any(sign in f"{text} {_code_of(error)}" for sign in _NOT_LET_IN):
        return StoreError(f"Milvus at {uri} does not let us in: {text}", hint="look at `milvus.token` and `milvus.db`")
    if getattr(error, "code", None) == _NO_DATABASE:
        return StoreError(f"Milvus at {uri}: {text}", hint="look at `milvus.db`")
    if isinstance(error, (OSError, TimeoutError)) or any(sign in f"{text} {_code_of(error)}" for sign in _NOT_REACHED):
        return KeptUnreachable(f"Milvus at {uri} cannot be reached: {text}", hint="start it, or look at `milvus.uri`")
    return StoreError(f"Milvus at {uri} refuses: {text}")


def _code_of(error: Exception) -> str:
    code = getattr(error, "code", None)
    return str(code() if callable(code) else code)
