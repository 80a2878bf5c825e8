"""What a file is, by its media type, its name or its first bytes: how it is read, and the type of its document.

A media type that says something (not `text/plain`, not `application/octet-stream`) is believed before the name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from hanok.knowledge.parsing.refusals import refused
from hanok.spec import DocumentType

Reader = Literal["markdown", "restructured", "asciidoc", "plain", "html", "table", "rich", "zipped", "pdf"]
_OFFICE = "application/vnd.openxmlformats-officedocument"
_SAYS_NOTHING = ("", "text/plain", "application/octet-stream", "binary/octet-stream")
_SNIFFED_BYTES = 1024


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A format: its media type, what reads it, and the type of its documents."""

    media_type: str
    reader: Reader
    type: DocumentType


def _kind(media_type: str, reader: Reader, type_: DocumentType) -> Kind:
    return Kind(media_type=media_type, reader=reader, type=type_)


PLAIN = _kind("text/plain", "plain", "text")
_CODE = _kind("text/plain", "plain", "code")
_PYTHON = _kind("text/x-python", "plain", "code")
_MARKDOWN = _kind("text/markdown", "markdown", "documentation")
_HTML = _kind("text/html", "html", "documentation")
_PDF = _kind("application/pdf", "pdf", "documentation")
_DOCX = _kind(f"{_OFFICE}.wordprocessingml.document", "zipped", "documentation")
_PPTX = _kind(f"{_OFFICE}.presentationml.presentation", "zipped", "documentation")
_XLSX = _kind(f"{_OFFICE}.spreadsheetml.sheet", "zipped", "table")

_BY_SUFFIX: dict[str, Kind] = {
    **dict.fromkeys((".md", ".markdown", ".mdx", ".mdc"), _MARKDOWN),
    **dict.fromkeys((".rst", ".rest"), _kind("text/x-rst", "restructured", "documentation")),
    **dict.fromkeys((".adoc", ".asciidoc"), _kind("text/asciidoc", "asciidoc", "documentation")),
    **dict.fromkeys((".html", ".htm", ".xhtml"), _HTML),
    ".pdf": _PDF,
    ".docx": _DOCX,
    ".pptx": _PPTX,
    ".xlsx": _XLSX,
    ".odt": _kind("application/vnd.oasis.opendocument.text", "zipped", "documentation"),
    ".epub": _kind("application/epub+zip", "zipped", "documentation"),
    ".rtf": _kind("application/rtf", "rich", "documentation"),
    ".ipynb": _kind("application/x-ipynb+json", "rich", "documentation"),
    ".eml": _kind("message/rfc822", "rich", "text"),
    ".csv": _kind("text/csv", "table", "table"),
    ".tsv": _kind("text/tab-separated-values", "table", "table"),
    **dict.fromkeys((".txt", ".text", ".log", ".org", ".tex", ".srt", ".vtt"), PLAIN),
}
_CODE_NAMES = (
    "pyx js mjs cjs jsx ts mts cts tsx vue svelte java kt kts scala groovy gradle go rs c h cc cpp cxx hh hpp hxx "
    "cu cuh cs fs vb swift m mm rb php pl pm lua r jl dart ex exs erl hs ml mli clj cljs lisp el scm zig nim d v "
    "sv vhd asm s sh bash zsh fish ps1 bat cmd sql graphql gql proto thrift tf hcl nix cmake mk bzl star rego cue "
    "css scss sass less xml xsd xsl svg json jsonl ndjson json5 yaml yml toml ini cfg conf properties env diff "
    "patch"
)
_BY_SUFFIX.update(dict.fromkeys([f".{name}" for name in _CODE_NAMES.split()], _CODE))
_BY_SUFFIX.update(dict.fromkeys((".py", ".pyi"), _PYTHON))
_BY_NAME = {
    **dict.fromkeys(("dockerfile", "containerfile", "makefile", "jenkinsfile", "vagrantfile", "gemfile"), _CODE),
    **dict.fromkeys(
        ("readme", "license", "licence", "copying", "notice", "authors", "changelog", "contributing"), PLAIN
    ),
}
_BY_MEDIA_TYPE: dict[str, Kind] = {
    **{kind.media_type: kind for kind in _BY_SUFFIX.values()},
    "application/xhtml+xml": _HTML,
    "text/x-markdown": _MARKDOWN,
    "text/rtf": _BY_SUFFIX[".rtf"],
    **dict.fromkeys(
        ("application/json", "application/xml", "text/xml", "application/yaml", "text/yaml", "text/css"), _CODE
    ),
    **dict.fromkeys(("application/javascript", "text/javascript", "application/toml", "application/sql"), _CODE),
}
_BY_FIRST_BYTES = ((b"%PDF-", _PDF), (b"<!doctype html", _HTML), (b"<html", _HTML))


def is_known(path: str) -> bool:
    """Whether a file of that name can be read, as far as its name says."""
    return _by_name(path) is not None


def kind_of(path: str, media_type: str | None, data: bytes) -> Kind:
    """What a file is. Raises `DocumentRefused` when nobody knows."""
    told = (media_type or "").partition(";")[0].strip().lower()
    by_name = _by_name(path)
    if told not in _SAYS_NOTHING and (kind := _BY_MEDIA_TYPE.get(told)):
        return by_name if by_name and by_name.reader == kind.reader else kind
    if by_name:
        return by_name
    if kind := _by_first_bytes(data):
        return kind
    if told.startswith("text/") or not PurePosixPath(path).suffix:
        return PLAIN
    raise refused(
        "unknown_format",
        f"{path} is of a format that cannot be read ({told or PurePosixPath(path).suffix})",
        hint="formats that can be are listed in docs/knowledge-documents.md; leave others out with `exclude`",
    )


def _by_name(path: str) -> Kind | None:
    name = PurePosixPath(path.lower())
    return _BY_SUFFIX.get(name.suffix) or _BY_NAME.get(name.name) or (_CODE if name.stem == "dockerfile" else None)


def _by_first_bytes(data: bytes) -> Kind | None:
    beginning = data[:_SNIFFED_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n")
    return next((kind for magic, kind in _BY_FIRST_BYTES if beginning[: len(magic)].lower() == magic.lower()), None)
