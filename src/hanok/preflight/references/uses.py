"""A use of a name, and what is said when nothing defines it: one finding for each name, at its first use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches

from hanok.preflight.case import Case, Check
from hanok.preflight.findings import Finding, Rule, Severity
from hanok.preflight.manifests import CLUSTER_WIDE, Manifest, Step

OUTSIDE = Rule(
    "HK210",
    "info",
    "a name that something outside must define",
    "look whether it is there, or give the manifests that define it, too",
    open=True,
)
FEW, MANY = 5, 500
"""So many names are offered all; of so many the nearest are looked for."""
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.:]*[A-Za-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class Use:
    """One place where a name is used. `namespace` is where it must stand; empty for kinds that stand in none."""

    manifest: Manifest
    path: tuple[Step, ...]
    kind: str
    name: str
    namespace: str = ""
    key: str = ""
    optional: bool = False
    written: bool = False
    """Whether the text has the namespace, too."""
    line: int = 0
    """Where it stands in a text of several lines."""

    def say(self, rule: Rule, message: str, *, hint: str | None = None, severity: Severity | None = None) -> Finding:
        """A finding at the place of the use."""
        found = rule.on(self.manifest, *self.path, message=message, hint=hint, severity=severity)
        return replace(found, line=self.line) if self.line else found

    @property
    def title(self) -> str:
        """How messages call what is used."""
        return title(self.kind, self.name, self.namespace)


def title(kind: str, name: str, namespace: str) -> str:
    """`Secret team-a/token`."""
    return f"{kind} {name}" if kind in CLUSTER_WIDE or not namespace else f"{kind} {namespace}/{name}"


def is_name(text: str) -> bool:
    """Whether this is a name, and not a placeholder that somebody fills in."""
    return bool(_NAME.fullmatch(text))


def together(uses: Iterable[Use]) -> list[list[Use]]:
    """Uses of the same object, side by side, in the order of the first ones."""
    found: dict[tuple[str, str, str], list[Use]] = {}
    for each in uses:
        if is_name(each.name):
            found.setdefault((each.kind, each.namespace, each.name), []).append(each)
    return list(found.values())


def follow(case: Case, uses: Iterable[Use], rule: Rule, so: str, *, sure: bool = False) -> Iterator[Finding]:
    """Findings for names that nothing defines; `so` is what comes of it.

    Where it is `sure`, a name in a namespace that the files say nothing of counts as missing, too.
    """
    for users in together(each for each in uses if not each.optional):
        first = users[0]
        match case.inventory.standing(first.kind, first.name, first.namespace, user=None if sure else first.manifest):
            case "missing":
                message = f"{first.title} does not exist{and_others(users)}: {so}"
                yield first.say(rule, message, hint=offer(case, first, rule.hint))
            case "perhaps":
                yield outside(case, first)
            case _:
                continue


def outside(case: Case, use: Use) -> Finding:
    """The finding for a name that somebody may define."""
    maker = case.inventory.maker("" if use.kind in CLUSTER_WIDE else use.namespace)
    who = f"{maker.title} may make it" if maker else "it may stand elsewhere"
    return use.say(OUTSIDE, f"{use.title} is not in these files; {who}")


def and_others(users: list[Use]) -> str:
    """Who else uses it."""
    others = {id(each.manifest) for each in users} - {id(users[0].manifest)}
    return f" ({len(others)} more use it)" if others else ""


def offer(case: Case, use: Use, hint: str) -> str:
    """A hint with the names that there are."""
    there = case.inventory.offers(use.kind, use.namespace)
    near = there if len(there) <= FEW else get_close_matches(use.name, there[:MANY], n=3)
    return f"{hint}; there is {', '.join(f'`{each}`' for each in near)}" if near else hint


CHECKS: tuple[Check, ...] = ()
