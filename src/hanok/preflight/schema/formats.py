"""Formats of texts (`date-time`, `ipv4`, `duration`, …) and patterns, as the API server reads them.

Patterns are written for RE2. Python's own engine is given the same meaning: ASCII classes, `$` at the very end, flags
at the front; what it cannot be given is left unchecked. Formats that the API server does not know are not checked
either. Source: k8s.io/kube-openapi/pkg/validation/strfmt.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

LONGEST = 4096
"""Characters: longer texts are not matched, as Python's engine may take very long where RE2 does not."""
RANGES: Mapping[str, tuple[float | None, float | None]] = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}
_DATE = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_DATE_TIME = re.compile(
    rf"{_DATE}[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):?[0-5]\d)", re.ASCII
)
_UNITS = r"(?:ns|us|µs|μs|ms|s|m|h|d|w)"
_DURATION = re.compile(
    rf"[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)\s*{_UNITS})+|\d+\s*(?:nano|micro|milli|s|m|h|d|w)\w*)", re.ASCII
)
_PART = r"[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}\.?$){_PART}(?:\.{_PART})*\.?")


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format: how people call it, what fits, and one that does."""

    name: str
    example: str
    fits: Callable[[str], bool]


def _matching(pattern: re.Pattern[str] | str) -> Callable[[str], bool]:
    known = re.compile(pattern, re.ASCII) if isinstance(pattern, str) else pattern
    return lambda text: known.fullmatch(text) is not None


def _address(make: Callable[[str], object]) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        try:
            make(text)
        except ValueError:
            return False
        return True

    return fits


def is_base64(text: str) -> bool:
    """Whether it is padded standard base64; line breaks do not count, as in Go."""
    try:
        base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def is_uri(text: str) -> bool:
    """Whether it is an absolute URI, or an absolute path."""
    try:
        found = urlsplit(text)
    except ValueError:
        return False
    return " " not in text and bool(found.scheme or text.startswith("/"))


def is_cidr(text: str) -> bool:
    """Whether it is a network with its prefix length; bits of a host are allowed."""
    return "/" in text and _address(lambda each: ipaddress.ip_network(each, strict=False))(text)


FORMATS: Mapping[str, Format] = {
    "date-time": Format(name="a time", example="2026-11-01T12:00:00Z", fits=_matching(_DATE_TIME)),
    "date": Format(name="a date", example="2026-11-01", fits=_matching(_DATE)),
    "duration": Format(name="a duration", example="1h30m", fits=_matching(_DURATION)),
    "ipv4": Format(name="an IPv4 address", example="10.0.0.1", fits=_address(ipaddress.IPv4Address)),
    "ipv6": Format(name="an IPv6 address", example="fd00::1", fits=_address(ipaddress.IPv6Address)),
    "cidr": Format(name="a network", example="10.0.0.0/16", fits=is_cidr),
    "uri": Format(name="a URI", example="https://example.org/", fits=is_uri),
    "hostname": Format(name="a host name", example="example.org", fits=_matching(_HOSTNAME)),
    "email": Format(name="an e-mail address", example="ops@example.org", fits=_matching(r"[^@\s]+@[^@\s]+")),
    "mac": Format(
        name="a MAC address", example="00:00:5e:00:53:01", fits=_matching(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5,7}")
    ),
    "uuid": Format(
        name="a UUID",
        example="123e4567-e89b-12d3-a456-426614174000",
        fits=_matching(r"[0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}"),
    ),
    "byte": Format(name="base64", example="aGVsbG8=", fits=is_base64),
}


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> Callable[[str], bool] | None:
    """Whether a text matches somewhere; None for a pattern that Python's engine cannot be given."""
    found = expression(pattern)
    if found is None:
        return None
    search = found.search
    return lambda text: len(text) > LONGEST or search(text) is not None


@lru_cache(maxsize=4096)
def expression(pattern: str) -> re.Pattern[str] | None:
    """An RE2 pattern for Python's engine."""
    flags = re.ASCII
    for word, flag in (("i", re.IGNORECASE), ("s", re.DOTALL), ("m", re.MULTILINE)):
        if f"(?{word})" in pattern:
            pattern, flags = pattern.replace(f"(?{word})", ""), flags | flag
    if "[:" in pattern and ":]" in pattern:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # a `[` within a class, which means itself in both
        try:
            return re.compile(_translated(pattern, multiline=bool(flags & re.MULTILINE)), flags)
        except (re.error, OverflowError, RecursionError):
            return None


_STEPS = re.compile(r"\\z|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
"""An escape, a class as a whole, or one character."""


def _translated(pattern: str, *, multiline: bool) -> str:
    """The same with `$` and `\\z` as Python's `\\Z`: its `$` would take a line break at the end, too."""
    ends = ("\\z",) if multiline else ("\\z", "$")
    return "".join("\\Z" if step in ends else step for step in _STEPS.findall(pattern))
