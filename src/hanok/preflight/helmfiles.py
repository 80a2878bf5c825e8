"""Helmfiles: each release is taken for an object that installs a chart, so that it counts as one of Flux's does.

A helmfile may be of several documents, of which the later win, and may have bases. Releases inherit from its templates;
values in plain files beside it are laid over one another as Helm does. What templates would fill in is not known: a
namespace may be any, and `valuesFrom` says which values are not read. Form: https://helmfile.readthedocs.io.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, cast

from yaml import Node
from yaml.nodes import MappingNode, SequenceNode

from hanok.preflight.manifests import Body, Manifest, at, list_at, mapping_at, mappings_at, text_at

GROUP = "helmfile.sh"
"""In place of an API's group: no API server is given such objects."""
KIND = "Release"
UNREAD = "Helmfile"
"""The kind that stands for a helmfile of which nothing is known, but that it may install anything."""
TEMPLATES = ".gotmpl"
VALUES_READ = 200_000
"""Values of one helmfile, counted for each release; what is beyond is not read."""
Read = Callable[[str, str], Body | None]
"""What a plain file holds that another names; None where it was not read. The first is the file that names it."""
_NAME = re.compile(r"helmfile[\w.-]*\.(?:ya?ml|json)", re.IGNORECASE)
_STATE = frozenset({
    "repositories", "releases", "helmDefaults", "environments", "helmfiles", "bases", "values", "templates",
    "defaultInherit", "hooks", "apiVersions", "kubeVersion", "missingFileHandler", "missingFileHandlerConfig",
    "commonLabels", "context", "namespace", "chart", "kubeContext", "helmBinary", "kustomizeBinary", "lockFilePath",
    "filepath", "renderedvalues",
})  # fmt: skip
"""What may stand at the top of a helmfile."""
_RELEASE = frozenset({
    "name", "namespace", "chart", "version", "values", "set", "setString", "secrets", "labels", "installed",
    "condition", "needs", "inherit", "createNamespace", "wait", "waitForJobs", "waitRetries", "timeout",
    "atomic", "cleanupOnFail",
    "force", "recreatePods", "verify", "hooks", "missingFileHandler", "kubeContext", "disableValidation", "historyMax",
    "skipDeps", "postRenderer", "valuesTemplate", "setTemplate", "installedTemplate", "strategicMergePatches",
    "jsonPatches", "transformers", "dependencies", "forceNamespace", "directory", "valuesPathPrefix", "reuseValues",
    "plainHttp", "suppressDiff", "devel", "conditionTemplate", "forceGoGetter", "adopt", "chartPath",
})  # fmt: skip


def is_named(file: str) -> bool:
    """Whether a file is called as helmfiles are, templates of them too."""
    path = PurePath(file.removesuffix(TEMPLATES))
    return bool(_NAME.fullmatch(path.name)) or (path.parent.name == "helmfile.d" and bool(path.suffix))


def is_helmfile(body: Body, file: str) -> bool:
    """Whether a mapping without a kind is a helmfile, or a part of one: by the file's name, else by its whole form."""
    if is_named(file):
        return not _STATE.isdisjoint(body)
    releases = list_at(body, "releases")
    return bool(releases) and _STATE.issuperset(body) and all(_is_formed(mapping_at(each)) for each in releases)


def _is_formed(release: Body) -> bool:
    return (
        _RELEASE.issuperset(release) and bool(text_at(release, "name")) and {"chart", "inherit"} & set(release) != set()
    )


def is_written(text: str) -> bool:
    """Whether it stands as it will be: nothing is filled in."""
    return "{{" not in text


@dataclass(frozen=True, kw_only=True, eq=False)
class Helmfile:
    """The documents of one file, in order; `read` gives what other files hold."""

    file: str
    documents: Sequence[Manifest]
    read: Read
    named: list[str] = field(default_factory=list[str])
    """Files that it was looked into for."""
    _sizes: dict[int, int] = field(default_factory=dict[int, int])
    """How many values stand in what was read, by its id; by 0 how many were laid over one another."""

    def releases(self) -> Iterator[Manifest]:
        """A `Release` for each that is installed."""
        self._look_around()
        state = self._state
        last = next((each for each in reversed(self.documents) if "releases" in each.body), None)
        nodes = _items(last.node) if last else []
        for index, each in enumerate(list_at(last.body, "releases") if last else []):
            release = _inherited(mapping_at(each), state)
            if text_at(release, "name") and text_at(release, "chart") and release.get("installed") is not False:
                node = nodes[index] if index < len(nodes) else None
                body = self._release(release, text_at(state, "namespace"))
                yield Manifest(body=body, file=self.file, node=node, offset=last.offset if last else 0)

    @property
    def _state(self) -> Body:
        """All documents and bases together, but for their releases."""
        found: dict[str, Any] = {}
        for each in self.documents:
            for base in list_at(each.body, "bases"):
                found = _laid_over(found, self._held(base) or {})
            found = _laid_over(found, each.body)
        return found

    def _look_around(self) -> None:
        """Files that environments and other helmfiles are made of: they are nobody's objects."""
        for each in self.documents:
            environments = mapping_at(each.body, "environments").values()
            listed = [each.body, *(mapping_at(one) for one in environments), *mappings_at(each.body, "helmfiles")]
            names = [name for one in listed for key in ("values", "secrets") for name in list_at(one, key)]
            for name in (*names, *(at(one, "path") or one for one in list_at(each.body, "helmfiles"))):
                self._held(name)

    def _held(self, name: object) -> Body | None:
        if not isinstance(name, str) or not is_written(name):
            return None
        self.named.append(name)
        return self.read(self.file, name)

    def _has_room(self, held: Body) -> bool:
        """Whether values may be read once more: thousands of releases may name one file of thousands."""
        key = id(held)
        if key not in self._sizes:
            self._sizes[key] = _size(held)
        self._sizes[0] = self._sizes.get(0, 0) + self._sizes[key]
        return self._sizes[0] <= VALUES_READ

    def _release(self, each: Body, everywhere: str) -> Body:
        values: dict[str, Any] = {}
        unread: list[Any] = [
            part for key in ("set", "setString", "secrets", "valuesTemplate") for part in list_at(each, key)
        ]
        for part in list_at(each, "values"):
            held = cast("dict[str, Any]", part) if isinstance(part, dict) else self._held(part)
            if held is None or not self._has_room(held):
                unread.append(part)
            else:
                values = _laid_over(values, held)
        namespace = everywhere or text_at(each, "namespace") or "default"
        metadata = {"name": text_at(each, "name"), **({"namespace": namespace} if is_written(namespace) else {})}
        spec = {
            "chart": text_at(each, "chart"),
            "version": text_at(each, "version"),
            "values": values,
            "valuesFrom": unread,
        }
        return {"apiVersion": f"{GROUP}/v1", "kind": KIND, "metadata": metadata, "spec": spec}


def is_anywhere(release: Manifest) -> bool:
    """Whether the namespace that a release goes to is not known."""
    return "namespace" not in mapping_at(release.body, "metadata")


def _inherited(release: Body, state: Body) -> Body:
    """A release with what it takes from templates: of lists its own stand in the place of theirs."""
    default: object = state.get("defaultInherit")
    names = list_at([default]) if isinstance(default, str) else list_at(state, "defaultInherit")
    own = release.get("inherit")
    listed = mappings_at([own] if isinstance(own, dict) else own)
    told = [text_at(each, "template") for each in listed]
    found: dict[str, Any] = {}
    for name in names:
        if isinstance(name, str) and name not in told:
            found = _laid_over(found, mapping_at(state, "templates", name))
    for each in listed:
        left_out = list_at(each, "except")
        template = mapping_at(state, "templates", text_at(each, "template"))
        found = _laid_over(found, {key: value for key, value in template.items() if key not in left_out})
    return _laid_over(found, release)


def _laid_over(first: Body, later: Body) -> dict[str, Any]:
    """Both, mappings within each other: so Helm reads one file of values after another."""
    both = {key: (first[key], later[key]) for key in first.keys() & later.keys()}
    deep = {
        key: _laid_over(mapping_at(one), mapping_at(two)) for key, (one, two) in both.items() if _are_mappings(one, two)
    }
    return {**first, **later, **deep}


def _size(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_size, mapping_at(value).values()))
    return 1 + sum(map(_size, list_at(value))) if isinstance(value, list) else 1


def _are_mappings(*values: object) -> bool:
    return all(isinstance(each, dict) for each in values)


def _items(node: Node | None) -> list[Node]:
    pairs = cast("list[tuple[Node, Node]]", node.value) if isinstance(node, MappingNode) else []
    found = next((value for name, value in pairs if name.value == "releases"), None)
    return cast("list[Node]", found.value) if isinstance(found, SequenceNode) else []


def unread(file: str) -> Manifest:
    """What stands for a helmfile that is a template."""
    body: Mapping[str, Any] = {"kind": UNREAD, "metadata": {"name": PurePath(file).name}}
    return Manifest(body=body, file=file)
