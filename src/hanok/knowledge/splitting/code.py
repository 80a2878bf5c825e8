"""Strategy `code`: whole definitions, small ones together, large ones member by member.

Python is read by its own parser. In other languages a definition begins at a line that stands furthest left after an
empty line, a comment or a decorator, and not with what closes one: right nearly always, without a parser for each
language, and where it is wrong a passage begins at another line and nothing is lost.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

from hanok.knowledge.splitting.blocks import packed
from hanok.knowledge.splitting.ends import Span
from hanok.knowledge.splitting.windows import characters

_LINE = re.compile(r"([ \t]*)([^\r\n]*)(?:\r\n|\r|\n|\Z)")
_CLOSES = re.compile(r"[})\]]|(?:end|else|elif|elsif|except|catch|finally|fi|done|esac|then|do|begin)\b|\{\s*$")
_BELONGS_TO_NEXT = re.compile(r"//|#|/\*|\*|--|@|\"\"\"|'''|\[[A-Za-z]|template\s*<|///")
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_DEEPEST = 12
_LONGEST_READ = 2_000_000
"""Characters of Python at most that its parser is given."""


def split_code(text: str, *, size: int, python: bool = False) -> Iterator[Span]:
    """Spans of at most `size` characters that begin and end between lines, as far as lines are not longer."""
    starts = _python_starts(text) if python and len(text) <= _LONGEST_READ else None
    if starts is None:
        return _cut(text, (0, len(text)), size, depth=0)
    return packed((piece for span in _between(starts, (0, len(text))) for piece in _cut(text, span, size, depth=0)), size)


def _cut(text: str, span: Span, size: int, *, depth: int) -> Iterator[Span]:
    if span[1] - span[0] <= size:
        yield span
        return
    starts = _left_starts(text, span) if depth < _DEEPEST else []
    if not starts:
        yield from characters(text, *span, size=size, overlap=0, prefer="line")
        return
    yield from packed(
        (piece for part in _between(starts, span) for piece in _cut(text, part, size, depth=depth + 1)), size
    )


def _between(starts: list[int], span: Span) -> list[Span]:
    edges = sorted({span[0], *(start for start in starts if span[0] < start < span[1]), span[1]})
    return list(zip(edges, edges[1:], strict=False))


def _left_starts(text: str, span: Span) -> list[int]:
    """Lines within that span at which definitions of its outermost level begin, its own first line not counted."""
    lines = [(match.start(), len(match[1].expandtabs(4)), match[2]) for match in _LINE.finditer(text, *span) if match[0]]
    inner = [indent for start, indent, told in lines if told and start > span[0] and not _CLOSES.match(told)]
    if not inner:
        return []
    return _starts_at(lines, min(inner), span[0]) or _starts_at(lines, _second(inner), span[0])


def _second(indents: list[int]) -> int:
    return min((indent for indent in indents if indent > min(indents)), default=-1)


def _starts_at(lines: list[tuple[int, int, str]], indent: int, begin: int) -> list[int]:
    starts: list[int] = []
    ready, attached = False, -1
    for start, own, told in lines:
        if not told:
            ready, attached = True, -1
        elif own != indent or _CLOSES.match(told):
            ready, attached = own == indent, -1
        elif _BELONGS_TO_NEXT.match(told):
            if ready:
                starts.append(start)
            ready, attached = False, start
        else:
            if ready and attached < 0:
                starts.append(start)
            ready, attached = False, -1
    return [start for start in starts if start > begin]


def _python_starts(text: str) -> list[int] | None:
    """Where top-level definitions and their members begin, with decorators and comments; None for what is no Python."""
    try:
        with warnings.catch_warnings(action="ignore"):
            module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    offsets = [match.start() for match in _LINE.finditer(text)]
    lines = [match[0] for match in _LINE.finditer(text)]
    return [offsets[_first_line(lines, node)] for node in module.body if isinstance(node, _Definition)]


def _first_line(lines: list[str], node: _Definition) -> int:
    """Index of the line at which a definition begins: that of its first decorator, or of the comment above."""
    line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
    return min(line, len(lines) - 1)
