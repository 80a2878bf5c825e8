"""What Secrets of the cluster hold, as variables of platform.yaml. No value of a secret is ever copied.

The same key of the same Secret is the same variable everywhere; a secret that stands in a manifest is told as wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hanok.migration.manifests.told import Path, Told
from hanok.migration.secrets import STAND_IN, Variables, is_placeholder, plain
from hanok.preflight import Manifest
from hanok.preflight.manifests import Body, mapping_at, mappings_at, text_at

_NOT_IN_VARIABLES = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True, kw_only=True)
class Given:
    """One variable of a container: its text, or the Secret and the key in it. `path` leads to its entry."""

    name: str
    path: Path
    text: str | None = None
    secret: tuple[str, str] | None = None


class Keys:
    """The variables that the platform names."""

    def __init__(self, variables: Variables) -> None:
        self.variables = variables
        self._holders: dict[str, tuple[str, str]] = {}

    def of_secret(self, secret: str, key: str, wanted: str, *, stand_in: str = STAND_IN) -> str:
        """The variable for one key of a Secret."""
        name, number = as_variable(wanted), 2
        while self._holders.get(name, (secret, key)) != (secret, key):
            name, number = f"{as_variable(wanted)}_{number}", number + 1
        self._holders[name] = (secret, key)
        return self.variables.refer(name, stand_in, holds=f"key {key} of Secret {secret}")

    def carry(self, given: Given, told: Told, manifest: Manifest, *, stand_in: str = STAND_IN, to: str) -> str:
        """A key that a container is given: the Secret's as a variable, one that is written out hidden behind one."""
        if given.secret is not None:
            shown = self.of_secret(*given.secret, given.name, stand_in=stand_in)
            told.carried(manifest, given.path, to, f"set {shown[6:-1]} to key {given.secret[1]} of the Secret")
            return shown
        return self.hide(given.text or "", given.name, told, manifest, given.path, to=to, stand_in=stand_in)

    def hide(
        self, text: str, wanted: str, told: Told, manifest: Manifest, path: Path, *, to: str, stand_in: str = STAND_IN
    ) -> str:
        """A key that stands in a manifest."""
        if is_placeholder(text):
            told.carried(manifest, path, to, "stands for no key")
            return plain(text)
        shown = self.variables.hide(
            text, as_variable(wanted), holds=f"the value in {manifest.title}", stand_in=stand_in
        )
        told.wrong(manifest, path, f"a secret stands in the file. It was not copied: set {shown[6:-1]} to it", to)
        return shown


def given(body: Body, path: Path) -> dict[str, Given]:
    """What a container's `env` gives by name, as far as the manifest says where it comes from."""
    found: dict[str, Given] = {}
    for index, each in enumerate(mappings_at(body, "env")):
        name, held = text_at(each, "name"), mapping_at(each, "valueFrom", "secretKeyRef")
        value, here = each.get("value"), (*path, "env", index)
        if name and held:
            secret = (text_at(held, "name") or "?", text_at(held, "key") or "?")
            found[name] = Given(name=name, path=here, secret=secret)
        elif name and value is not None:
            found[name] = Given(name=name, path=here, text=str(value))
    return found


def as_variable(text: str) -> str:
    """A text as the name of an environment variable."""
    name = _NOT_IN_VARIABLES.sub("_", text).strip("_").upper()[:64] or "KEY"
    return name if not name[0].isdigit() else f"_{name}"
