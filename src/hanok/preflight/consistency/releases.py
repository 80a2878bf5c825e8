"""Components that have moved on: parts that newer versions do not have, and forms that no version serves any more."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hanok.preflight.case import Case
from hanok.preflight.charts import charts
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.image import read_image
from hanok.preflight.manifests import Manifest, Step, mapping_at, mappings_at, text_at

NO_INDEX_NODE = Rule(
    "HK571",
    "warning",
    "a Milvus part that is gone",
    "give its resources to components.dataNode, which builds indexes since Milvus 2.6",
)
NOT_FOR_GPU = Rule(
    "HK572",
    "warning",
    "a Milvus part with a GPU that its image cannot use",
    "take the image of the same version with `-gpu`",
)
OWN_STORE = Rule(
    "HK573",
    "info",
    "an object store in the cluster, on AWS",
    "use S3: dependencies.storage with external: true, type: S3 and useIAM",
)
PULSAR = Rule(
    "HK574", "info", "Pulsar for Milvus", "set dependencies.msgStreamType: woodpecker, which needs no further pods"
)
INLINE_TOOL = Rule(
    "HK575",
    "error",
    "a tool that kagent does not have",
    "serve the tool by an MCP server, and name it: `type: McpServer`, `mcpServer: {kind, name, toolNames}`",
)
MOVING_AMI = Rule(
    "HK576",
    "warning",
    "nodes whose image changes by itself",
    "pin a release that you tried: `alias: al2023@v20260801`",
)

MADE_UP = Rule(
    "HK577",
    "warning",
    "a chart that makes up what must never change",
    "name a Secret: `salt: {secretKeyRef: {name, key}}`, and so on; keep the values where they are not lost",
)

INDEX_NODE_UNTIL = (2, 6)
"""Milvus' first version without index nodes. Source: milvus-operator v1.3.8, pkg/controllers/components.go."""
_LANGFUSE_KEPT = (("salt",), ("encryptionKey",), ("nextauth", "secret"))
"""Its chart makes up each that is not given, and finds it again by asking the cluster, which not every renderer can.
Source: langfuse-k8s 2.0.0, README."""
_KAGENT_TOOLS = ("McpServer", "Agent", "Builtin")


def check_milvus(case: Case) -> Iterator[Finding]:
    """Milvus objects of its operator."""
    for milvus in case.cluster.of("Milvus"):
        parts = mapping_at(milvus.body, "spec", "components")
        image = read_image(text_at(parts, "image"))
        version = image.version[:2] if image else ()
        if "indexNode" in parts and (not version or version >= INDEX_NODE_UNTIL):
            said = f"Milvus {'.'.join(map(str, version))}" if version else "Milvus since 2.6, the operator's default,"
            message = f"{said} has no index nodes: what is asked for here does not run, or runs an old Milvus"
            yield NO_INDEX_NODE.on(milvus, "spec", "components", "indexNode", message=message)
        yield from _gpus(milvus, text_at(parts, "image"))
        yield from _dependencies(case, milvus)


def _gpus(milvus: Manifest, common: str) -> Iterator[Finding]:
    for name, part in mapping_at(milvus.body, "spec", "components").items():
        held = [*mapping_at(part, "resources", "limits"), *mapping_at(part, "resources", "requests")]
        image = text_at(part, "image") or common
        ours = not image or re.search(r"(^|/)milvusdb/milvus(:|@|$)", image)
        if any(key.startswith("nvidia.com/") for key in held) and ours and "-gpu" not in image:
            message = f"{name} has a GPU, and {image or 'the default image'} is built without CUDA"
            yield NOT_FOR_GPU.on(milvus, "spec", "components", name, message=message)


def _dependencies(case: Case, milvus: Manifest) -> Iterator[Finding]:
    path: tuple[Step, ...] = ("spec", "dependencies")
    if "inCluster" in mapping_at(milvus.body, *path, "storage") and _on_aws(case):
        message = "the index and every vector stand on volumes of the cluster"
        yield OWN_STORE.on(milvus, *path, "storage", message=message)
    if "inCluster" in mapping_at(milvus.body, *path, "pulsar"):
        message = "Pulsar, its bookkeepers and ZooKeeper are many pods for a write-ahead log"
        yield PULSAR.on(milvus, *path, "pulsar", message=message)


def _on_aws(case: Case) -> bool:
    """Whether the tree says that the cluster stands on AWS."""
    classes = any(True for _ in case.cluster.of("EC2NodeClass"))
    return classes or any(
        "eks.amazonaws.com" in key
        for each in case.cluster.of("NodeClass", "ServiceAccount")
        for key in (*each.annotations, each.group)
    )


def check_agents(case: Case) -> Iterator[Finding]:
    """Tools that stand in an agent themselves. Where the kind's schema is known, that says it already."""
    for agent in case.cluster.of("Agent", group="kagent.dev"):
        if any(each.api_version == agent.api_version for each in case.facts.custom.of("Agent")):
            continue
        for index, tool in enumerate(mappings_at(agent.body, "spec", "tools")):
            kind = text_at(tool, "type")
            if kind and kind not in _KAGENT_TOOLS:
                message = f"{text_at(tool, 'name') or 'a tool'} is of type {kind}, and kagent has none such"
                yield INLINE_TOOL.on(agent, "spec", "tools", index, "type", message=message)


def check_karpenter(case: Case) -> Iterator[Finding]:
    """Nodes' images that move."""
    for manifest in case.cluster.of("EC2NodeClass"):
        for index, term in enumerate(mappings_at(manifest.body, "spec", "amiSelectorTerms")):
            if text_at(term, "alias").endswith("@latest"):
                message = f"{text_at(term, 'alias')}: each new image replaces the nodes, and whatever runs on them"
                yield MOVING_AMI.on(manifest, "spec", "amiSelectorTerms", index, "alias", message=message)


def check_langfuse(case: Case) -> Iterator[Finding]:
    """Langfuse's secrets that its chart would make up: by Argo CD at each sync, by others once, in one place only."""
    for chart in charts(case.cluster):
        if chart.name != "langfuse":
            continue
        ours = mapping_at(chart.values, "langfuse")
        lost = [".".join(path) for path in _LANGFUSE_KEPT if not _is_given(mapping_at(ours, *path))]
        if lost:
            anew = chart.manifest.kind == "Application"
            when = (
                "at each sync, and what was stored cannot be read"
                if anew
                else "once, and it is kept in the cluster alone"
            )
            message = f"{' and '.join(lost)}: the chart makes it up {when}"
            yield MADE_UP.on(chart.manifest, *chart.place, message=message, severity="warning" if anew else "info")


def _is_given(block: Mapping[str, Any]) -> bool:
    return bool(text_at(block, "value") or text_at(block, "secretKeyRef", "name"))


CHECKS = (check_milvus, check_agents, check_karpenter, check_langfuse)
