"""Milvus: parts of today's, room for what it is to hold, S3 by a role, GPUs where an index wants them, walls."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hanok.errors import SpecError
from tests.rooms.kubernetes.rendering import Made, faults, made

KNOWS = """\
name: acme
models:
  - {name: smart, serve: {engine: echo}}
  - {name: embed, type: embedding, serve: {engine: sentence-encoder}}
knowledge:
  - {name: docs, sources: {builtin: handbook}}
"""
S3 = "cluster: {account: '123456789012', region: eu-west-1, milvus: {bucket: acme-vectors, query_nodes: 3}}\n"
GPU = (
    KNOWS.replace("handbook}}", "handbook}, index: {type: GPU_IVF_FLAT}}")
    + "milvus: {uri: 'http://milvus-milvus.knowledge.svc:19530'}\n"
    + "cluster: {milvus: {passages: 10000000}}\n"
)


@cache
def tree(text: str) -> Made:
    return made(text)


def parts(text: str) -> dict[str, Any]:
    return tree(text).one("Milvus", "milvus")["spec"]["components"]


def test_it_has_the_parts_that_milvus_has_today_and_no_pulsar() -> None:
    spec = tree(KNOWS).one("Milvus", "milvus")["spec"]
    assert {"proxy", "mixCoord", "streamingNode", "dataNode", "queryNode"} <= set(spec["components"])
    assert "indexNode" not in spec["components"]
    assert spec["dependencies"]["msgStreamType"] == "woodpecker"


def test_it_runs_as_a_user_whom_old_and_new_images_let_run_it() -> None:
    common = parts(KNOWS)
    assert common["runAsNonRoot"] is True
    assert common["securityContext"]["runAsUser"] == 999
    assert "runAsGroup" not in common["securityContext"]


def test_query_nodes_together_have_room_for_all_passages() -> None:
    assert parts(KNOWS)["queryNode"]["resources"]["limits"] == {"memory": "7Gi"}
    fewer = KNOWS + "cluster: {milvus: {query_nodes: 4}}\n"
    assert parts(fewer)["queryNode"]["resources"]["limits"] == {"memory": "4Gi"}


def test_a_bucket_is_reached_by_a_role_at_its_regions_address() -> None:
    spec = tree(KNOWS + S3).one("Milvus", "milvus")["spec"]
    assert spec["dependencies"]["storage"]["endpoint"] == "s3.eu-west-1.amazonaws.com:443"
    assert spec["config"]["minio"]["useIAM"] is True
    account = tree(KNOWS + S3).one("ServiceAccount", spec["components"]["serviceAccountName"])
    role = account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
    assert role == "arn:aws:iam::123456789012:role/hanok-milvus"
    assert "s3:PutObject" in tree(KNOWS + S3).files["APPLY.md"]


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        ("{target: kubernetes, milvus: {bucket: acme-vectors}}", "on EKS only"),
        ("{milvus: {bucket: acme-vectors}}", "nobody knows whose role"),
    ],
)
def test_a_bucket_that_nobody_reaches_is_refused_by_its_line(cluster: str, told: str) -> None:
    with pytest.raises(SpecError) as refused:
        made(f"{KNOWS}cluster: {cluster}\n")
    [problem] = refused.value.problems
    assert told in problem.message
    assert (problem.line, problem.path) == (7, "cluster.milvus.bucket")


def test_indexes_on_gpus_have_the_image_the_machines_and_the_toleration() -> None:
    found = parts(GPU)
    [pool] = tree(GPU).plan.pools
    assert found["image"].endswith("-gpu")
    for name in ("queryNode", "dataNode"):
        assert found[name]["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert found[name]["tolerations"][0]["key"] == "nvidia.com/gpu"
        assert found[name]["nodeSelector"] == pool.labels
    assert "tolerations" not in found["proxy"]
    assert (pool.most_gpus, tree(GPU).plan.needs_gpus) == (3, True)
    asked = int(found["queryNode"]["resources"]["limits"]["memory"].removesuffix("Gi")) * 1024
    assert all(instance.memory_mib > asked and instance.gpus == 1 for _, instance in pool.machines)
    vectors_mib = 10_000_000 / 2 * 1024 * 4 / 1024**2
    assert (tree(GPU).plan.catalog.accelerators[pool.accelerator].memory_mib or 0) > vectors_mib


def test_too_many_passages_for_any_machine_are_refused() -> None:
    with pytest.raises(SpecError, match="raise `cluster"):
        made(GPU.replace("10000000", "900000000"))


def test_gpus_that_are_claimed_are_not_for_milvus() -> None:
    with pytest.raises(SpecError, match="cannot claim them"):
        made(GPU.replace("cluster: {", "cluster: {nodes: {dra: true}, "))


def test_who_has_a_milvus_gets_none() -> None:
    text = KNOWS + "milvus: {uri: 'http://milvus.example:19530'}\n"
    assert tree(text).all("Milvus") == []


def test_hanoks_pods_alone_reach_it() -> None:
    rules = tree(KNOWS).one("NetworkPolicy", "milvus")["spec"]["ingress"]
    opened = {each["ports"][0]["port"]: each["from"] for each in rules if "ports" in each}
    assert opened[19530] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "hanok"}}}]


@pytest.mark.parametrize("text", [KNOWS + S3, GPU])
def test_preflight_finds_nothing_in_it(text: str, tmp_path: Path) -> None:
    assert [each for each in faults(tree(text), tmp_path) if "/knowledge/" in each or "/milvus" in each] == []
