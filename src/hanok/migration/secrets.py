"""Texts of the source on their way into platform.yaml: variables stay variables, secrets become variables.

LiteLLM fills in `os.environ/NAME` where a value begins with it, and nothing else; Hanok `${env:NAME}` anywhere.
A secret that stands in the source is not copied: the new file names a variable, and the report says which.
"""

from __future__ import annotations

import re

from hanok.migration.notes import Variable
from hanok.migration.source import Block
from hanok.spec.nodes import Place, dotted

STAND_IN = "stand-in-0123456789"
URL_STAND_IN = "http://127.0.0.1:9"
DATABASE_STAND_IN = "postgresql://stand-in@127.0.0.1/stand-in"
_PROPER = re.compile(r"^os\.environ/([A-Za-z_][A-Za-z0-9_]*)$")
_INSIDE = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")
_HANOKS = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)(?::-[^{}]*)?\}")
_BEGINNING = re.compile(rf"(?!{_HANOKS.pattern})\$\{{(?=[eE][nN][vV]:)")
_MISSPELT = re.compile(
    r"^\s*(?:os[./_]?(?:environ|env|getenv|enviro|enviorn|evniron)|environ|env)(?:\.get)?"
    r"\s*[./:(\[]+\s*['\"]?([A-Za-z_][A-Za-z0-9_]*)['\"]?[\s)\]/]*$"
    r"|^\s*\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?\s*$|^\s*\{\{?\s*([A-Z_][A-Z0-9_]*)\s*\}?\}\s*$",
    re.IGNORECASE,
)
_PLACEHOLDERS = frozenset(
    ("dummy", "dummy-key", "none", "null", "empty", "fake", "fake-key", "sk-fake", "not-needed", "not-used", "no-key",
     "na", "n/a", "any", "anything", "placeholder", "xxx", "test", "sk-xxx", "sk-1234", "sk-no-key-required", "ollama",
     "lm-studio", "token-abc123", "local", "-", "")
)  # fmt: skip
_SECRET_KEY = re.compile(r"key|secret|token|password|credential|authorization|cookie", re.IGNORECASE)


def sounds_secret(key: str) -> bool:
    """Whether a key's name says that its value is a secret."""
    return bool(_SECRET_KEY.search(key)) and not key.endswith(("_tokens", "_ids", "_per_token"))


def is_placeholder(text: str) -> bool:
    """Whether a text stands where a key is wanted, and is none."""
    return text.strip().lower() in _PLACEHOLDERS


class Variables:
    """The environment variables that the new file names. `declared` are those the source's own names."""

    def __init__(self) -> None:
        self._known: dict[str, Variable] = {}
        self._hidden: dict[str, str] = {}

    def all(self) -> list[Variable]:
        return list(self._known.values())

    def refer(self, name: str, stand_in: str = STAND_IN, *, holds: str | None = None) -> str:
        known = self._known.get(name)
        if known is None or known.stand_in == STAND_IN:  # the more particular form fits the plain one too
            holds = (known.holds if known else None) or holds
            self._known[name] = Variable(name=name, stand_in=stand_in, holds=holds)
        return f"${{env:{name}}}"

    def offer(self, name: str, default: str, *, instead: bool = False) -> str:
        """A variable that may stay unset; `instead` of a default that it was given before."""
        if instead:
            self._known.pop(name, None)
        self._known.setdefault(name, Variable(name=name, stand_in=default, default=default))
        return f"${{env:{name}:-{default}}}"

    def hide(self, secret: str, wanted: str, *, holds: str, stand_in: str = STAND_IN) -> str:
        """A variable for a secret that stands in the source: the same secret always has the same one."""
        if secret not in self._hidden:
            name, number = wanted, 2
            while name in self._known:
                name, number = f"{wanted}_{number}", number + 1
            self._hidden[secret] = name
            self._known[name] = Variable(name=name, stand_in=stand_in, holds=holds)
        return f"${{env:{self._hidden[secret]}}}"


def take_value(
    block: Block, key: str, variables: Variables, *, secret_as: str | None = None, stand_in: str = STAND_IN
) -> str | None:
    """The text under `key`; `secret_as` names the variable to use when it is a secret written out."""
    text = block.take_text(key)
    return None if text is None else carry_text(text, block, (key,), variables, secret_as=secret_as, stand_in=stand_in)


def carry_text(
    text: str, block: Block, at: Place, variables: Variables, *, secret_as: str | None = None, stand_in: str = STAND_IN
) -> str | None:
    """What a text of the source is in platform.yaml. None when it names no variable though it means to."""
    if proper := _PROPER.match(text):
        return variables.refer(proper.group(1), stand_in)
    if misspelt := _MISSPELT.match(text):
        name = next(group for group in misspelt.groups() if group)
        block.wrong(at, f"LiteLLM takes this as it stands; it fills in `os.environ/{name}` only. That was meant here")
        return variables.refer(name, stand_in)
    if _HANOKS.search(text) or _INSIDE.search(text):
        return _with_variables(text, block, at, variables, stand_in)
    if "os.environ" in text:
        block.wrong(at, "begins like a variable, but no variable can have such a name")
        return None
    if secret_as is not None and not is_placeholder(text):
        return _hidden(text, block, at, variables, secret_as, stand_in)
    return plain(text)


def _with_variables(text: str, block: Block, at: Place, variables: Variables, stand_in: str) -> str:
    block.wrong(at, "LiteLLM fills in a variable only where the whole value is `os.environ/NAME`")
    for match in [*_HANOKS.finditer(text), *_INSIDE.finditer(text)]:
        variables.refer(match.group(1), stand_in)
    return plain(_INSIDE.sub(lambda match: f"${{env:{match.group(1)}}}", text))


def _hidden(text: str, block: Block, at: Place, variables: Variables, secret_as: str, stand_in: str) -> str:
    holds = f"the value of {dotted((*block.place, *at))}"
    shown = variables.hide(text, secret_as, holds=holds, stand_in=stand_in)
    block.wrong(at, f"a secret stands in the file. It was not copied: set {shown[6:-1]} to it")
    return shown


def plain(text: str) -> str:
    """What only begins like a variable stays a text."""
    return _BEGINNING.sub("$ {", text)
