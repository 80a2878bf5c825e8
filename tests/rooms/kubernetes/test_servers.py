"""Databases: the file that ran on a laptop names those of that machine, and the cluster has its own in their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hanok.kubernetes.rewriting import rewrite
from hanok.spec import Target, load
from tests.rooms.kubernetes.rendering import Made, faults, made

LAPTOP = """\
name: acme
gateway: {workers: 2}
ledger: {database: "postgresql://hanok:hanok@localhost/hanok", redis: "redis://:laptop@127.0.0.1:6379/0"}
runs: {database: "redis://localhost:6379/1"}
cache: {all_models: true, store: redis, redis: "unix:///run/valkey.sock"}
milvus: {uri: "http://localhost:19530", token: "root:Milvus", db: acme}
models:
  - {name: chat, serve: {engine: echo}}
  - {name: embed, type: embedding, serve: {engine: sentence-encoder}}
knowledge: [{name: docs, sources: {builtin: handbook}, index: {type: IVF_FLAT}}]
agents: [{name: helper}]
budgets: [{of: key, usd: 5, per: day}]
batches: {window: {from: "22:00", to: "06:00"}}
cluster: {repository: {url: "https://git.example.com/acme.git"}}
"""
CHAT = "models: [{name: chat, serve: {engine: echo}}]\n"
MADE = ("hanok-redis", "hanok-postgres", "milvus")


def config(tree: Made) -> dict[str, Any]:
    return yaml.safe_load(rewrite(tree.plan))


def variables(tree: Made) -> dict[str, Any]:
    [container] = tree.one("StatefulSet", "hanok")["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


@pytest.mark.parametrize("target", ["eks", "eks-auto", "kubernetes"])
def test_databases_of_a_laptop_give_way_to_those_of_the_cluster(target: Target, tmp_path: Path) -> None:
    tree = made(LAPTOP, target=target)
    found = config(tree)
    assert found["ledger"] == {"database": "${env:HANOK_DATABASE}", "redis": "${env:HANOK_REDIS}"}
    assert found["runs"] == {"database": "${env:HANOK_DATABASE}"}
    assert found["cache"] == {"all_models": True, "store": "redis", "redis": "${env:HANOK_CACHE}"}
    assert found["milvus"] == {"uri": "http://milvus-milvus.knowledge.svc:19530"}
    for name in ("hanok-redis", "hanok-cache"):
        assert tree.one("Service", name)
    assert tree.one("Cluster", "hanok-postgres") and tree.one("Milvus", "milvus")
    everything = "".join(tree.files.values())
    assert not [each for each in ("hanok:hanok", "laptop", "root:Milvus", "/run/valkey") if each in everything]
    file = tmp_path / "platform.yaml"
    file.write_text(rewrite(tree.plan))
    filled = {name: f"redis://{name.lower()}" for name in ("HANOK_REDIS", "HANOK_CACHE")}
    assert load(file, {**filled, "HANOK_DATABASE": "postgresql://hanok-postgres-rw/hanok"}).platform.name == "acme"
    assert faults(tree, tmp_path / "tree") == []


def test_answers_are_never_kept_beside_budgets_on_the_clusters_own_server() -> None:
    kept = "cache: {all_models: true, store: redis}\n"
    tree = made(CHAT + kept + "ledger: {redis: redis://localhost}\n")
    assert config(tree)["cache"]["redis"] == "${env:HANOK_CACHE}"
    own = made(CHAT + kept + 'ledger: {redis: "${env:REDIS_URL}"}\n')
    assert "redis" not in config(own)["cache"], "who names one server for both has both there"


@pytest.mark.parametrize("near", ["postgresql:///hanok", "postgresql:///h?host=/tmp", "postgresql://%2Ftmp/h"])
def test_a_socket_is_of_one_machine(near: str) -> None:
    assert config(made(CHAT + f'ledger: {{database: "{near}"}}\n'))["ledger"]["database"] == "${env:HANOK_DATABASE}"


def test_a_server_that_the_file_names_is_asked_in_the_cluster() -> None:
    far = 'ledger: {redis: "${env:REDIS_URL:-redis://localhost}", database: "postgresql:///h?host=db.example.com"}\n'
    tree = made(CHAT + far)
    assert config(tree)["ledger"] == {
        "redis": "${env:REDIS_URL}", "database": "postgresql:///h?host=db.example.com",
    }  # fmt: skip
    assert variables(tree)["REDIS_URL"] == {"secretKeyRef": {"name": "hanok-variables", "key": "REDIS_URL"}}
    assert not [each for each in tree.all("Service") if each["metadata"]["name"] in MADE]


def test_the_cluster_block_asks_for_a_server_whatever_the_file_names() -> None:
    text = CHAT + 'ledger: {redis: "${env:REDIS_URL}"}\ncluster: {redis: {memory_gib: 2}}\n'
    tree = made(text)
    assert config(tree)["ledger"]["redis"] == "${env:HANOK_REDIS}"
    assert "REDIS_URL" not in variables(tree)
    assert "REDIS_URL" not in tree.files["APPLY.md"], "nobody has to put it into the store"
    [told] = [each.message for each in tree.rendered.notes if "cluster.redis" in each.message]
    assert "what `ledger.redis` names is not asked there" in told
