"""Ports as manifests write them: a number, digits, or the name that a container gives its port."""

from __future__ import annotations

import re

from hanok.preflight.manifests import Body, at, mappings_at, text_at, whole_at
from hanok.preflight.workloads import Container

_DIGITS = re.compile(r"\d{1,5}", re.ASCII)


def as_port(value: object) -> int | None:
    """A port number, as a number or as digits; None for a name, and for what is neither."""
    if isinstance(value, str):
        return int(value) if _DIGITS.fullmatch(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def target_of(port: Body) -> object:
    """Where a Service's port leads: its own number, unless it says otherwise."""
    return at(port, "targetPort") or at(port, "port")


def number_in(container: Container, port: object) -> int | None:
    """A port's number, also by its name among the container's; None where it is not among them."""
    number = as_port(port)
    named = (each for each in mappings_at(container.body, "ports") if text_at(each, "name") == port)
    return number if number is not None else next((whole_at(each, "containerPort") for each in named), None)
