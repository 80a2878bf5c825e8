"""Label selectors where not every label is known: a selector means a thing, does not, or nobody can say (None).

What stands in a template is known; what controllers, charts and admission put beside it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hanok.preflight.manifests import Body, at, labels_at, mapping_at, mappings_at, text_at, texts_at

Truth = bool | None
"""None where nobody can say."""
_ADDED = frozenset({
    "job-name", "controller-uid", "pod-template-hash", "controller-revision-hash", "pod-template-generation",
    "security.istio.io", "service.istio.io", "sidecar.istio.io", "istio.io", "topology.istio.io", "linkerd.io",
    "batch.kubernetes.io", "apps.kubernetes.io", "statefulset.kubernetes.io", "topology.kubernetes.io",
    "pod-security.kubernetes.io", "leaderworkerset.sigs.k8s.io", "jobset.sigs.k8s.io", "ray.io", "kueue.x-k8s.io",
    "field.cattle.io", "kustomize.toolkit.fluxcd.io", "argocd.argoproj.io", "azure.workload.identity",
})  # fmt: skip
"""Keys, and domains of keys, that controllers write themselves."""
_UNWRITTEN = ("{{", "$(", "${")
"""How values begin that something fills in later."""


def is_added(key: str) -> bool:
    """Whether a controller may write this label."""
    return key in _ADDED or key.partition("/")[0] in _ADDED


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """The labels of a thing, as far as they are known; where they are `whole` it has no others of people's."""

    known: Mapping[str, str]
    whole: bool = True

    def has(self, key: str) -> Truth:
        """Whether it has a label of this key."""
        return True if key in self.known else False if self.whole and not is_added(key) else None

    def among(self, key: str, values: Iterable[str]) -> Truth:
        """Whether its label of this key has one of the values."""
        if key not in self.known:
            return self.has(key)
        both = (self.known[key], *values)
        return None if any(mark in each for each in both for mark in _UNWRITTEN) else self.known[key] in both[1:]


def every(truths: Iterable[Truth]) -> Truth:
    """Whether all hold."""
    found = list(truths)
    return False if False in found else None if None in found else True


def some(truths: Iterable[Truth]) -> Truth:
    """Whether at least one holds."""
    found = list(truths)
    return True if True in found else None if None in found else False


def negated(truth: Truth) -> Truth:
    return None if truth is None else not truth


def means(selector: object, labels: Labels) -> Truth:
    """Whether a label selector means a thing; an empty one means all, and of one of another shape nobody can say."""
    if not isinstance(selector, dict) or not _is_formed(mapping_at(at(selector))):
        return None
    wanted = (labels.among(key, [value]) for key, value in labels_at(at(selector), "matchLabels").items())
    return every((*wanted, *(_meets(each, labels) for each in mappings_at(at(selector), "matchExpressions"))))


def _is_formed(selector: Body) -> bool:
    plain, listed = selector.get("matchLabels"), selector.get("matchExpressions")
    return (not plain or isinstance(plain, dict)) and (not listed or isinstance(listed, list))


def _meets(expression: Body, labels: Labels) -> Truth:
    key, values = text_at(expression, "key"), texts_at(expression, "values")
    match text_at(expression, "operator"):
        case "In":
            return labels.among(key, values)
        case "NotIn":
            return negated(labels.among(key, values))
        case "Exists":
            return labels.has(key)
        case "DoesNotExist":
            return negated(labels.has(key))
        case _:
            return None
