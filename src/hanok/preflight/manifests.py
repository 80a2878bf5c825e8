"""Manifests as preflight sees them, and the cluster that they would make.

Nobody promises the shape of a manifest that somebody else wrote, so every look into one goes through `mapping_at`,
`list_at`, `text_at` and `whole_at`, which answer with nothing where something else stands. Pure: `load.py` reads files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from hanok.preflight.findings import Finding

Step = str | int
Body = Mapping[str, Any]
NO_BODY: Body = {}
LOOKED_THROUGH = 32
"""Keys of a mapping that are looked through for one; of more an index is made."""
_MAPPING: Any = dict
_LIST: Any = list
"""Of any type to a type checker: no `cast` need be called in looks that are taken a million times."""
CLUSTER_WIDE = frozenset({
    "Namespace", "Node", "PersistentVolume", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition",
    "StorageClass", "PriorityClass", "RuntimeClass", "IngressClass", "GatewayClass", "NodePool", "NodeClaim",
    "NodeOverlay", "EC2NodeClass", "NodeClass", "DeviceClass", "ResourceSlice", "ClusterPolicy", "GPUCluster",
    "NVIDIADriver", "ClusterQueue", "Cohort", "ResourceFlavor", "Topology", "AdmissionCheck", "WorkloadPriorityClass",
    "ProvisioningRequestConfig", "ClusterTrainingRuntime", "ClusterTriggerAuthentication",
    "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "ValidatingAdmissionPolicy", "CSIDriver",
    "VolumeAttachment", "ValidatingAdmissionPolicyBinding", "APIService", "ClusterIssuer", "ClusterSecretStore",
    "ClusterExternalSecret", "NodeFeatureRule", "FlowSchema", "PriorityLevelConfiguration", "VolumeSnapshotClass",
})  # fmt: skip
"""Kinds that stand in no namespace."""


def at(value: Any, *path: Step) -> Any:
    """What stands there; None where nothing does, or the way is of another shape."""
    for step in path:
        if isinstance(value, _MAPPING):
            value = value.get(step)
        elif isinstance(value, _LIST) and isinstance(step, int):
            value = value[step] if -len(value) <= step < len(value) else None
        else:
            return None
    return value


def mapping_at(value: Any, *path: Step) -> Body:
    """The mapping that stands there, else an empty one. Keys are text."""
    found = at(value, *path) if path else value
    return found if isinstance(found, _MAPPING) else NO_BODY


def list_at(value: Any, *path: Step) -> list[Any]:
    """The list that stands there, else an empty one."""
    found = at(value, *path) if path else value
    return found if isinstance(found, _LIST) else []


def mappings_at(value: Any, *path: Step) -> list[Body]:
    """The mappings in the list that stands there; what else is in the list becomes an empty one, so places hold."""
    return [each if isinstance(each, _MAPPING) else NO_BODY for each in list_at(value, *path)]


def text_at(value: object, *path: Step) -> str:
    """The text that stands there, else an empty one."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def texts_at(value: object, *path: Step) -> list[str]:
    """The texts in the list that stands there; numbers and the like as they are written."""
    return [each if isinstance(each, str) else str(each) for each in list_at(value, *path) if each is not None]


def whole_at(value: object, *path: Step) -> int | None:
    """The whole number that stands there."""
    found = at(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def labels_at(value: object, *path: Step) -> dict[str, str]:
    """A mapping of labels; values as text."""
    return {str(key): str(each) for key, each in mapping_at(value, *path).items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Manifest:
    """One Kubernetes object, or a fragment of one (without a kind), and where it stands."""

    body: Body
    file: str
    node: Node | None = None
    """What it was read from, which knows the lines."""
    offset: int = 0
    """Lines of the file before the text that the node was read from."""

    @cached_property
    def api_version(self) -> str:
        return text_at(self.body, "apiVersion")

    @cached_property
    def group(self) -> str:
        """The API group; of the core API the empty one."""
        return self.api_version.rpartition("/")[0]

    @cached_property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]

    @cached_property
    def kind(self) -> str:
        return text_at(self.body, "kind")

    @cached_property
    def name(self) -> str:
        return text_at(self.body, "metadata", "name") or text_at(self.body, "metadata", "generateName")

    @cached_property
    def namespace(self) -> str:
        """Where it will stand: `default` where it does not say; empty for kinds that stand in none."""
        return "" if self.kind in CLUSTER_WIDE else text_at(self.body, "metadata", "namespace") or "default"

    @cached_property
    def labels(self) -> dict[str, str]:
        return labels_at(self.body, "metadata", "labels")

    @cached_property
    def annotations(self) -> dict[str, str]:
        return labels_at(self.body, "metadata", "annotations")

    @cached_property
    def title(self) -> str:
        """How findings call it: `Deployment ai-inference/vllm`."""
        name = f"{self.namespace}/{self.name}" if self.namespace and self.name else self.name
        return f"{self.kind} {name}".rstrip() if self.kind else "a fragment"

    def line(self, *path: Step) -> int:
        """The line of what stands there, else of the nearest that holds it; 0 where no line is known."""
        if self.node is None:
            return 0
        return self._line(self.node, path) + self.offset

    def line_within(self, path: Sequence[Step], below: int) -> int:
        """The line of a text of several lines that stands there; `below` counts from its first."""
        node = self.node
        for step in path:
            found = self._child(node, step) if node is not None else None
            node = found[1] if found else None
        if isinstance(node, ScalarNode) and node.style == "|":
            return node.start_mark.line + self.offset + 2 + below
        return self.line(*path)

    @cached_property
    def first_line(self) -> int:
        return self.line()

    def _line(self, node: Node, path: Sequence[Step]) -> int:
        mark = node.start_mark
        for step in path:
            found = self._child(node, step)
            if found is None:
                break
            mark, node = found[0].start_mark, found[1]
        return mark.line + 1

    def _child(self, node: Node, step: Step) -> tuple[Node, Node] | None:
        """The node whose line counts (a key, an item), and the node beneath."""
        if isinstance(node, MappingNode):
            pairs = cast("list[tuple[Node, Node]]", node.value)
            if len(pairs) > LOOKED_THROUGH:
                return self._indexed(node, pairs).get(step)
            return next(((key, value) for key, value in pairs if key.value == step), None)
        if isinstance(node, SequenceNode) and isinstance(step, int):
            items = cast("list[Node]", node.value)
            return (items[step], items[step]) if -len(items) <= step < len(items) else None
        return None

    def _indexed(self, node: Node, pairs: list[tuple[Node, Node]]) -> Mapping[Any, tuple[Node, Node]]:
        """The first pair of each key: a mapping may have as many as there are findings in it."""
        found = self._indexes.get(id(node))
        if found is None:
            found = self._indexes[id(node)] = {key.value: (key, value) for key, value in reversed(pairs)}
        return found

    @cached_property
    def _indexes(self) -> dict[int, Mapping[Any, tuple[Node, Node]]]:
        return {}


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """One file that was read. `parts` are its YAML texts, each with the lines before it; `digest` is its SHA-256."""

    name: str
    parts: Sequence[tuple[str, int]]
    digest: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Code:
    """A block of an article that is no YAML: its language, as the fence names it, and the lines before it."""

    file: str
    language: str
    text: str
    offset: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Cluster:
    """Everything that was read: manifests by kind, fragments of some, and what could not be read."""

    manifests: Sequence[Manifest]
    fragments: Sequence[Manifest] = ()
    """Mappings of no kind, as articles show them: `args: […]`."""
    codes: Sequence[Code] = ()
    sources: Sequence[Source] = ()
    findings: Sequence[Finding] = field(default=())
    """What was wrong with the files themselves."""

    @cached_property
    def _kinds(self) -> Mapping[str, Sequence[Manifest]]:
        found: dict[str, list[Manifest]] = {}
        for each in self.manifests:
            found.setdefault(each.kind, []).append(each)
        return found

    @cached_property
    def _named(self) -> Mapping[tuple[str, str, str], Sequence[Manifest]]:
        found: dict[tuple[str, str, str], list[Manifest]] = {}
        for each in self.manifests:
            found.setdefault((each.kind, each.namespace, each.name), []).append(each)
        return found

    def of(self, *kinds: str, group: str | None = None) -> Iterator[Manifest]:
        """The manifests of these kinds, of any group unless one is named."""
        for kind in kinds:
            yield from (each for each in self._kinds.get(kind, ()) if group is None or each.group == group)

    def find(self, kind: str, name: str, namespace: str = "", *, group: str | None = None) -> Manifest | None:
        """The manifest of that name; `namespace` is looked at where the kind stands in one."""
        where = "" if kind in CLUSTER_WIDE else namespace or "default"
        found = self._named.get((kind, where, name), ())
        return next((each for each in found if group is None or each.group == group), None)


def selects(selector: object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector (`matchLabels`, `matchExpressions`) means these labels; an empty one means all."""
    wanted = labels_at(selector, "matchLabels")
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_meets(each, labels) for each in mappings_at(selector, "matchExpressions"))


def _meets(expression: Body, labels: Mapping[str, str]) -> bool:
    key, values = text_at(expression, "key"), texts_at(expression, "values")
    match text_at(expression, "operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False


def matches(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a plain selector, as a Service's, means these labels; an empty one means none."""
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def names(manifests: Iterable[Manifest]) -> list[str]:
    """Their names, in order, once each: what a hint offers."""
    return sorted({each.name for each in manifests if each.name})
