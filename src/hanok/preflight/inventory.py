"""What there is in the tree by name, and what becomes of it: asked by every check that follows a reference.

Each name has a *standing*: `defined` by a manifest, `made` by a controller from one, `perhaps` (something in the tree
makes objects that cannot be listed, and this may be one), or `missing`. Everything is indexed once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from hanok.preflight.labelled import Labelled
from hanok.preflight.makers import (
    EVERYWHERE,
    Made,
    Opaque,
    brings_more,
    generated,
    made_of,
    opaque_of,
    walk,
)
from hanok.preflight.manifests import (
    CLUSTER_WIDE,
    Cluster,
    Manifest,
    Step,
    labels_at,
    mapping_at,
    mappings_at,
    text_at,
    texts_at,
)
from hanok.preflight.workloads import Workload

Standing = Literal["defined", "made", "perhaps", "missing"]
Key = tuple[str, str, str]
_BUILT_IN: Mapping[str, frozenset[str]] = {
    "ServiceAccount": frozenset({"default"}),
    "ConfigMap": frozenset({"kube-root-ca.crt"}),
}
"""What Kubernetes itself makes in every namespace."""
_UNPEOPLED = frozenset({
    "Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "Role", "RoleBinding", "ServiceAccount",
    "HelmRepository", "OCIRepository", "GitRepository", "ExternalSecret", "SealedSecret", "ConfigMap", "Secret",
    "PersistentVolumeClaim",
})  # fmt: skip
"""Kinds that say nothing of what else stands in their namespace."""
_NOT_FROM_CHARTS = frozenset({
    "HelmRepository", "OCIRepository", "GitRepository", "Bucket", "HelmRelease", "Kustomization", "EC2NodeClass",
    "NodeClass", "NodePool", "LocalQueue", "ClusterQueue", "ResourceFlavor",
})  # fmt: skip
"""Kinds that people write themselves, and that no chart brings."""
_POD_MAKERS = (
    "Agent", "MCPServer", "RayCluster", "RayService", "Gateway", "LeaderWorkerSet", "Prometheus", "PrometheusAgent",
    "Alertmanager", "ThanosRuler", "ScaledJob", "TrainJob",
)  # fmt: skip
"""Kinds of which controllers make pods that no template here shows."""
_ADDED: Mapping[str, bool] = {
    "statefulset.kubernetes.io/pod-name": True,
    "batch.kubernetes.io/job-name": True,
    "job-name": True,
    "leaderworkerset.sigs.k8s.io/name": True,
    "leaderworkerset.sigs.k8s.io/worker-index": False,
    "leaderworkerset.sigs.k8s.io/group-index": False,
    "apps.kubernetes.io/pod-index": False,
    "batch.kubernetes.io/job-completion-index": False,
    "pod-template-hash": False,
    "controller-revision-hash": False,
}
"""Labels that controllers put on their pods, and whether the value begins with the owner's name."""
_IDENTITY = frozenset({"labels", "matchLabels", "selector", "podSelector"})
_SILENT = frozenset({"CustomResourceDefinition"})


class Leaf(NamedTuple):
    """One text in a manifest; a tuple, as there are many."""

    path: tuple[Step, ...]
    text: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Inventory:
    """Objects, what is made of them, and pods by their labels."""

    cluster: Cluster
    workloads: Sequence[Workload]

    def named(self, kind: str, name: str, namespace: str) -> Sequence[Manifest]:
        """Every manifest of that name, in any group or version."""
        return self._by_name.get((kind, "" if kind in CLUSTER_WIDE else namespace, name), ())

    def standing(self, kind: str, name: str, namespace: str, *, user: Manifest | None = None) -> Standing:
        """How it is with a name. `user` is who uses it: one that names no namespace may be put into any."""
        where = "" if kind in CLUSTER_WIDE else namespace
        if self.named(kind, name, where):
            return "defined"
        if name in _BUILT_IN.get(kind, ()) or self._is_made(kind, name, where) or self._is_unplaced(kind, name):
            return "made"
        maker = self.anybody if kind in _NOT_FROM_CHARTS else self.maker(where)
        return "perhaps" if maker or self._may_be_elsewhere(kind, name, where, user) else "missing"

    def maker(self, namespace: str) -> Manifest | None:
        """Who may make objects of any name there; in the empty namespace, those that stand in none."""
        for each in (*self._opaque.get(namespace, ()), *self._opaque.get(EVERYWHERE, ())):
            if each.anything and (namespace or each.wide):
                return each.by
        if not namespace:
            every = (each.by for found in self._opaque.values() for each in found if each.anything and each.wide)
            return next(every, None)
        return None

    @cached_property
    def anybody(self) -> Manifest | None:
        """Who may make objects of any name, anywhere."""
        return next((each.by for each in self._opaque.get(EVERYWHERE, ()) if each.anything), None)

    def offers(self, kind: str, namespace: str) -> Sequence[str]:
        """The names that there are of a kind, made ones, too."""
        return self._offers.get((kind, namespace), ())

    @cached_property
    def _offers(self) -> Mapping[tuple[str, str], Sequence[str]]:
        found: dict[tuple[str, str], list[str]] = {}
        for kind, namespace, name in sorted({*self._by_name, *self._made}):
            found.setdefault((kind, namespace), []).append(name)
        return found

    def keys(self, kind: str, name: str, namespace: str) -> frozenset[str] | None:
        """What a ConfigMap or Secret holds; None where that is not known."""
        found = self.named(kind, name, namespace)
        if found:
            keys = frozenset(key for each in found for key in _keys_of(each))
            return keys or None
        for where in (namespace, EVERYWHERE):
            if made := self._made.get((kind, where, name)):
                return made.keys
        return None

    def is_peopled(self, namespace: str) -> bool:
        """Whether the tree says what works in that namespace."""
        return namespace in self._peopled

    @cached_property
    def namespaces(self) -> frozenset[str]:
        """Namespaces that a manifest defines."""
        return frozenset(each.name for each in self.cluster.of("Namespace", "Project"))

    def pods(self, namespace: str, labels: Mapping[str, str]) -> list[Workload]:
        """The pods that a plain selector means; an empty one means none."""
        return self.selected(namespace, {"matchLabels": dict(labels)}) if labels else []

    def selected(self, namespace: str | None, selector: object) -> list[Workload]:
        """The pods that a label selector means, in one namespace or (None) in all; an empty one means all.

        Labels that controllers put on pods stand in no template: by those that say whose pods they are, owners are
        found; the others are passed over.
        """
        wanted = labels_at(selector, "matchLabels")
        added = {key: value for key, value in wanted.items() if key in _ADDED}
        if not added:
            return self._pods.selected(namespace, selector)
        written = {key: value for key, value in wanted.items() if key not in _ADDED}
        near = self._pods.selected(namespace, {**mapping_at(selector), "matchLabels": written})
        owners = [value for key, value in added.items() if _ADDED[key]]
        return [each for each in near if all(_begins(owner, each.manifest.name) for owner in owners)]

    def services(self, namespace: str | None, selector: object) -> list[Manifest]:
        """The Services that a label selector means, in one namespace or (None) in all."""
        return self._services.selected(namespace, selector)

    def is_pod_name(self, name: str, namespace: str) -> bool:
        """Whether a pod in the tree gives itself, or somebody else, that host name."""
        return (namespace, name) in self._pod_names

    def may_have_pods(self, namespace: str, labels: Mapping[str, str]) -> Manifest | None:
        """Who may make pods there that are not in the tree."""
        if maker := self.maker(namespace):
            return maker
        words = {*labels.values(), *(key.split("/")[0] for key in labels)}
        near = (*(each.by for each in self._opaque.get(namespace, ())), *self._pod_makers.get(namespace, ()))
        kinds = (each for each in near if each.kind.lower() in words)  # as app.kubernetes.io/name: prometheus
        named = (each for each in near if any(each.name in word or _is_of(each, word) for word in words))
        return next(kinds, None) or next(named, None)

    def leaves(self, manifest: Manifest) -> Sequence[Leaf]:
        """Every text of a manifest."""
        return self._leaves.get(id(manifest), ())

    def is_mentioned(self, name: str) -> bool:
        """Whether any text names it: not what objects are called, nor their labels."""
        return name in self._mentioned

    @cached_property
    def _mentioned(self) -> frozenset[str]:
        words: set[str] = set()
        for leaf in (leaf for manifest in self.cluster.manifests for leaf in self.leaves(manifest)):
            if not _is_identity(leaf.path):
                words.update(words_of(leaf.text))
                words.add(leaf.text)
        for each in (*self.tools, *self.cluster.fragments):
            words |= {word for _, value in walk(each.body) if isinstance(value, str) for word in words_of(value)}
        return frozenset(words)

    @cached_property
    def tools(self) -> Sequence[Manifest]:
        """Tools' own files, such as a kustomization."""
        return [each.manifest for each in self.cluster.findings if each.manifest is not None]

    @cached_property
    def _leaves(self) -> Mapping[int, Sequence[Leaf]]:
        return {id(each): list(_texts(each)) for each in self.cluster.manifests if each.kind not in _SILENT}

    @cached_property
    def _by_name(self) -> Mapping[Key, Sequence[Manifest]]:
        found: dict[Key, list[Manifest]] = {}
        for each in self.cluster.manifests:
            found.setdefault((each.kind, each.namespace, each.name), []).append(each)
        return found

    @cached_property
    def _spaces_of(self) -> Mapping[tuple[str, str], set[str]]:
        found: dict[tuple[str, str], set[str]] = {}
        for kind, namespace, name in self._by_name:
            found.setdefault((kind, name), set()).add(namespace)
        return found

    @cached_property
    def _made(self) -> Mapping[Key, Made]:
        found: dict[Key, Made] = {}
        made = (each for manifest in self.cluster.manifests for each in made_of(manifest))
        generators = (each for manifest in self.tools for each in generated(manifest))
        for each in (*made, *generators):
            found[each.kind, each.namespace, each.name] = each
        return found

    @cached_property
    def _opaque(self) -> Mapping[str, Sequence[Opaque]]:
        found: dict[str, list[Opaque]] = {}
        more = [Opaque(by=each, namespace=EVERYWHERE) for each in self.tools if brings_more(each)]
        listed = (each for manifest in self.cluster.manifests for each in opaque_of(manifest, self._has_path))
        for each in (*more, *listed):
            found.setdefault(each.namespace, []).append(each)
        return found

    def _has_path(self, path: str) -> bool:
        """Whether files at this path of a repository were read.

        What was named may be any folder of that repository, so the path's last two names decide.
        """
        pieces = [piece for piece in path.split("/") if piece not in ("", ".")]
        last = "/".join(pieces[-2:])
        return not last or any(f"/{last}/" in each for each in self._folders)

    @cached_property
    def _folders(self) -> frozenset[str]:
        files = {each.file.replace("\\", "/") for each in (*self.cluster.manifests, *self.tools)}
        return frozenset(f"/{file.rpartition('/')[0]}/" for file in files)

    def _is_made(self, kind: str, name: str, namespace: str) -> bool:
        if (kind, namespace, name) in self._made or (kind, EVERYWHERE, name) in self._made:
            return True
        if kind in _NOT_FROM_CHARTS:
            return False
        near = (*self._opaque.get(namespace, ()), *self._opaque.get(EVERYWHERE, ()))
        return any(_begins(name, stem) for each in near for stem in each.stems)

    def _is_unplaced(self, kind: str, name: str) -> bool:
        """Whether a manifest of that name leaves its namespace to whoever applies it."""
        unplaced = self._by_name.get((kind, "default", name), ())
        return any(not text_at(each.body, "metadata", "namespace") for each in unplaced)

    def _may_be_elsewhere(self, kind: str, name: str, namespace: str, user: Manifest | None) -> bool:
        """Whether the user may be put beside it, or it belongs to a namespace that these files say nothing of."""
        if user is None:
            return False
        if namespace and namespace != user.namespace and not self.is_peopled(namespace):
            return True
        placed = bool(text_at(user.body, "metadata", "namespace"))
        return not placed and namespace == user.namespace and bool(self._spaces_of.get((kind, name)))

    @cached_property
    def _peopled(self) -> frozenset[str]:
        placed = (each for each in self.cluster.manifests if each.kind not in _UNPEOPLED)
        return frozenset(each.namespace for each in placed if text_at(each.body, "metadata", "namespace"))

    @cached_property
    def _pods(self) -> Labelled[Workload]:
        return Labelled((each.namespace, each.labels, each) for each in self.workloads)

    @cached_property
    def _services(self) -> Labelled[Manifest]:
        return Labelled((each.namespace, each.labels, each) for each in self.cluster.of("Service", group=""))

    @cached_property
    def _pod_names(self) -> frozenset[tuple[str, str]]:
        return frozenset((each.namespace, name) for each in self.workloads for name in _names_of(each))

    @cached_property
    def _pod_makers(self) -> Mapping[str, Sequence[Manifest]]:
        found: dict[str, list[Manifest]] = {}
        for each in self.cluster.of(*_POD_MAKERS):
            found.setdefault(each.namespace, []).append(each)
        return found


def _names_of(workload: Workload) -> Iterator[str]:
    yield from (text_at(workload.spec, "hostname"), text_at(workload.spec, "subdomain"))
    for each in mappings_at(workload.spec, "hostAliases"):
        yield from texts_at(each, "hostnames")


def _is_of(manifest: Manifest, domain: str) -> bool:
    """Whether a label's domain is that of the manifest's group: `strimzi.io/cluster` of `kafka.strimzi.io`."""
    return "." in domain and manifest.group.endswith(domain)


def _begins(name: str, stem: str) -> bool:
    return name == stem or name.startswith(f"{stem}-")


def _keys_of(manifest: Manifest) -> Iterator[str]:
    for part in ("data", "stringData", "binaryData"):
        yield from mapping_at(manifest.body, part)
    if text_at(manifest.body, "type") == "kubernetes.io/service-account-token":
        yield from ("token", "ca.crt", "namespace")


def _texts(manifest: Manifest) -> Iterator[Leaf]:
    for path, value in walk(manifest.body):
        if isinstance(value, str) and value:
            yield Leaf(path=path, text=value)


def _is_identity(path: tuple[Step, ...]) -> bool:
    return path == ("metadata", "name") or not _IDENTITY.isdisjoint(path)


def words_of(text: str) -> Iterator[str]:
    """The names in a text: letters, digits, `-`, `_` and `.` inside."""
    for found in _WORD.finditer(text):
        yield found[0].rstrip(".")


_WORD = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.]*")
