"""The tree as a whole: objects that are in it twice, variables that nobody filled in, namespaces that nothing makes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.inventory import Leaf
from hanok.preflight.makers import PASSIVE
from hanok.preflight.manifests import Manifest, at, mapping_at, mappings_at, text_at, texts_at
from hanok.preflight.references.uses import is_name

TWICE = Rule("HK005", "error", "the same object twice", "keep one; whichever is applied last undoes the other")
UNFILLED = Rule(
    "HK006",
    "error",
    "a variable that nobody filled in",
    "fill it in first (`envsubst < FILE | hanok preflight -`), or let a Flux Kustomization's postBuild do so",
)
NO_NAMESPACE = Rule(
    "HK209", "info", "a namespace that nothing here makes", "add it, or make it before: `kubectl create namespace NAME`"
)

_GIVEN_SPACES = frozenset({"", "default", "kube-system", "kube-public", "kube-node-lease"})
_NOT_SUBSTITUTED = "kustomize.toolkit.fluxcd.io/substitute"
SAID_ONE_BY_ONE = 3
_SAME_GROUPS = {"extensions": "networking.k8s.io"}
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:?[-=][^}]*)?\}")
_TEXT_KINDS = frozenset({
    "ConfigMap", "Secret", "PrometheusRule", "GrafanaDashboard", "OpenTelemetryCollector", "Instrumentation",
    "CustomResourceDefinition", "Workflow", "WorkflowTemplate", "CronWorkflow", "ClusterWorkflowTemplate", "Pipeline",
    "PipelineRun", "Task", "TaskRun", "Flow", "Output", "ClusterOutput", "ClusterFlow", "ClusterFilter", "Composition",
    "EnvoyFilter", "WasmPlugin", "Vector",
})  # fmt: skip
"""Kinds whose texts have variables of their own."""
_TEXT_KEYS = frozenset({
    "args", "command", "script", "scripts", "run", "query", "expr", "config", "configuration", "template", "dashboards",
    "systemMessage", "systemPrompt", "description", "env", "extraEnv", "containerEnv", "cel", "expression",
})  # fmt: skip


# --- Twice ------------------------------------------------------------------------------------------------------------


def check_twice(case: Case) -> Iterator[Finding]:
    first: dict[tuple[str, str, str, str], Manifest] = {}
    apart: dict[tuple[str, str], list[tuple[Manifest, Manifest]]] = {}
    patches = _patches(case)
    for each in case.cluster.manifests:
        if not text_at(each.body, "metadata", "name") or _is_patch(each, patches):
            continue
        key = (_SAME_GROUPS.get(each.group, each.group), each.kind, each.namespace, each.name)
        other = first.setdefault(key, each)
        if other is not each and each.file == other.file:
            yield _twice(each, other)
        elif other is not each and each.body != other.body:
            apart.setdefault((other.file.rpartition("/")[0], each.file.rpartition("/")[0]), []).append((each, other))
    for folders, pairs in apart.items():
        yield from _apart(folders, pairs)


def _apart(folders: tuple[str, str], pairs: Sequence[tuple[Manifest, Manifest]]) -> Iterator[Finding]:
    """What two folders both have: one word, where it is much, for they are most likely of two clusters."""
    if len(pairs) <= SAID_ONE_BY_ONE:
        yield from (_twice(each, other) for each, other in pairs)
        return
    again = pairs[0][0]
    message = f"and {len(pairs) - 1} more objects are in {folders[0] or '.'} already, with other content"
    hint = "look at one cluster's folder at a time"
    yield TWICE.on(again, "metadata", "name", message=message, hint=hint, severity="warning")


def _twice(again: Manifest, first: Manifest) -> Finding:
    """In one file it is a slip; in two they may be for two clusters, of which this cannot know."""
    where = f"line {first.first_line}" if again.file == first.file else f"{first.file}:{first.first_line}"
    versions = "" if again.version == first.version else f", as {first.api_version}"
    severity = None if again.file == first.file else "warning"
    return TWICE.on(again, "metadata", "name", message=f"is there already: {where}{versions}", severity=severity)


def _patches(case: Case) -> frozenset[str]:
    """Files that kustomizations lay over others."""
    found: set[str] = set()
    for each in case.inventory.tools:
        folder = PurePosixPath(each.file.replace("\\", "/")).parent
        named = [text_at(patch, "path") for patch in mappings_at(each.body, "patches")]
        for name in (*named, *texts_at(each.body, "patchesStrategicMerge")):
            found.add(str(folder / name))
    return frozenset(found)


def _is_patch(manifest: Manifest, patches: frozenset[str]) -> bool:
    return manifest.file.replace("\\", "/") in patches or "$patch" in manifest.body


# --- Variables --------------------------------------------------------------------------------------------------------


def check_variables(case: Case) -> Iterator[Finding]:
    given = _substituted(case)
    for manifest in case.cluster.manifests:
        if not _is_plain(manifest) or manifest.annotations.get(_NOT_SUBSTITUTED) == "disabled":
            continue
        said: set[str] = set()
        for leaf in case.inventory.leaves(manifest):
            for name in _variables(leaf):
                if name not in said and given is not None and name not in given:
                    said.add(name)
                    yield _unfilled(manifest, leaf, name)


def _is_plain(manifest: Manifest) -> bool:
    """Whether `${…}` means nothing in a manifest: operators' own objects may have variables of their own."""
    return manifest.kind not in _TEXT_KINDS and (manifest.group in PASSIVE or manifest.group.endswith("fluxcd.io"))


def _unfilled(manifest: Manifest, leaf: Leaf, name: str) -> Finding:
    message = f"`${{{name}}}` would reach the cluster as it stands, in `{_short(leaf.text)}`"
    return UNFILLED.on(manifest, *leaf.path, message=message)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def _variables(leaf: Leaf) -> Iterator[str]:
    if "${" not in leaf.text or "\n" in leaf.text or any(_is_text_key(each) for each in leaf.path):
        return
    for found in _VARIABLE.finditer(leaf.text):
        if not leaf.text[: found.start()].endswith("$"):
            yield found["name"]


def _is_text_key(step: object) -> bool:
    word = str(step)
    return word in _TEXT_KEYS or any(each in word.lower() for each in ("config", "nginx", "snippet", "traefik"))


def _substituted(case: Case) -> frozenset[str] | None:
    """Variables that Flux fills in; None where it may fill in any."""
    found: set[str] = set()
    for each in case.cluster.of("Kustomization", group="kustomize.toolkit.fluxcd.io"):
        build = mapping_at(each.body, "spec", "postBuild")
        found |= set(mapping_at(build, "substitute"))
        for source in mappings_at(build, "substituteFrom"):
            keys = case.inventory.keys(text_at(source, "kind"), text_at(source, "name"), each.namespace)
            if keys is None:
                return None
            found |= keys
    return frozenset(found)


# --- Namespaces -------------------------------------------------------------------------------------------------------


def check_namespaces(case: Case) -> Iterator[Finding]:
    """One word for each, at the first object that is to stand in it."""
    said = set(case.inventory.namespaces) | _created(case)
    for each in case.cluster.manifests:
        space = text_at(each.body, "metadata", "namespace") if each.namespace else ""
        if space in _GIVEN_SPACES or space in said or not is_name(space) or case.inventory.anybody is not None:
            continue
        said.add(space)
        message = f"nothing here makes the namespace {space}: until it is there, objects in it are refused"
        yield NO_NAMESPACE.on(each, "metadata", "namespace", message=message)


def _created(case: Case) -> set[str]:
    releases: Sequence[Manifest] = list(case.cluster.of("HelmRelease"))
    made = {each for each in releases if at(each.body, "spec", "install", "createNamespace") is True}
    return {text_at(each.body, "spec", "targetNamespace") or each.namespace for each in made}


CHECKS = (check_twice, check_variables, check_namespaces)
