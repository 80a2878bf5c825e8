"""No secret gets into the tree: where the platform file holds one in plain text, nothing is rendered. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from hanok.errors import Problem
from hanok.spec.nodes import Place, dotted
from hanok.spec.tree import Platform
from hanok.spec.written import VARIABLE, Written


def refuse_secrets(platform: Platform, written: Written) -> Iterator[Problem]:
    """Every secret that stands in the file itself, where it is used or as the value of its variable."""
    yield from _given_in_plain(platform, written)
    for place, secret in secrets(platform, ()):
        text = written.at(place)
        if isinstance(text, str) and not VARIABLE.search(text) and _is_secret(secret.get_secret_value()):
            message = "a secret in plain text cannot be rendered: the tree is kept in a repository"
            yield written.problem(place, message, "write `${env:NAME}`, and put the value into the secret store")


def _given_in_plain(platform: Platform, written: Written) -> Iterator[Problem]:
    plain = platform.cluster.hanok.variables if platform.cluster else {}
    secret = {written.standing(place) for place, _ in secrets(platform, ())}
    used = {each.name: each.place for each in written.variables() if each.name in plain and each.place in secret}
    for name, place in used.items():
        message = f"{name} is a secret (of {dotted(place)}): its value cannot be rendered"
        hint = "take it out, and put the value into the secret store"
        yield written.problem(("cluster", "hanok", "variables", name), message, hint)


def secrets(value: Any, place: Place) -> Iterator[tuple[Place, SecretStr]]:
    """Every secret of a tree, and its place."""
    if isinstance(value, SecretStr):
        yield place, value
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from secrets(getattr(value, name), (*place, field.alias or name))
    elif isinstance(value, dict):
        for key, each in cast("dict[str, Any]", value).items():
            yield from secrets(each, (*place, key))
    elif isinstance(value, list):
        for index, each in enumerate(cast("list[Any]", value)):
            yield from secrets(each, (*place, index))


def _is_secret(text: str) -> bool:
    """An address without a password is none."""
    return "://" not in text or bool(urlsplit(text).password)
