"""Kubernetes' own functions of CEL, for rules of custom resources.

What CEL cannot hold as a value of its own is held as text: a quantity as its exact decimal, an address, a network and
a URL as written in their shortest form. So equal things are equal, and `isLessThan` and the like read them again.
A function raises `ValueError` where Kubernetes' would fail. Source: Kubernetes' documentation "CEL in Kubernetes".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from hanok.preflight.quantities import quantity
from hanok.preflight.schema.formats import FORMATS, expression, is_base64, is_uri

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_NAMED_FORMATS: Mapping[str, tuple[str, int]] = {
    "dns1123Label": (_LABEL, 63),
    "dns1123Subdomain": (_SUBDOMAIN, 253),
    "dns1035Label": (r"^[a-z]([-a-z0-9]*[a-z0-9])?$", 63),
    "qualifiedName": (r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", 317),
    "dns1123LabelPrefix": (r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?-?$", 63),
    "dns1123SubdomainPrefix": (r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*-?$", 253),
    "dns1035LabelPrefix": (r"^[a-z]([-a-z0-9]*[a-z0-9])?-?$", 63),
    "labelValue": (r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", 63),
}
_OTHER_FORMATS: Mapping[str, Callable[[str], bool]] = {
    "uri": is_uri,
    "uuid": FORMATS["uuid"].fits,
    "byte": is_base64,
    "date": FORMATS["date"].fits,
    "datetime": FORMATS["date-time"].fits,
}
FORMAT_NAMES = (*_NAMED_FORMATS, *_OTHER_FORMATS)


def find(text: str, pattern: str) -> str:
    found = _pattern(pattern).search(text)
    return found[0] if found else ""


def find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [each[0] for each in _pattern(pattern).finditer(text)]
    return found if limit < 0 else found[:limit]


def index_of(held: Any, wanted: Any, start: int = 0) -> int:
    """Of a text or a list; -1 where it is not there."""
    if isinstance(held, str):
        return held.find(wanted, start)
    return next((index for index, each in enumerate(held) if each == wanted), -1)


def last_index_of(held: Any, wanted: Any, start: int | None = None) -> int:
    if isinstance(held, str):
        return held.rfind(wanted) if start is None else held.rfind(wanted, 0, start + len(wanted))
    return next((index for index in reversed(range(len(held))) if held[index] == wanted), -1)


def is_sorted(items: Sequence[Any]) -> bool:
    return all(first <= second for first, second in pairwise(items))


def as_quantity(text: Any) -> str:
    return _decimal(_number(text))


def is_quantity(text: Any) -> bool:
    return quantity(text) is not None


def compare_to(first: Any, second: Any) -> int:
    one, other = _number(first), _number(second)
    return (one > other) - (one < other)


def family(address: str) -> int:
    return ipaddress.ip_address(address).version


def as_address(text: str) -> str:
    """An address; the first one of a network."""
    return str(_network(text).network_address if "/" in text else ipaddress.ip_address(text))


def is_address(text: str) -> bool:
    return _succeeds(lambda: ipaddress.ip_address(text)) and "%" not in text


def is_canonical(text: str) -> bool:
    return str(ipaddress.ip_address(text)) == text


def is_network(text: str) -> bool:
    return "/" in text and _succeeds(lambda: _network(text))


def contains_address(network: str, address: str) -> bool:
    found = ipaddress.ip_address(address)
    return found.version == _network(network).version and found in _network(network)


def contains_network(network: str, inner: str) -> bool:
    outer, found = _network(network), _network(inner)
    same = outer.version == found.version
    return (
        same
        and int(outer.network_address) <= int(found.network_address)
        and int(outer.broadcast_address) >= int(found.broadcast_address)
    )


def as_url(text: str) -> str:
    if not is_uri(text):
        raise ValueError(f"{text!r} is not a URL")
    return text


def validate(name: str, text: str) -> list[str]:
    """What is wrong with a text of a named format; nothing: it fits."""
    if name in _OTHER_FORMATS:
        return [] if _OTHER_FORMATS[name](text) else [f"is no {name}"]
    pattern, longest = _NAMED_FORMATS[name]
    fits = len(text) <= longest and _pattern(pattern).search(text) is not None
    return [] if fits else [f"is no {name}"]


def as_format(text: str, values: Sequence[Any]) -> str:
    """`"%s".format([…])`, with its verbs s, d, f, e, x, X, o and b."""
    return text % tuple(values) if "%b" not in text else text.replace("%b", "{:b}").format(*values)


def _pattern(pattern: str) -> Any:
    found = expression(pattern)
    if found is None:
        raise ValueError(f"{pattern!r} is a pattern that cannot be read here")
    return found


def _number(value: Any) -> Decimal:
    found = quantity(value)
    if found is None:
        raise ValueError(f"{value!r} is not a quantity")
    return found


def _decimal(value: Decimal) -> str:
    """Without an exponent, and without zeros that mean nothing."""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _network(text: str) -> Network:
    return ipaddress.ip_network(text, strict=False)


def _succeeds(make: Callable[[], object]) -> bool:
    try:
        make()
    except ValueError:
        return False
    return True


def _is_less(first: Any, second: Any) -> bool:
    return compare_to(first, second) < 0


def _is_greater(first: Any, second: Any) -> bool:
    return compare_to(first, second) > 0


def _is_whole(value: Any) -> bool:
    return _number(value) == int(_number(value))


def _whole(value: Any) -> int:
    return int(_number(value))


def _fraction(value: Any) -> float:
    return float(_number(value))


def _sign(value: Any) -> int:
    return compare_to(value, 0)


def _add(first: Any, second: Any) -> str:
    return _decimal(_number(first) + _number(second))


def _sub(first: Any, second: Any) -> str:
    return _decimal(_number(first) - _number(second))


def _interface(text: str) -> str:
    if "/" not in text:
        raise ValueError(f"{text!r} is not a network")
    return str(ipaddress.ip_interface(text))


def _prefix_length(text: str) -> int:
    return _network(text).prefixlen


def _masked(text: str) -> str:
    return str(_network(text))


def _url(read: Callable[[SplitResult], Any]) -> Callable[[str], Any]:
    return lambda text: read(urlsplit(text))


def _of_address(read: Callable[[Address], bool]) -> Callable[[str], bool]:
    return lambda text: read(ipaddress.ip_address(text))


def _host(found: SplitResult) -> str:
    return found.netloc.rpartition("@")[2]


def _hostname(found: SplitResult) -> str:
    host = found.hostname or ""
    return f"[{host}]" if ":" in host else host


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "find": find,
    "findAll": find_all,
    "indexOf": index_of,
    "lastIndexOf": last_index_of,
    "isSorted": is_sorted,
    "format": as_format,
    "quantity": as_quantity,
    "isQuantity": is_quantity,
    "compareTo": compare_to,
    "isLessThan": _is_less,
    "isGreaterThan": _is_greater,
    "asInteger": _whole,
    "isInteger": _is_whole,
    "asApproximateFloat": _fraction,
    "sign": _sign,
    "add": _add,
    "sub": _sub,
    "ip": as_address,
    "isIP": is_address,
    "ip.isCanonical": is_canonical,
    "family": family,
    "isUnspecified": _of_address(lambda each: each.is_unspecified),
    "isLoopback": _of_address(lambda each: each.is_loopback),
    "isLinkLocalMulticast": _of_address(lambda each: each.is_multicast and each.is_link_local),
    "isLinkLocalUnicast": _of_address(lambda each: each.is_link_local and not each.is_multicast),
    "isGlobalUnicast": _of_address(lambda each: not (each.is_multicast or each.is_loopback or each.is_unspecified)),
    "cidr": _interface,
    "isCIDR": is_network,
    "containsIP": contains_address,
    "containsCIDR": contains_network,
    "prefixLength": _prefix_length,
    "masked": _masked,
    "url": as_url,
    "isURL": is_uri,
    "getScheme": _url(lambda found: found.scheme),
    "getHost": _url(_host),
    "getHostname": _url(_hostname),
    "getPort": _url(lambda found: str(found.port or "")),
    "getEscapedPath": _url(lambda found: found.path),
    "getQuery": _url(lambda found: parse_qs(found.query, keep_blank_values=True)),
    "validate": validate,
}
"""By the name that rules call them, as `f(x)` or `x.f()`."""
