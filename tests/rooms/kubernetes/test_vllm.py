"""Engines in the cluster: what is started, on what, how it comes up, and who may call it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hanok.errors import Problem, SpecError
from hanok.kubernetes.engines import is_in_cluster
from hanok.kubernetes.replicas import endpoint_urls
from tests.rooms.kubernetes.rendering import CHAT, Made, faults, made

PLATFORM = """\
name: acme
models:
  - name: chat
    serve: {engine: vllm, model: meta-llama/Llama-3.3-70B-Instruct, flags: {max-num-seqs: 64, tensor-parallel-size: 4}}
    deploy: {context_tokens: 16384, gpu: ["g6e.*"]}
    scale: {min: 2, max: 3}
  - name: embed
    type: embedding
    serve: {engine: sentence-encoder}
    deploy: {weights: Qwen/Qwen3-Embedding-0.6B, context_tokens: 8192, gpu: [g6.xlarge]}
cluster: {serving: {token: null}}
"""
HUGE = """\
name: acme
models:
  - name: huge
    serve:
      engine: vllm
      model: meta-llama/Llama-3.1-405B-Instruct
      flags: {tensor-parallel-size: 8, pipeline-parallel-size: 2}
    deploy: {context_tokens: 8192, concurrency: 2, gpu: [p5.48xlarge]}
cluster: {serving: {token: null}}
"""
PAIR = """\
name: acme
models:
  - name: chat
    routing: {policy: prefix}
    serve:
      - {engine: vllm, model: Qwen/Qwen3-8B, role: prefill}
      - {engine: vllm, model: Qwen/Qwen3-8B, role: decode}
    deploy: {context_tokens: 8192, gpu: [g6e.xlarge]}
cluster: {serving: {token: null}}
"""


@cache
def tree(text: str = PLATFORM) -> Made:
    return made(text)


def engine(body: dict[str, Any]) -> dict[str, Any]:
    """The container of an object's pods."""
    return body["spec"]["template"]["spec"]["containers"][0]


def test_an_engine_is_given_the_plan_and_the_users_flags_on_top() -> None:
    words = engine(tree().one("StatefulSet", "chat"))["args"]
    assert words[0] == "meta-llama/Llama-3.3-70B-Instruct"
    assert {"--served-model-name=chat", "--max-model-len=16384", "--tensor-parallel-size=4"} < set(words)
    assert "--max-num-seqs=64" in words
    assert not [each for each in words if "gpu-memory-utilization" in each]


def test_a_pod_has_the_gpus_that_its_flags_name_and_stands_on_their_pool() -> None:
    body = tree().one("StatefulSet", "chat")
    assert engine(body)["resources"]["limits"]["nvidia.com/gpu"] == "4"
    pod = body["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"hanok.dev/workload": "gpu-g6e-12xlarge"}
    assert [each["key"] for each in pod["tolerations"]] == ["nvidia.com/gpu"]


def test_vectors_come_from_an_engine_that_makes_vectors() -> None:
    assert "--runner=pooling" in engine(tree().one("StatefulSet", "embed"))["args"]


def test_a_start_is_given_the_time_that_the_weights_take() -> None:
    large, small = (engine(tree().one("StatefulSet", each))["startupProbe"] for each in ("chat", "embed"))
    assert large["failureThreshold"] * large["periodSeconds"] > 600 > small["failureThreshold"] * 10


def test_nothing_runs_as_root_and_calls_may_end() -> None:
    pod = tree().one("StatefulSet", "chat")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    words = pod["containers"][0]["args"]
    [drain] = [int(each.partition("=")[2]) for each in words if each.startswith("--shutdown-timeout=")]
    wait = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > wait + drain


def test_only_hanoks_pods_and_prometheus_reach_an_engine() -> None:
    [rule] = tree().one("NetworkPolicy", "chat")["spec"]["ingress"]
    names = [each["podSelector"]["matchLabels"] for each in rule["from"]]
    assert names == [{"hanok.dev/reads": "platform"}, {"app.kubernetes.io/name": "prometheus"}]


def test_every_replica_is_an_endpoint_of_its_own() -> None:
    made_so = tree().plan
    chat, _ = made_so.engines
    assert endpoint_urls(made_so, chat) == [f"http://chat-{each}.chat.models.svc:8000/v1" for each in range(3)]
    assert tree().one("Service", "chat")["spec"]["clusterIP"] == "None"


def test_no_engine_is_put_on_a_gpu_that_vllms_image_has_no_code_for() -> None:
    served = "serve: {engine: sentence-encoder}, deploy: {weights: Qwen/Qwen3-Embedding-0.6B}"
    pools = made(f"name: acme\nmodels: [{{name: embed, type: embedding, {served}}}]\n").all("NodePool")
    wanted = [each for pool in pools for each in pool["spec"]["template"]["spec"]["requirements"]]
    assert {value for each in wanted if each["key"] == "kubernetes.io/arch" for value in each["values"]} == {"amd64"}


def test_the_number_of_scaled_replicas_is_left_to_keda() -> None:
    assert "replicas" not in tree().one("StatefulSet", "chat")["spec"]
    assert tree().one("StatefulSet", "embed")["spec"]["replicas"] == 1


def test_a_model_that_no_machine_holds_is_spread_over_a_group_of_pods() -> None:
    spread = tree(HUGE)
    group = spread.one("LeaderWorkerSet", "huge-group")["spec"]["leaderWorkerTemplate"]
    assert group["size"] == 2
    leader, worker = (group[each]["spec"]["containers"][0] for each in ("leaderTemplate", "workerTemplate"))
    assert {"--tensor-parallel-size=8", "--pipeline-parallel-size=2", "--nnodes=2", "--node-rank=0"} < set(
        leader["args"]
    )
    assert "--headless" in worker["args"]
    assert "readinessProbe" not in worker
    assert leader["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert leader["resources"]["limits"]["vpc.amazonaws.com/efa"] == "32"
    for part in ("leaderTemplate", "workerTemplate"):
        affinity = group[part]["spec"]["affinity"]["podAffinity"]
        [near] = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
        assert near["podAffinityTerm"]["matchLabelKeys"] == ["leaderworkerset.sigs.k8s.io/group-key"]
        assert near["podAffinityTerm"]["topologyKey"] == "topology.kubernetes.io/zone"
    security = spread.one("HelmRelease", "lws")["spec"]["values"]["podSecurityContext"]
    space = spread.one("Namespace", "lws-system")["metadata"]["labels"]
    assert space["pod-security.kubernetes.io/enforce"] == "restricted"
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}, "its namespace takes no pod without one"
    [own] = spread.plan.engines
    assert endpoint_urls(spread.plan, own) == ["http://huge-group-0.huge-group.models.svc:8000/v1"]


def test_a_pair_hands_over_keys_and_values() -> None:
    for role in ("prefill", "decode"):
        body = tree(PAIR).one("StatefulSet", f"chat-{role}")
        [config] = [each for each in engine(body)["args"] if each.startswith("--kv-transfer-config=")]
        assert json.loads(config.partition("=")[2])["kv_connector"] == "NixlConnector"
        assert body["spec"]["template"]["metadata"]["labels"]["llm-d.ai/role"] == role
    peers = tree(PAIR).one("NetworkPolicy", "chat-decode")["spec"]["ingress"][1]
    assert peers == {"from": [{"podSelector": {"matchLabels": {"hanok.dev/model": "chat"}}}]}


def test_weights_are_kept_where_all_share_them() -> None:
    lustre = "storage: {fsx: {subnet: subnet-0a1b2c, security_groups: [sg-0a1b2c]}}"
    shared = made(PLATFORM.replace("serving: {token: null}", f"serving: {{token: null, weights: fsx}}, {lustre}"))
    claim = shared.one("PersistentVolumeClaim", "weights")["spec"]
    assert claim["resources"]["requests"]["storage"] == "1200Gi"
    assert claim["accessModes"] == ["ReadWriteMany"]
    volumes = shared.one("StatefulSet", "chat")["spec"]["template"]["spec"]["volumes"]
    assert volumes[0]["persistentVolumeClaim"] == {"claimName": "weights"}


def test_the_token_comes_from_the_store() -> None:
    with_token = made(PLATFORM.replace("token: null", "token: HUB"))
    [entry] = with_token.one("ExternalSecret", "hugging-face")["spec"]["data"]
    assert entry["remoteRef"]["key"] == "production/acme/HUB"
    env = engine(with_token.one("StatefulSet", "chat"))["env"]
    [token] = [each["valueFrom"]["secretKeyRef"] for each in env if each["name"] == "HF_TOKEN"]
    assert token == {"name": "hugging-face", "key": "token"}


@pytest.mark.parametrize("text", [PLATFORM, HUGE, PAIR], ids=["one machine", "several machines", "a pair"])
def test_preflight_finds_nothing_in_it(text: str, tmp_path: Path) -> None:
    assert faults(tree(text), tmp_path) == []


# --- What is refused --------------------------------------------------------------------------------------------------


def refused(text: str, **more: Any) -> Problem:
    with pytest.raises(SpecError) as error:
        made(text, **more)
    [problem] = error.value.problems
    return problem


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("swap-space: 4", "no `swap-space` any more"),
        ("max-num-seq: 64", "is no flag of vLLM"),
        ("port: 9000", "follows from the cluster"),
    ],
)
def test_a_flag_that_this_vllm_does_not_have_is_refused_by_its_line(flag: str, said: str) -> None:
    problem = refused(PLATFORM.replace("max-num-seqs: 64", flag))
    assert said in problem.message
    assert (problem.line, problem.path) == (4, f"models[0].serve.flags.{flag.partition(':')[0]}")


def test_a_split_that_no_machine_has_is_refused() -> None:
    assert (
        "as its flags say" in refused(PLATFORM.replace("tensor-parallel-size: 4", "tensor-parallel-size: 16")).message
    )


def test_weights_that_are_published_otherwise_are_refused() -> None:
    problem = refused(PLATFORM.replace("context_tokens: 8192,", "context_tokens: 8192, quantization: awq,"))
    assert problem.path == "models[1].deploy.quantization"


def test_a_file_system_of_aws_is_refused_elsewhere() -> None:
    text = PLATFORM.replace("token: null", "token: null, weights: efs")
    assert refused(text, target="kubernetes").path == "cluster.serving.weights"
    assert made(text.replace("efs", "efs, storage_class: nfs"), target="kubernetes")


def test_an_engine_at_a_clusters_own_address_gives_way_where_its_model_has_deploy() -> None:
    text = (
        CHAT.split("    serve:")[0]
        + """\
    serve:
      - {engine: openai, url: "http://HOST:8000/v1", model: big, key: "${env:KEY}"}
      - {engine: openai, url: "https://api.example.com/v1", key: "${env:KEY}"}
    deploy: {weights: Qwen/Qwen3-8B, flags: {tool-call-parser: hermes, enable-auto-tool-choice: true}}
"""
    )
    tree = made(text.replace("HOST", "vllm.ai.svc"))
    container = tree.one("StatefulSet", "chat")["spec"]["template"]["spec"]["containers"][0]
    assert {"--tool-call-parser=hermes", "--enable-auto-tool-choice"} <= set(container["args"])
    config = tree.one("ConfigMap", "hanok-config")["data"]["platform.yaml"]
    assert "vllm.ai.svc" not in config
    assert "https://api.example.com/v1" in config
    assert "in place of http://vllm.ai.svc:8000/v1" in tree.files["APPLY.md"]


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("vllm", True),
        ("vllm.ai.svc.cluster.local", True),
        ("vllm.ai", False),
        ("svc.example.com", False),
        ("fd00::1", False),
    ],
)
def test_hosts_that_only_a_cluster_knows(host: str, inside: bool) -> None:
    assert is_in_cluster(host) is inside


def test_flags_in_deploy_are_held_to_vllms_own_by_their_line() -> None:
    text = (
        CHAT.split("    serve:")[0]
        + """\
    serve: {engine: echo}
    deploy:
      weights: Qwen/Qwen3-8B
      flags:
        tool-call-parsers: hermes
"""
    )
    with pytest.raises(SpecError) as caught:
        made(text)
    assert (caught.value.problems[0].line, caught.value.problems[0].path[-5:]) == (8, "rsers")
    with pytest.raises(SpecError, match=r"`max-model-len` is `context_tokens` here"):
        made(text.replace("tool-call-parsers: hermes", "max-model-len: 4096"))
