"""Secrets that a tool sends are in nothing that it gives back: a server may echo what it was sent.

They are hidden in the forms in which a text may hold them: as they are, in JSON, in a URL, in HTML, in base64.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

HIDDEN = "[secret]"
_SHORTEST = 4
"""What is shorter is no secret, and would be found everywhere."""
_PUBLIC = frozenset(("accept", "accept-language", "cache-control", "content-type", "user-agent", "referer", "origin"))
"""Headers that are no credentials; any other may be one."""
_CREDENTIAL = re.compile(r"key|token|secret|passw|auth|sig|cred", re.IGNORECASE)


class Redaction:
    """Hides what is secret in those headers and parameters of a query, which are credentials by their names."""

    def __init__(self, headers: Mapping[str, str], query: Mapping[str, str] | None = None) -> None:
        values = [value for name, value in headers.items() if name.lower() not in _PUBLIC]
        values += [value for name, value in (query or {}).items() if _CREDENTIAL.search(name)]
        found = {form for value in values for secret in _secrets(value) for form in _forms(secret)}
        longest_first = sorted((each for each in found if len(each) >= _SHORTEST), key=len, reverse=True)
        self._any = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE) if longest_first else None

    def hide(self, text: str) -> str:
        """The text with `[secret]` in the place of each."""
        return self._any.sub(HIDDEN, text) if self._any else text


def plain_headers(headers: Mapping[str, str | SecretStr]) -> dict[str, str]:
    """Declared headers as they are sent."""
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in headers.items()
    }


def _secrets(value: str) -> Iterator[str]:
    """A header's value, and what is secret within: `Bearer SECRET`, `Basic BASE64`, `a=SECRET; b=SECRET`."""
    yield value.strip()
    scheme, _, rest = value.strip().partition(" ")
    if rest:
        yield rest.strip()
    if scheme.lower() == "basic":
        yield from _basic(rest)
    yield from _cookies(value)


def _basic(text: str) -> Iterable[str]:
    try:
        user_and_password = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return []
    return [user_and_password, user_and_password.partition(":")[2]]


def _cookies(text: str) -> Iterator[str]:
    for part in text.split(";"):
        name, _, value = part.strip().partition("=")
        if name and len(value) > 7:
            yield value


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield html.escape(secret)
    yield base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode().rstrip("=")
