"""Every key of a chart's values, and of a kind without a schema, was looked up: Helm leaves out what it does not know.

`read.yaml` is the book of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from hanok.kubernetes.components import litellm
from hanok.kubernetes.load import shipped
from tests.rooms.kubernetes import test_gpus, test_jobs, test_kagent, test_llm_d, test_traces, test_vllm
from tests.rooms.kubernetes.rendering import Made, made
from tests.rooms.kubernetes.test_kubectl import library
from tests.rooms.preflight.conftest import CRDS

BOOK = yaml.safe_load((Path(__file__).parent / "read.yaml").read_text())
CHARTS = {name: pin for name, pin in shipped().pins.items() if pin.chart}
VAULT = """\
name: acme
models: [{name: m, serve: {engine: openai, url: "https://api.example/v1", key: "${env:KEY}"}}]
cluster: {repository: {url: "https://git.example/acme.git"}, secrets: {store: vault, url: "https://vault.example"}}
"""


@cache
def trees() -> tuple[Made, ...]:
    """Trees that have every chart and every kind between them."""
    jobs = (test_jobs.tree(), made(test_jobs.PLATFORM, target="eks-auto"))
    gpus = (test_gpus.tree(test_gpus.TURNS), test_gpus.tree(test_gpus.CLAIMED, "kubernetes"))
    agents, routed = made(test_kagent.AGENTS), made(test_llm_d.PLATFORM)
    alone, huge, vault = made(test_traces.ALONE), made(test_vllm.HUGE), made(VAULT, form="argocd")
    return (library(), *jobs, *gpus, agents, routed, alone, huge, vault)


def written(value: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Paths of all that is no block; of a list of blocks, those of each."""
    if isinstance(value, dict) and value:
        for key, each in cast("dict[str, Any]", value).items():
            yield from written(each, (*path, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for each in cast("list[Any]", value):
            yield from written(each, path)
    else:
        yield ".".join(path)


def charts(tree: Made) -> Iterator[tuple[str, Any]]:
    """Every chart of a tree by its name in the lock, and its values."""
    names = {pin.chart: name for name, pin in CHARTS.items()}
    for each in tree.all("HelmRelease"):
        spec = each["spec"]
        yield names[spec["chart"]["spec"]["chart"]] if "chart" in spec else spec["chartRef"]["name"], spec.get("values")


def unread(paths: Iterator[str], entry: dict[str, Any]) -> set[str]:
    keys = entry.get("keys", [])
    return {each for each in paths if not any(each == key or each.startswith(f"{key}.") for key in keys)}


def test_every_chart_that_is_pinned_is_in_the_book_at_its_version() -> None:
    assert {name: each["pinned"] for name, each in BOOK["charts"].items()} == {
        name: pin.version for name, pin in CHARTS.items()
    }


def test_every_value_that_is_written_was_found_in_its_chart() -> None:
    seen = set[str]()
    for tree in trees():
        for name, values in charts(tree):
            seen.add(name)
            assert not values or not unread(written(values), BOOK["charts"][name]), name
    assert seen >= CHARTS.keys() - {"kmcp", "efs-csi-driver"}


@pytest.mark.skipif(not CRDS.exists(), reason="schemas of custom kinds are not at hand")
def test_every_field_of_a_kind_without_a_schema_was_looked_up() -> None:
    known = {tuple(each.name.split("_")[:2]) for each in CRDS.iterdir()}
    seen = set[str]()
    for tree in trees():
        for _, body in tree.objects():
            group = body["apiVersion"].partition("/")[0]
            if "." not in group or group.endswith(".k8s.io") or (group, body["kind"].lower()) in known:
                continue
            seen.add(kind := f"{body['apiVersion']} {body['kind']}")
            assert not unread(written({"spec": body["spec"]}), BOOK["kinds"][kind]), (kind, body["metadata"]["name"])
    assert seen == BOOK["kinds"].keys()


def test_others_images_run_as_users_that_they_have() -> None:
    pins = shipped().pins
    assert all(each["pinned"] == pins[name].version for name, each in BOOK["images"].items())
    agent, routed, alone = made(test_kagent.AGENTS), made(test_llm_d.PLATFORM), made(test_traces.ALONE)
    values = alone.one("HelmRelease", "langfuse")["spec"]["values"]["langfuse"]
    engine = next(each for each in routed.all("StatefulSet") if each["metadata"]["namespace"] == "models")
    contexts = {
        "kagent": agent.all("Agent")[0]["spec"]["declarative"]["deployment"]["podSecurityContext"],
        "langfuse": values["podSecurityContext"],
        "milvus": library().one("Milvus", "milvus")["spec"]["components"]["securityContext"],
        "redis": alone.one("StatefulSet", "hanok-redis")["spec"]["template"]["spec"]["securityContext"],
        "vllm": engine["spec"]["template"]["spec"]["securityContext"],
        "litellm": {"runAsUser": litellm.USER},
    }
    assert {name: each["runAsUser"] for name, each in contexts.items()} == {
        name: each["user"] for name, each in BOOK["images"].items()
    }
