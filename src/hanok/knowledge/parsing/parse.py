"""One file becomes a document, or is refused. Runs in a parser process; nothing here waits or opens anything."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from hanok.knowledge.parsing.archives import ensure_unpackable
from hanok.knowledge.parsing.decoding import decode
from hanok.knowledge.parsing.kinds import Kind, kind_of
from hanok.knowledge.parsing.outline import (
    Heading,
    asciidoc_headings,
    front_matter_title,
    markdown_headings,
    restructured_headings,
    sections_of,
)
from hanok.knowledge.parsing.refusals import MIB, ensure_size, ensure_text, refused
from hanok.knowledge.parsing.rich import Extracted, extract, extract_html
from hanok.knowledge.values import Document, Entry
from hanok.spec import Parsing

_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
_DECLARED_WITHIN_BYTES = 2048
_LONGEST_TITLE = 300
_UNPACKED_SHARE = 0.5
"""Of the memory that parsing may take: what an archive may unpack to."""


def parse(entry: Entry, data: bytes, limits: Parsing) -> Document:
    """Read a file. Raises `DocumentRefused` with the reason why it cannot be taken."""
    ensure_size(entry.path, data, limits.max_file_mib)
    kind = kind_of(entry.path, entry.media_type, data)
    extracted = _read(entry, data, kind, limits)
    hint = "a scanned document must go through text recognition (OCR) first" if kind.reader == "pdf" else None
    ensure_text(entry.path, extracted.text, limits.max_text_mib, hint=hint)
    headings = _headings(extracted.text, kind)
    return Document(
        title=_title(entry.path, extracted, headings, kind),
        type=entry.type or kind.type,
        media_type=kind.media_type,
        text=extracted.text,
        sections=sections_of(extracted.text, headings),
        pages=extracted.pages,
    )


def _read(entry: Entry, data: bytes, kind: Kind, limits: Parsing) -> Extracted:
    match kind.reader:
        case "html":
            return extract_html(entry.path, _decoded(entry, data, limits), kind)
        case "table":
            return extract(entry.path, _decoded(entry, data, limits).encode(), kind)
        case "pdf":
            _ensure_pdf(entry.path, data)
            return extract(entry.path, data, kind)
        case "zipped":
            most = round(limits.memory_mib * _UNPACKED_SHARE * MIB)
            ensure_unpackable(entry.path, data, most_unpacked=most)
            return extract(entry.path, data, kind)
        case "rich":
            return extract(entry.path, data, kind)
        case _:
            return Extracted(text=_decoded(entry, data, limits))


def _decoded(entry: Entry, data: bytes, limits: Parsing) -> str:
    text = decode(entry.path, data, declared=_declared(entry.media_type or "") or _declared_within(data))
    ensure_text(entry.path, text, limits.max_text_mib)
    return text


def _declared(media_type: str) -> str | None:
    charset = _CHARSET.search(media_type)
    return charset[1] if charset else None


def _declared_within(data: bytes) -> str | None:
    """The encoding in the first lines of a page of the web."""
    beginning = data[:_DECLARED_WITHIN_BYTES].decode("latin-1")
    return _declared(beginning) if "<meta" in beginning.lower() else None


def _ensure_pdf(path: str, data: bytes) -> None:
    if b"%PDF-" not in data[:1024]:
        raise refused("damaged", f"{path} is no PDF, though it is called one", hint="open it and save it again")


def _headings(text: str, kind: Kind) -> list[Heading]:
    match kind.reader:
        case "plain" | "table":
            return []
        case "restructured":
            return restructured_headings(text)
        case "asciidoc":
            return asciidoc_headings(text)
        case _:
            return markdown_headings(text)


def _title(path: str, extracted: Extracted, headings: list[Heading], kind: Kind) -> str:
    """What the format tells, or the first heading; a PDF tells the name of the file that it was made of, too often."""
    told = front_matter_title(extracted.text) if kind.reader == "markdown" else extracted.title
    first = next((heading.name for heading in headings if heading.name), None) if kind.type != "table" else None
    found = (first or told) if kind.reader == "pdf" else (told or first)
    return (found or PurePosixPath(path).stem or path)[:_LONGEST_TITLE]
