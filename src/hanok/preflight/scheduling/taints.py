"""Taints and tolerations: who is kept off a node. `PreferNoSchedule` keeps nobody off.

Source: k8s.io/component-helpers/scheduling/corev1, Toleration.ToleratesTaint (`Gt` and `Lt` came with 1.35).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hanok.preflight.manifests import Body, at, text_at


@dataclass(frozen=True)
class Taint:
    """What keeps pods off a node; a toleration is the same with an operator."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


@dataclass(frozen=True)
class Toleration:
    """What a pod does not mind. An empty key means all, an empty effect all effects."""

    key: str
    operator: str
    value: str
    effect: str

    def covers(self, taint: Taint) -> bool:
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        match self.operator:
            case "Exists":
                return True
            case "" | "Equal":
                return bool(self.key) and self.value == taint.value
            case "Gt" | "Lt":
                return _is_beyond(self.operator, taint.value, self.value)
            case _:
                return False


def _is_beyond(operator: str, value: str, bound: str) -> bool:
    try:
        return int(value) > int(bound) if operator == "Gt" else int(value) < int(bound)
    except ValueError:
        return False


def read_taints(bodies: Iterable[Body]) -> tuple[Taint, ...]:
    """The taints that keep pods off."""
    found = (Taint(text_at(each, "key"), _text(each), text_at(each, "effect")) for each in bodies)
    return tuple(each for each in found if each.effect in ("NoSchedule", "NoExecute"))


def read_tolerations(bodies: Iterable[Body]) -> tuple[Toleration, ...]:
    names = ("key", "operator", "effect")
    read = ((_text(each), *(text_at(each, name) for name in names)) for each in bodies)
    return tuple(Toleration(key, operator, value, effect) for value, key, operator, effect in read)


def _text(body: Body) -> str:
    value = at(body, "value")
    return "" if value is None else str(value)


def untolerated(taints: Sequence[Taint], tolerations: Sequence[Toleration]) -> Taint | None:
    """The first taint that keeps the pod off; None where none does."""
    return next((each for each in taints if not any(its.covers(each) for its in tolerations)), None)
