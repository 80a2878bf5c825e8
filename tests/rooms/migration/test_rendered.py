"""A tree that Hanok rendered, read back: the platform that comes of it renders the same tree again."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from hanok.kubernetes import Format
from hanok.kubernetes.store import write_tree
from hanok.migration import Translation
from hanok.migration.notes import alike
from hanok.spec.load import parse
from tests.rooms.kubernetes.rendering import Made, made
from tests.rooms.migration.clusters import imported_from, loaded, notes

EXAMPLE = Path(__file__).parents[3] / "examples" / "12-render-eks"
HOUSE = """\
name: acme
gateway: {url: "https://ai.acme.io", admin_key: "${env:ADMIN_KEY}"}
models:
  - name: chat
    serve: {engine: llamacpp, model: gemma3-270m}
    deploy: {weights: Qwen/Qwen3-8B, gpu: [l40s], flags: {enable-auto-tool-choice: true, tool-call-parser: hermes}}
    scale: {min: 0, max: 3, running: null, up: {replicas: 1, percent: null}, down: {percent: 50}, idle_s: 900}
  - name: pair
    serve:
      - {engine: vllm, model: Qwen/Qwen3-8B, role: prefill}
      - {engine: vllm, model: Qwen/Qwen3-8B, role: decode, flags: {max-num-seqs: 32}, max_in_flight: 9}
    deploy: {gpu: [l40s]}
  - name: embed
    type: embedding
    serve: {engine: openai, url: "https://api.openai.com/v1", key: "${env:OPENAI_API_KEY}"}
knowledge:
  - {name: docs, sources: {path: docs}, embed: {model: embed}, schedule: "0 * * * *", on_start: false}
  - {name: wiki, sources: {uri: "s3://b/w"}, embed: {model: embed}}
teams: [{name: Blue.Team}, {name: red}]
telemetry:
  export:
    - {to: otlp, url: "https://otel.acme.io", headers: {x-key: "${env:OTEL_KEY}"}}
    - {to: langsmith, url: "https://api.smith.langchain.com", secret_key: "${env:LANGSMITH}", project: p}
"""
AUTO = """\
cluster:
  name: acme-eu
  environment: staging
  target: eks-auto
  region: eu-west-1
  zones: [eu-west-1a]
  account: "123456789012"
  repository: {url: "https://git.acme.io/x.git", path: deploy/k}
  hanok: {cpu: 2, memory_gib: 4, state_gib: 30, image: "r/h:1"}
  entry: {expose: public, certificate: "arn:aws:acm:eu-west-1:123456789012:certificate/x"}
  nodes: {spot: true, general: ["c7i.*"], general_cpu: 64, role: MyRole, discovery: other, reservations: [cr-0abc]}
  storage: {efs: fs-0abc}
  serving: {weights: efs, weights_gib: 300, token: null, litellm: {enabled: true, to: engines, replicas: 3}}
  milvus: {mode: standalone, storage_gib: 50}
  postgres: {instances: 1, storage_gib: 40}
  redis: {storage_gib: 8, memory_gib: 2}
  observe:
    {retention_days: 30, storage_gib: 80, langfuse: true, langfuse_url: "https://lf.acme.io",
     alerts: {to: slack, url: "${env:ALERTS_URL}", channel: "#x"}}
  jobs: {kueue: true, trainer: true, ray: true, gpus: 8, gpu: p5.48xlarge, image: "a/b:1"}
  secrets: {store: vault, url: "https://vault.acme.io", name: v, prefix: "secret/x/", refresh_s: 60}
  teams: [{team: Blue.Team, cpu: 8, memory_gib: 32, gpus: 2, pods: 9, group: blues}, {team: red, cpu: 0.5}]
"""
GIVEN = """\
cluster:
  {target: kubernetes, entry: {expose: none}, serving: {route: llm-d, litellm: true}, observe: {collector: false},
   secrets: {store: existing, name: mine}, nodes: {dra: true}}
"""
OWN = """\
cluster:
  {target: kubernetes, secrets: {store: existing, name: mine}, observe: {collector: false},
   teams: [{team: red, cpu: 4, gpus: 2}],
   jobs: {kueue: true, trainer: true, gpus: 8, gpu: l40s, machine: {gpus: 4, cpu: 60, memory_gib: 240}}}
"""
KEPT = """\
cluster: {target: kubernetes, serving: {token: MY_TOKEN}, secrets: {refresh_s: 90}}
"""
FSX = """\
cluster:
  repository: {url: "https://git.acme.io/x.git"}
  entry: {issuer: signer, acme: {email: a@acme.io, zone: Z0ABC, server: "https://acme.acme.io/dir"}}
  observe: {mlflow: true}
  nodes: {ami: "al2023@v20260101", sharing: {mode: time-slicing, replicas: 2}}
  storage: {fsx: {subnet: subnet-0a, security_groups: [sg-0a, sg-0b], mib_s_per_tib: "500"}}
  serving: {weights: fsx}
  jobs: {gpus: 4, gpu: g6.12xlarge, fsx_gib: 2400, always: true}
"""
OTHER = ("APPLY.md", "configmap-hanok-config.yaml")
"""What differs: the guide names addresses that gave way, and keys of the platform stand in another order."""


def platform_of(tree: Made) -> Any:
    """The platform file of the gateways."""
    text = next(text for path, text in tree.files.items() if path.endswith("configmap-hanok-config.yaml"))
    return yaml.safe_load(yaml.safe_load(text)["data"]["platform.yaml"])


def back(tree: Made, folder: Path) -> Translation:
    write_tree(tree.files, folder)
    return imported_from(folder, judged=False)


@pytest.mark.parametrize(
    ("cluster", "form"), [(AUTO, "flux"), (GIVEN, "flat"), (OWN, "flux"), (KEPT, "flux"), (FSX, "argocd")]
)
def test_what_comes_of_a_rendered_tree_renders_the_same_tree(tmp_path: Path, cluster: str, form: Format) -> None:
    tree = made(HOUSE + cluster, form=form)
    translation = back(tree, tmp_path)
    again = made(yaml.safe_dump(translation.platform, sort_keys=False), form=form)
    paths = sorted({*tree.files, *again.files})
    differing = [each for each in paths if tree.files.get(each) != again.files.get(each)]
    assert [each for each in differing if not each.endswith(OTHER)] == []
    assert platform_of(tree) == platform_of(again)
    assert not [each for each in translation.notes if each.kind in ("left", "wrong")]


@cache
def _example() -> Translation:
    return imported_from(EXAMPLE / "deploy", judged=False)


def test_the_example_comes_back_with_its_cluster_and_its_schedules() -> None:
    found = loaded(_example()).platform
    declared = parse((EXAMPLE / "platform.yaml").read_text(), Path("platform.yaml"), {}, lenient=True).platform
    assert (found.agents, found.tiers, found.budgets) == (declared.agents, declared.tiers, declared.budgets)
    assert found.knowledge == declared.knowledge
    assert found.cluster is not None
    assert declared.cluster is not None
    assert (found.cluster.milvus, found.cluster.jobs) == (declared.cluster.milvus, declared.cluster.jobs)
    assert found.cluster.teams == declared.cluster.teams[:1]  # the other's is the usual one
    assert found.models[0].scale == declared.models[0].scale
    assert found.telemetry.export[0].to == "langfuse"


def test_notes_that_say_the_same_are_told_together() -> None:
    left = [each for each in _example().notes if each.kind == "carried"]
    walls = next(each for each in alike(left) if each.what == "NetworkPolicy")
    assert (len(walls.notes), walls.reason) == (23, "follows from the platform: `hanok render` writes it again")
    assert walls.examples(2) == "hanok/callers, hanok/hanok-cache, … (23)"
    assert sum(len(each.notes) for each in alike(left)) == len(left)
    assert len(alike(left)) < len(left) / 3


def test_a_tree_without_hanoks_own_file_is_read_as_anybodys(tmp_path: Path) -> None:
    tree = made(HOUSE + FSX)
    kept = {path: text for path, text in tree.files.items() if "/apps/models/" in f"/{path}"}
    write_tree(kept, tmp_path)
    found = imported_from(tmp_path, judged=False)
    assert "cluster" not in found.platform
    assert [each["deploy"]["weights"] for each in found.platform["models"]] == ["Qwen/Qwen3-8B"] * 2


def test_of_two_platforms_the_first_counts(tmp_path: Path) -> None:
    text = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: NAME}\n"
    text += "data:\n  p: |\n    models: [{name: NAME, serve: {engine: echo}}]\n"
    (tmp_path / "all.yaml").write_text(text.replace("NAME", "a") + "---\n" + text.replace("NAME", "b"))
    found = imported_from(tmp_path, judged=False)
    assert [each["name"] for each in found.platform["models"]] == ["a"]
    assert "the first was taken" in "".join(notes(found, "left").values())
