"""Formats that a library reads (kreuzberg: Rust, offline): they become Markdown, and pages, slides or sheets in it.

The library gives PDF as nodes that know their page, and its Markdown without; so Markdown is written here from the
nodes, and what lies on a page is known exactly. Slides are marked in its Markdown with a word of ours, that is taken
out again; a sheet begins where its name is a heading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any

from hanok.knowledge.parsing.kinds import Kind
from hanok.knowledge.parsing.refusals import OUT_OF_MEMORY, out_of_memory, refused
from hanok.knowledge.values import Page

_MARKER = "qzhanokpage{page_num}qz"
_MARKED = re.compile(r"\n*qzhanokpage(\d+)qz\n*")
_PICTURE_INSIDE = re.compile(r"!\[([^\]]*)\]\(data:[^)]*\)")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title\s*>", re.IGNORECASE | re.DOTALL)
_HEAD = re.compile(r"<head(?:\s[^>]*)?>.*?</head\s*>", re.IGNORECASE | re.DOTALL)
_BODY_OF_OLD = re.compile(
    r"\A\s*(?:<!doctype[^>]*>)?\s*(?:<html[^>]*>)?\s*<title[^>]*>.*?</title\s*>", re.IGNORECASE | re.DOTALL
)
_LONGEST_TITLE = 2000
_LEAST_KEPT = 0.9
"""Share of the library's text that its nodes must have, else its text is taken as it is."""


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """Markdown, its pages, and the title that the format tells, if it does."""

    text: str
    pages: tuple[Page, ...] = ()
    title: str | None = None


def extract(path: str, data: bytes, kind: Kind) -> Extracted:
    """Read with the library. Raises `DocumentRefused` for what it cannot open."""
    result = _extracted(path, data, kind)
    title = str(result.metadata.get("title") or result.metadata.get("subject") or "").strip() or None
    if kind.reader == "pdf":
        return _with_title(_from_nodes(result), title)
    if kind.media_type.endswith("presentationml.presentation"):
        return _with_title(_from_markers(result.content), title)
    if names := result.metadata.get("sheet_names"):
        return Extracted(text=result.content, pages=_sheets(result.content, names), title=title)
    return Extracted(text=_PICTURE_INSIDE.sub(r"\1", _MARKED.sub("\n\n", result.content)), title=title)


def extract_html(path: str, html: str, kind: Kind) -> Extracted:
    """Read a page of the web: its title, and its body without what only browsers need."""
    title = _TITLE.search(html)
    body = _BODY_OF_OLD.sub("", _HEAD.sub("", html, count=1), count=1)
    told = unescape(title[1][:_LONGEST_TITLE]) if title else ""
    return _with_title(extract(path, body.encode(), kind), " ".join(told.split()) or None)


def _extracted(path: str, data: bytes, kind: Kind) -> Any:
    import kreuzberg

    config = _config(kreuzberg, kind)
    try:
        return kreuzberg.extract_bytes_sync(data, kind.media_type, config)
    except kreuzberg.KreuzbergError as error:
        raise _refused(path, str(error)) from error
    except Exception as error:
        raise _refused(path, f"{type(error).__name__}: {error}") from error
    except BaseException as error:  # a panic of Rust is no `Exception`
        if type(error).__name__ != "PanicException":
            raise
        raise _refused(path, str(error)) from error


def _config(kreuzberg: Any, kind: Kind) -> Any:
    return kreuzberg.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        output_format="markdown",
        include_document_structure=kind.reader == "pdf",
        pages=kreuzberg.PageConfig(insert_page_markers=True, marker_format=f"\n\n{_MARKER}\n\n"),
        concurrency=kreuzberg.ConcurrencyConfig(max_threads=1),
    )


def _refused(path: str, message: str) -> Exception:
    told = " ".join(message.split())[:300]
    if any(said in message for said in OUT_OF_MEMORY):
        return out_of_memory(path)
    if "password" in told.lower() or "encrypt" in told.lower():
        return refused("encrypted", f"{path} is encrypted", hint="save it without a password")
    return refused("damaged", f"{path} cannot be read: {told}", hint="open it and save it again")


def _with_title(extracted: Extracted, title: str | None) -> Extracted:
    return Extracted(text=extracted.text, pages=extracted.pages, title=title)


def _from_markers(text: str) -> Extracted:
    """Cut the markers out, and remember where they stood."""
    parts = _MARKED.split(text)
    pieces, pages, length = [parts[0]], list[Page](), len(parts[0])
    for number, piece in zip(parts[1::2], parts[2::2], strict=True):
        piece = piece.rstrip("\n") + "\n\n"
        pages.append(Page(number=int(number), start=length, end=length + len(piece)))
        pieces.append(piece)
        length += len(piece)
    return Extracted(text="".join(pieces), pages=tuple(pages))


def _sheets(text: str, names: Iterable[str]) -> tuple[Page, ...]:
    starts: list[int] = []
    for name in names:
        start = text.find(f"## {name}\n", starts[-1] + 1 if starts else 0)
        if start < 0:
            return ()
        starts.append(start)
    ends = [*starts[1:], len(text)]
    return tuple(
        Page(number=number, start=start, end=end)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1)
    )


def _from_nodes(result: Any) -> Extracted:
    nodes: list[Mapping[str, Any]] = result.document["nodes"] if result.document else []
    pieces: list[str] = []
    starts: list[tuple[int, int]] = []
    length = 0
    for piece, page in _pieces(nodes):
        if page and page > (starts[-1][0] if starts else 0):
            starts.append((page, length))
        pieces.append(piece)
        length += len(piece)
    text, whole = "".join(pieces), _MARKED.sub("\n\n", result.content)
    if _weight(text) < _weight(whole) * _LEAST_KEPT:
        return Extracted(text=whole)
    return Extracted(text=text, pages=_pages(starts, length))


def _weight(text: str) -> int:
    return sum(map(str.isalnum, text))


def _pages(starts: list[tuple[int, int]], length: int) -> tuple[Page, ...]:
    ends = [*(start for _, start in starts), length][1:]
    return tuple(Page(number=number, start=start, end=end) for (number, start), end in zip(starts, ends, strict=True))


def _pieces(nodes: list[Mapping[str, Any]]) -> Iterator[tuple[str, int | None]]:
    """Each node in Markdown, with the page where it begins."""
    in_list = False
    for node in nodes:
        piece = _MARKED.sub("\n\n", _markdown(node["content"])).strip("\n")
        if not piece.strip():
            continue
        item = node["content"]["node_type"] == "list_item"
        page = node.get("page")
        yield (piece + ("\n" if item else "\n\n") if not in_list or item else f"\n{piece}\n\n"), page
        in_list = item


def _markdown(content: Mapping[str, Any]) -> str:
    text = str(content.get("text") or "").replace("\r\n", "\n").replace("\r", "\n").strip()
    match content["node_type"]:
        case "title":
            return f"# {' '.join(text.split())}" if text else ""
        case "heading":
            return f"{'#' * min(6, max(1, int(content.get('level') or 1)))} {' '.join(text.split())}" if text else ""
        case "list_item":
            return f"- {text}" if text else ""
        case "code":
            return f"```{content.get('language') or ''}\n{text}\n```" if text else ""
        case "table":
            return _table(content.get("grid") or {})
        case _:
            return text


def _table(grid: Mapping[str, Any]) -> str:
    rows: dict[int, dict[int, str]] = {}
    cells: list[Mapping[str, Any]] = grid.get("cells") or []
    for cell in cells:
        text = " ".join(str(cell.get("content") or "").split()).replace("|", "\\|")
        rows.setdefault(cell["row"], {})[cell["col"]] = text
    width = max((column for row in rows.values() for column in row), default=-1) + 1
    lines = [f"| {' | '.join(row.get(column, '') for column in range(width))} |" for _, row in sorted(rows.items())]
    return "\n".join([*lines[:1], f"|{' --- |' * width}", *lines[1:]]) if lines else ""
