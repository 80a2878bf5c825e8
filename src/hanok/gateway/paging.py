"""Pages of lists, as OpenAI's clients ask for them: `after`, `limit`, `order`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs

from hanok.errors import RequestError
from hanok.gateway.http import Call


@dataclass(frozen=True, kw_only=True)
class Page:
    """Which part of a list: at most `limit` of what comes after the one of that id."""

    after: str | None
    limit: int
    order: Literal["asc", "desc"]
    purpose: str | None


def read_page(call: Call, *, limit: int, most: int) -> Page:
    """The page that a call asks for, of `limit` entries unless it says otherwise. Raises `RequestError`."""
    given = {name: values[-1] for name, values in parse_qs(call.query).items()}
    text = given.get("limit", str(limit))
    if not text.isascii() or not text.isdigit() or len(text) > 6 or not 1 <= int(text) <= most:
        raise RequestError(f"`limit` is 1 to {most:,}", param="limit", code="invalid_value")
    order = given.get("order", "desc")
    if order not in ("asc", "desc"):
        raise RequestError("`order` is asc or desc", param="order", code="invalid_value")
    return Page(
        after=given.get("after"),
        limit=int(text),
        order=order,
        purpose=given.get("purpose"),
    )
