"""Which values of a label are allowed: requirements of pools and selectors of pods as sets that can be intersected.

The idea: `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt`, … are all one thing, a set of values or of all values but some,
within bounds. Two demands agree where their sets meet. Source of the rules: Karpenter v1.14, pkg/scheduling.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hanok.preflight.manifests import Body, text_at, texts_at
from hanok.preflight.wording import listed

_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Choice:
    """The values that a label may have: `values`, or all others where `others` is set, from `low` to `high`."""

    values: frozenset[str]
    others: bool = False
    low: int | None = None
    high: int | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing is allowed but that the label is absent."""
        return not self.others and not self.values

    @property
    def takes_absent(self) -> bool:
        """Whether a node without the label will do."""
        return self.is_empty or (self.others and bool(self.values) and self.low is None and self.high is None)

    def has(self, value: str) -> bool:
        return (value in self.values) != self.others and self._is_within(value)

    def __and__(self, other: Choice) -> Choice:
        """What both allow."""
        low = max((each for each in (self.low, other.low) if each is not None), default=None)
        high = min((each for each in (self.high, other.high) if each is not None), default=None)
        if low is not None and high is not None and low > high:
            return ABSENT
        if self.others and other.others:
            return Choice(self.values | other.values, others=True, low=low, high=high)
        bounds = Choice(NOTHING, others=True, low=low, high=high)
        first, second = (other, self) if self.others else (self, other)
        return Choice(frozenset(each for each in first.values if second.has(each) and bounds.has(each)))

    def _is_within(self, value: str) -> bool:
        if self.low is None and self.high is None:
            return True
        if not _WHOLE.fullmatch(value):
            return False
        number = int(value)
        return (self.low is None or number >= self.low) and (self.high is None or number <= self.high)

    def __str__(self) -> str:
        told = listed(sorted(self.values), 4, last="or")
        if not self.others:
            return told or "absent"
        said = [f"not {told}"] if told else []
        said += [f"at least {self.low}"] if self.low is not None else []
        said += [f"at most {self.high}"] if self.high is not None else []
        return " and ".join(said) or "any value"


ABSENT = Choice(NOTHING)
ANY = Choice(NOTHING, others=True)
Choices = Mapping[str, Choice]

RENAMED: Mapping[str, str] = {
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "topology.ebs.csi.aws.com/zone": "topology.kubernetes.io/zone",
}
"""Old names of labels, that Karpenter reads as the new ones."""


def choice(operator: str, values: Sequence[str]) -> Choice | None:
    """The choice that an operator and its values make; None for an operator or a bound that does not exist."""
    match operator:
        case "In":
            return Choice(frozenset(values))
        case "NotIn":
            return Choice(frozenset(values), others=True)
        case "Exists":
            return ANY
        case "DoesNotExist":
            return ABSENT
        case "Gt" | "Lt" | "Gte" | "Lte" if len(values) == 1 and _WHOLE.fullmatch(values[0]):
            return _bound(operator, int(values[0]))
        case _:
            return None


def _bound(operator: str, value: int) -> Choice:
    step = 0 if operator.endswith("e") else 1
    if operator.startswith("G"):
        return Choice(NOTHING, others=True, low=value + step)
    return Choice(NOTHING, others=True, high=value - step)


def read_choices(expressions: Iterable[Body]) -> dict[str, Choice]:
    """The choices of a list of expressions (`key`, `operator`, `values`); several about one key are intersected."""
    found = (
        (text_at(each, "key"), choice(text_at(each, "operator"), texts_at(each, "values"))) for each in expressions
    )
    return merge((key, each) for key, each in found if key and each is not None)


def exactly(labels: Mapping[str, str]) -> Iterator[tuple[str, Choice]]:
    """Each label with this one value."""
    return ((key, Choice(frozenset((value,)))) for key, value in labels.items())


def merge(pairs: Iterable[tuple[str, Choice]]) -> dict[str, Choice]:
    """All of them together, by key."""
    found: dict[str, Choice] = {}
    for name, each in pairs:
        key = RENAMED.get(name, name)
        found[key] = found[key] & each if key in found else each
    return found


def conflict(node: Choices, pod: Choices, known: frozenset[str]) -> str | None:
    """The first label on which a pod and a pool do not agree; None where they do.

    What a pool does not declare it cannot give, unless the label is `known` to every node.
    """
    for key, wanted in pod.items():
        given = node.get(key)
        if given is None:
            if key not in known and not wanted.takes_absent:
                return key
        elif (given & wanted).is_empty and not (given.takes_absent and wanted.takes_absent):
            return key
    return None
