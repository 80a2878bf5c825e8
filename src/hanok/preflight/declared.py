"""Platform files among what was gathered: their text, and what is declared there, or why it is not understood.

Reading one is the room `spec`'s work, given here as a function, so that this room opens no file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hanok.errors import Problem, SpecError
from hanok.preflight.manifests import Manifest
from hanok.spec.tree import Loaded

Parse = Callable[[str, Path], Loaded]
"""A platform out of its text; the file is for messages and relative paths. Raises `SpecError`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PlatformText:
    """One platform file as it stands: `manifest` knows the lines, `before` are the lines of the file before `text`."""

    text: str
    manifest: Manifest
    before: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Declared:
    """One platform file: what it declares, or else the problems that hide it. Lines count from the file's beginning."""

    manifest: Manifest
    loaded: Loaded | None = None
    problems: Sequence[tuple[int, Problem]] = ()

    @property
    def kubernetes(self) -> str | None:
        """The version of the cluster that it declares; None where it declares none."""
        cluster = self.loaded.platform.cluster if self.loaded else None
        return cluster.kubernetes if cluster else None

    @property
    def minor(self) -> int:
        """The same as a number: 36 of 1.36; 0 where there is none."""
        return int((self.kubernetes or "1.0").partition(".")[2])


def oldest(platforms: Sequence[Declared]) -> Declared | None:
    """Of several clusters the one of the oldest Kubernetes: what works there works in the others, as a rule."""
    return min((each for each in platforms if each.kubernetes), key=lambda each: each.minor, default=None)


def declare(written: PlatformText, parse: Parse) -> Declared:
    """What a platform file declares."""
    try:
        return Declared(manifest=written.manifest, loaded=parse(written.text, Path(written.manifest.file)))
    except SpecError as error:
        problems = [(each.line + written.before if each.line else 0, each) for each in error.problems]
        return Declared(manifest=written.manifest, problems=problems)
