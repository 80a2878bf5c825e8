"""Why a document cannot be taken: a word for machines, a sentence for people, and what to do."""

from __future__ import annotations

from typing import Literal

from hanok.errors import DocumentRefused

Reason = Literal[
    "empty",
    "no_text",
    "too_large",
    "too_long",
    "encrypted",
    "zip_bomb",
    "binary",
    "encoding",
    "damaged",
    "unknown_format",
    "timeout",
    "out_of_memory",
    "crashed",
]
MIB = 2**20
OUT_OF_MEMORY = ("memory allocation of", "MemoryError", "Cannot allocate memory", "out of memory", "bad_alloc")
"""What libraries say when they are refused memory."""


def refused(reason: Reason, message: str, *, hint: str | None = None) -> DocumentRefused:
    """What to raise. `message` begins with the document's path."""
    return DocumentRefused(message, code=reason, hint=hint)


def ensure_size(path: str, data: bytes, max_file_mib: float) -> None:
    """Raise `DocumentRefused` for a file with nothing in it, or with too much."""
    if not data:
        raise refused("empty", f"{path} is empty")
    if len(data) > max_file_mib * MIB:
        told = f"{path} has {len(data) / MIB:.1f} MiB, more than the {max_file_mib:g} MiB of parse.max_file_mib"
        raise refused("too_large", told, hint="split the file, or raise parse.max_file_mib")


def ensure_text(path: str, text: str, max_text_mib: float, *, hint: str | None = None) -> None:
    """Raise `DocumentRefused` for a text with nothing in it, or longer than may be (in UTF-8)."""
    if not text or text.isspace():
        raise refused("no_text", f"{path} has no text in it", hint=hint)
    longest = max_text_mib * MIB
    if len(text) > longest or (len(text) * 4 > longest and len(text.encode()) > longest):
        told = f"{path} has more text than the {max_text_mib:g} MiB of parse.max_text_mib"
        raise refused("too_long", told, hint="split the file, or raise parse.max_text_mib")


def out_of_memory(path: str) -> DocumentRefused:
    """For a file that needs more memory than there is for it."""
    told = f"{path} takes more memory than parse.memory_mib"
    return refused("out_of_memory", told, hint="split the file, or raise parse.memory_mib")


def timed_out(path: str, timeout_s: float) -> DocumentRefused:
    """For a file that took too long."""
    told = f"{path} was not read within the {timeout_s:g} s of parse.timeout_s"
    return refused("timeout", told, hint="split the file, or raise parse.timeout_s")


def crashed(path: str, how: str) -> DocumentRefused:
    """For a file at which the parser fails in a way that nobody foresaw."""
    return refused("crashed", f"{path} could not be read: {how}", hint="open it and save it again, or leave it out")
