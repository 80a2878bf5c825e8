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
from itertools import groupby, pairwise

from hanok.knowledge.splitting.ends import Span
from hanok.knowledge.splitting.portions import packed
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
    levels = _python_levels(text) if python and len(text) <= _LONGEST_READ else []
    return _cut(text, (0, len(text)), size, levels, deepest=_DEEPEST)


def _cut(text: str, span: Span, size: int, levels: list[list[int]], *, deepest: int) -> Iterator[Span]:
    if span[1] - span[0] <= size:
        yield span
        return
    starts = [] if not deepest else levels[0] if levels else _left_starts(text, span)
    parts = _between(starts, span)
    if len(parts) > 1:
        for fits, group in groupby(parts, lambda part: part[1] - part[0] <= size):
            if fits:
                yield from packed(group, size)
                continue
            for part in group:
                yield from _cut(text, part, size, levels[1:], deepest=deepest - 1)
    elif levels:
        yield from _cut(text, span, size, levels[1:], deepest=deepest)
    else:
        yield from characters(text, *span, size=size, overlap=0, prefer="line")


def _between(starts: list[int], span: Span) -> list[Span]:
    edges = sorted({span[0], *(start for start in starts if span[0] < start < span[1]), span[1]})
    return list(pairwise(edges))


def _left_starts(text: str, span: Span) -> list[int]:
    """Lines within that span at which definitions of its outermost level begin, its own first line not counted."""
    lines = [
        (match.start(), len(match[1].expandtabs(4)), match[2]) for match in _LINE.finditer(text, *span) if match[0]
    ]
    inner = [indent for start, indent, told in lines if told and start > span[0] and not _CLOSES.match(told)]
    if not inner:
        return []
    return _starts_at(lines, min(inner), span[0]) or _starts_at(lines, _second(inner), span[0])


def _second(indents: list[int]) -> int:
    return min(set(indents) - {min(indents)}, default=-1)


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


def _python_levels(text: str) -> list[list[int]]:
    """Where top-level definitions begin, and where their members do; nothing for what is no Python."""
    try:
        with warnings.catch_warnings(action="ignore"):
            module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    lines = [(match.start(), match[0]) for match in _LINE.finditer(text)]
    members = [start for node in module.body if isinstance(node, ast.ClassDef) for start in _starts(node.body, lines)]
    return [_starts(module.body, lines), members]


def _starts(body: list[ast.stmt], lines: list[tuple[int, str]]) -> list[int]:
    """Where definitions begin, and what follows them."""
    told = [isinstance(node, _Definition) for node in body]
    begins = [node for node, own, last in zip(body, told, [False, *told], strict=False) if own or last]
    return [lines[_first_line(lines, node)][0] for node in begins]


def _first_line(lines: list[tuple[int, str]], node: ast.stmt) -> int:
    """Index of the line at which a statement begins: that of its first decorator, or of the comment above."""
    decorators = node.decorator_list if isinstance(node, _Definition) else []
    line = min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1
    while line > 0 and lines[line - 1][1].lstrip().startswith("#"):
        line -= 1
    return min(line, len(lines) - 1)
