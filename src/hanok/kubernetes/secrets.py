"""No secret gets into the tree: where the platform file holds one in plain text, nothing is rendered. Pure.

A secret is what stands where secrets belong, what is called like one in a block that takes any key, and an address
with a password, wherever it stands. Defaults of variables are for one machine: of secrets none is rendered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

from pydantic import BaseModel, SecretStr

from hanok.errors import Problem
from hanok.kubernetes.servers import gives_way
from hanok.spec.nodes import Place
from hanok.spec.tree import Cluster, Platform
from hanok.spec.written import VARIABLE, Variable, Written

ADDRESS = re.compile(r"(?<=[A-Za-z0-9])://(?:[^\s:/@]*:)?(?P<password>[^\s:/@?#]+)@")
"""With a password in it, or a token alone in its place."""
_ASKED = re.compile(
    r"[?&][\w.-]*(?:key|token|secret|passw(?:or)?d|signature|sig)=(?P<password>[^\s&#]+)", re.IGNORECASE
)
_CALLED = re.compile(
    r"^key$|(?:^|[_.-]|(?<=[a-z]))(?:passw(?:or)?d|secret|(?:api|access|secret|private|master|account|subscription)[_-]?key|"
    r"token|credentials?|authorization)$",
    re.IGNORECASE,
)
_LOOKS = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|sk-lf-[\w-]{8,}|hf_[A-Za-z0-9]{16,}|AKIA[0-9A-Z]{12,}|gh[pousr]_[A-Za-z0-9]{16,}|"
    r"github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abp]-[\w-]{16,}|AIza[\w-]{30,}|nvapi-[\w-]{30,})|"
    r"-----BEGIN [A-Z ]*PRIVATE"
)
"""Forms that nothing else has."""
_SCHEME = re.compile(r"^(?:Bearer|Basic|Token|ApiKey|Api-Key|Key|Digest)$", re.IGNORECASE)
_MADE_BY_CHANCE = re.compile(r"(?=\S*\d)[A-Za-z0-9_+/=.-]{12,}")
_FREE = frozenset({"options", "flags", "query", "body", "headers", "env", "variables", "arguments"})
"""Blocks whose keys are anybody's."""
HINT = "write `${env:NAME}`, and put the value into the secret store"


def refuse_secrets(platform: Platform, written: Written) -> Iterator[Problem]:
    """Every secret that stands in the file itself."""
    known = {written.standing(place) for place, _ in secrets(platform, ())}
    not_rendered = gives_way(written, platform.cluster or Cluster())
    for place, text in _texts(written.values, ()):
        if place in not_rendered:
            continue
        if place in known:
            if _is_secret(text):
                yield written.problem(
                    place, "a secret in plain text cannot be rendered: the tree is kept in a repository", HINT
                )
        elif _betrays(place, VARIABLE.sub("", text)):
            message = "this looks like a secret in plain text, and the tree is kept in a repository"
            yield written.problem(place, message, HINT)
    yield from _arguments(platform, written)
    yield from _named_secrets(platform, written)


def secret_variables(platform: Platform, written: Written) -> set[str]:
    """Names of variables that stand where secrets do: they have no default in a cluster."""
    known = {written.standing(place) for place, _ in secrets(platform, ())}
    used = [each for each in written.variables() if each.place in known or _is_called(each.place)]
    return {each.name for each in used}


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


def _arguments(platform: Platform, written: Written) -> Iterator[Problem]:
    """Arguments of programs that follow an option called like a secret; and flags, which a pod shows to everybody."""
    for place, text in _texts(written.values, ()):
        before = written.at((*place[:-1], place[-1] - 1)) if isinstance(place[-1], int) and place[-1] else None
        named = place[-2:-1] == ("command",) and isinstance(before, str) and before.startswith("-")
        if named and _CALLED.search(str(before)) and VARIABLE.sub("", text):
            yield written.problem(place, "a secret in plain text cannot be rendered", "hand it over by `env`")
    for index, model in enumerate(platform.models):
        for position, endpoint in enumerate(model.serve):
            for name in endpoint.flags if endpoint.engine == "vllm" else ():
                place = ("models", index, "serve", position, "flags", name)
                if _is_called(place) and VARIABLE.search(str(written.at(place))):
                    message = f"`{name}` is a secret, and everybody who sees the pod would see it"
                    yield written.problem(place, message, "delete it: only Hanok's door reaches engines of the cluster")


def _named_secrets(platform: Platform, written: Written) -> Iterator[Problem]:
    """Plain values for variables that stand where secrets do. Of headers and the like, only some are."""
    plain = platform.cluster.hanok.variables if platform.cluster else {}
    known = {written.standing(place) for place, _ in secrets(platform, ())}
    free = {each.name for each in written.variables() if each.place in known and not _is_surely_one(each)}
    for name in sorted((secret_variables(platform, written) - free) & plain.keys()):
        if _is_secret(plain[name]):
            message = f"{name} stands where a secret does, so its value cannot be in the tree"
            place = ("cluster", "hanok", "variables", name)
            yield written.problem(place, message, "take it out, and put the value into the secret store")


def _is_surely_one(used: Variable) -> bool:
    """Whether a place for secrets holds one: of a block of anybody's keys, what is called like one."""
    if any(step in _FREE for step in used.place[:-1]):
        return _is_called(used.place) or bool(_CALLED.search(used.name))
    return True


def _texts(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, dict):
        for key, each in cast("dict[str, Any]", value).items():
            yield from _texts(each, (*place, key))
    elif isinstance(value, list):
        for index, each in enumerate(cast("list[Any]", value)):
            yield from _texts(each, (*place, index))
    elif isinstance(value, str):
        yield place, value


def _is_secret(text: str) -> bool:
    """What stands where a secret does: an address without a password is none, nor are words beside variables."""
    rest = VARIABLE.sub("", text)
    if "://" in rest:
        return _has_password(rest)
    if rest == text:
        return bool(text)
    return any(_MADE_BY_CHANCE.fullmatch(word) for word in rest.split() if not _SCHEME.match(word))


def _betrays(place: Place, text: str) -> bool:
    """Whether a text that need not be a secret is one, by its form or its name."""
    if _LOOKS.search(text) or _has_password(text):
        return True
    named, _, value = text.partition("=")
    if "command" in place[-2:]:  # `--api-key=…`; where the value stands alone, its word says nothing
        return bool(value) and bool(_CALLED.search(named))
    return _is_called(place) and bool(text.strip())


def _is_called(place: Place) -> bool:
    """Whether a key that anybody chose is called like a secret's."""
    free = any(step in _FREE for step in place[:-1])
    return free and isinstance(place[-1], str) and bool(_CALLED.search(place[-1]))


def _has_password(text: str) -> bool:
    found = ADDRESS.search(text) or (_ASKED.search(text) if "://" in text else None)
    return bool(found) and found["password"].strip("{}") == found["password"]
