"""Jobs beside the models: queues and shares, training over EFA, and file systems."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hanok.errors import SpecError
from hanok.kubernetes.places import GATEWAY, MLFLOW, engine_url
from hanok.kubernetes.store import write_tree
from hanok.preflight import Case, gather, preflight
from hanok.spec import Target
from tests.rooms.kubernetes.rendering import Made, faults, made
from tests.rooms.preflight.conftest import facts

PLATFORM = """\
name: acme
models:
  - name: chat
    serve: {engine: vllm, model: meta-llama/Llama-3.1-8B-Instruct, flags: {max-model-len: 8192}}
    deploy: {gpu: [g6e.xlarge], concurrency: 1}
    scale: {min: 2, max: 3}
teams: [{name: search}, {name: shop}]
cluster:
  serving: {weights: fsx}
  storage: {fsx: {subnet: subnet-0a1b2c, security_groups: [sg-0a1b2c]}}
  jobs: {kueue: true, trainer: true, ray: true, gpus: 16, efa: true, placement_group: train, fsx_gib: 2400}
  teams: [{team: search, gpus: 4}]
  observe: {collector: false}
"""


@cache
def tree(target: Target = "eks", text: str = PLATFORM) -> Made:
    return made(text, target=target)


def quotas(found: Made, queue: str, flavor: str) -> dict[str, Any]:
    [group] = found.one("ClusterQueue", queue)["spec"]["resourceGroups"]
    [kept] = [each for each in group["flavors"] if each["name"] == flavor]
    return {each["name"]: each["nominalQuota"] for each in kept["resources"]}


def test_each_team_has_its_share_and_the_rest_is_lent() -> None:
    found = tree()
    own, nobodys = quotas(found, "team-search", "jobs"), quotas(found, "shared", "jobs")
    assert (own["nvidia.com/gpu"], own["vpc.amazonaws.com/efa"]) == ("4", "16")
    assert nobodys["nvidia.com/gpu"] == "12"
    assert quotas(found, "team-shop", "general") == {
        "cpu": "16", "memory": "64Gi", "nvidia.com/gpu": "0", "vpc.amazonaws.com/efa": "0",
    }  # fmt: skip
    spec = found.one("ClusterQueue", "team-search")["spec"]
    assert (spec["cohortName"], spec["preemption"]["reclaimWithinCohort"]) == ("platform", "Any")
    assert spec["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "team-search"}}


def test_jobs_are_queued_by_one_name_in_every_namespace() -> None:
    queues = {each["metadata"]["namespace"]: each["spec"]["clusterQueue"] for each in tree().all("LocalQueue")}
    assert queues == {"team-search": "team-search", "team-shop": "team-shop", "jobs": "shared"}
    assert {each["metadata"]["name"] for each in tree().all("LocalQueue")} == {"jobs"}


def test_what_is_lent_is_not_refused_by_the_teams_quota() -> None:
    [quota] = [each for each in tree().all("ResourceQuota") if each["metadata"]["namespace"] == "team-search"]
    hard = quota["spec"]["hard"]
    assert hard["requests.nvidia.com/gpu"] == "16"
    [job] = tree().one("ClusterTrainingRuntime", "torch")["spec"]["template"]["spec"]["replicatedJobs"]
    requests = job["template"]["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
    assert float(hard["requests.cpu"]) > 2 * float(requests["cpu"]), "all 16 GPUs are two whole machines"
    assert float(hard["limits.memory"].removesuffix("Gi")) * 1024 > 2 * float(requests["memory"].removesuffix("Mi"))


def test_machines_of_jobs_have_efa_on_each_network_card() -> None:
    spec = tree().one("EC2NodeClass", "jobs")["spec"]
    faces = spec["networkInterfaces"]
    assert faces[:3] == [
        {"networkCardIndex": 0, "deviceIndex": 0, "interfaceType": "interface"},
        {"networkCardIndex": 0, "deviceIndex": 1, "interfaceType": "efa-only"},
        {"networkCardIndex": 1, "deviceIndex": 0, "interfaceType": "efa-only"},
    ]
    assert len(faces) == 33
    assert spec["placementGroupSelector"] == {"name": "train"}
    assert tree().one("NodePool", "jobs")["spec"]["limits"] == {"nvidia.com/gpu": "16"}
    auto = tree("eks-auto").one("NodeClass", "jobs")["spec"]["advancedNetworking"]["networkInterfaces"]
    assert auto[0]["secondaryIPv4PrefixCount"] == 1
    plugin = tree().one("HelmRelease", "efa-device-plugin")["spec"]["values"]
    assert plugin["supportedInstanceLabels"]["values"] == ["p5.48xlarge"]


def test_training_takes_whole_machines() -> None:
    [job] = tree().one("ClusterTrainingRuntime", "torch")["spec"]["template"]["spec"]["replicatedJobs"]
    pod = job["template"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"hanok.dev/workload": "jobs"}
    space = tree().one("Namespace", "team-search")["metadata"]["labels"]
    assert space["pod-security.kubernetes.io/enforce"] == "restricted", "so a team's training is nobody's root"
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 1000)
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    limits = pod["containers"][0]["resources"]["limits"]
    assert (limits["nvidia.com/gpu"], limits["vpc.amazonaws.com/efa"]) == ("8", "32")


def test_the_operator_of_ray_reaches_jobs_of_ray() -> None:
    release = tree().one("HelmRelease", "kuberay-operator")["metadata"]["namespace"]
    for space in ("jobs", "team-search"):
        [policy] = [
            each for each in tree().all("NetworkPolicy")
            if each["metadata"]["namespace"] == space and each["metadata"]["name"] == "own-pods-only"
        ]  # fmt: skip
        _, operator = policy["spec"]["ingress"][0]["from"]
        assert operator["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": release}


TRAINS = PLATFORM.replace("collector: false", "collector: false, mlflow: true")
OUT = {
    "HF_ENDPOINT": "https://huggingface.co",
    "S3_ENDPOINT": "https://s3.us-west-2.amazonaws.com",
    "STS_ENDPOINT": "https://sts.us-west-2.amazonaws.com",
    "MLFLOW_TRACKING_URI": MLFLOW,
    "OPENAI_BASE_URL": GATEWAY,
}
"""What a training job calls."""


def stopped(found: Made, folder: Path, workload: str) -> set[str]:
    """What a workload of a team cannot call, as preflight proves it of the tree, of all that `OUT` names and more."""
    calls = {**OUT, "ENGINE_URL": engine_url("chat"), "STORE_ENDPOINT": "http://store.example.com:9000"}
    listed = ", ".join(f"{{name: {key}, value: '{value}'}}" for key, value in calls.items())
    pod = f"{{restartPolicy: Never, containers: [{{name: own, image: 'example.com/own:1', env: [{listed}]}}]}}"
    write_tree(found.files, folder / "tree")
    (folder / "own.yaml").write_text(f"{workload.replace('POD', pod)}\n---\n{SERVED}")
    report = preflight(Case(cluster=gather([folder]).cluster, facts=facts()))
    told = [each for each in report.findings if each.rule.id == "HK234"]
    assert all(each.file.endswith("own.yaml") for each in told), "nothing that is rendered is stopped"
    return {key for key, value in calls.items() if any(_host(value) in each.message for each in told)}


def _host(url: str) -> str:
    """How messages call who is called: a Service by its name, what is outside by its host."""
    host = urlsplit(url).hostname or ""
    name, _, space = host.removesuffix(".svc").partition(".")
    return f"{space}/{name} " if host.endswith(".svc") else host


SERVED = """\
apiVersion: v1
kind: Service
metadata: {name: mlflow, namespace: observability}
spec: {selector: {app.kubernetes.io/name: mlflow, app.kubernetes.io/instance: mlflow}, ports: [{port: 5000}]}
"""
"""MLflow's Service, as its chart makes it."""
JOB = "{apiVersion: batch/v1, kind: Job, metadata: {name: own, namespace: team-search}, spec: {template: {spec: POD}}}"


def test_a_teams_job_fetches_its_weights_and_data_and_tells_mlflow(tmp_path: Path) -> None:
    past_the_door = {"ENGINE_URL", "STORE_ENDPOINT"}
    assert stopped(tree(text=TRAINS), tmp_path / "jobs", JOB) == past_the_door
    no_jobs = re.sub(r"  jobs: .*\n", "", TRAINS.replace("gpus: 4", "gpus: 0"))
    assert stopped(tree(text=no_jobs), tmp_path / "none", JOB) == {*past_the_door, *OUT} - {"OPENAI_BASE_URL"}


def ways_out(found: Made) -> dict[str, Any]:
    """What is said of pods that leave a team's namespace, by the policy's name."""
    mine = [each for each in found.all("NetworkPolicy") if each["metadata"]["namespace"] == "team-search"]
    return {each["metadata"]["name"]: each["spec"] for each in mine if "Egress" in each["spec"]["policyTypes"]}


def test_what_is_let_out_are_pods_of_jobs_and_nothing_else_of_a_teams() -> None:
    found = ways_out(tree(text=TRAINS))
    assert found.pop("to-the-door")["podSelector"] == {}
    assert {name: each["podSelector"] for name, each in found.items()} == {
        "jobs-to-the-world": {"matchExpressions": [{"key": "batch.kubernetes.io/job-name", "operator": "Exists"}]},
        "ray-to-the-world": {"matchExpressions": [{"key": "ray.io/cluster", "operator": "Exists"}]},
    }
    assert ways_out(tree(text=TRAINS.replace("ray: true, ", ""))).keys() == {"to-the-door", "jobs-to-the-world"}


def test_jobs_ask_the_agent_of_their_node_for_their_role_on_eks_alone() -> None:
    rules = ways_out(tree(text=TRAINS))["jobs-to-the-world"]["egress"]
    agents = [each for each in rules if each["ports"] == [{"protocol": "TCP", "port": 80}]]
    assert [peer["ipBlock"]["cidr"] for each in agents for peer in each["to"]] == [
        "169.254.170.23/32",
        "fd00:ec2::23/128",
    ]
    assert ways_out(tree("kubernetes", OWN))["jobs-to-the-world"]["egress"] == [
        {"ports": [{"protocol": "TCP", "port": 443}]}
    ]


def test_mlflow_lets_in_jobs_of_teams_and_nothing_else_of_theirs() -> None:
    def lets_in(text: str) -> list[tuple[object, object]]:
        [rule] = tree(text=text).one("NetworkPolicy", "mlflow")["spec"]["ingress"]
        teams = [each for each in rule["from"] if "matchExpressions" in each.get("namespaceSelector", {})]
        return [
            (space["values"], pods["key"])
            for each in teams
            for space in each["namespaceSelector"]["matchExpressions"]
            for pods in each["podSelector"]["matchExpressions"]
        ]

    both = ["team-search", "team-shop"]
    assert lets_in(TRAINS) == [(both, "batch.kubernetes.io/job-name"), (both, "ray.io/cluster")]
    assert lets_in(re.sub(r"  jobs: .*\n", "", TRAINS.replace("gpus: 4", "gpus: 0"))) == []


def test_a_pattern_says_how_a_pod_asks_for_machines_of_jobs() -> None:
    pod = tree().one("PodTemplate", "gpu-job")["template"]["spec"]
    pool = tree().one("NodePool", "jobs")["spec"]["template"]
    assert pod["nodeSelector"].items() <= pool["metadata"]["labels"].items()
    assert pod["securityContext"]["runAsNonRoot"], "namespaces of teams take no other"
    assert pod["tolerations"][0]["key"] == pool["spec"]["taints"][0]["key"]


def test_jobs_are_put_near_one_another_where_their_machines_stay() -> None:
    assert not tree().all("Topology")
    always = tree(text=PLATFORM.replace("jobs: {", "jobs: {always: true, "))
    assert always.one("ResourceFlavor", "jobs")["spec"]["topologyName"] == "jobs"
    assert always.one("Topology", "jobs")["spec"]["levels"][-1] == {"nodeLabel": "kubernetes.io/hostname"}
    assert always.one("NodePool", "jobs")["spec"]["replicas"] == 2


def test_disks_are_encrypted_and_made_where_their_pods_stand() -> None:
    disks = tree().one("StorageClass", "gp3")
    assert disks["parameters"] == {"type": "gp3", "encrypted": "true"}
    assert disks["volumeBindingMode"] == "WaitForFirstConsumer"
    assert tree("eks-auto").one("StorageClass", "gp3")["provisioner"] == "ebs.csi.eks.amazonaws.com"
    shared = tree().one("PersistentVolumeClaim", "weights")["spec"]["storageClassName"]
    lustre = tree().one("StorageClass", shared)
    assert (lustre["provisioner"], lustre["parameters"]["subnetId"]) == ("fsx.csi.aws.com", "subnet-0a1b2c")
    driver = tree().one("HelmRelease", "fsx-csi-driver")["spec"]["values"]
    assert driver["csidriver"]["fsGroupPolicy"] == "File", "engines are not root, and a new Lustre is root's"
    assert tree().one("PersistentVolumeClaim", "shared")["spec"]["resources"]["requests"] == {"storage": "2400Gi"}


@pytest.mark.parametrize("target", ["eks", "eks-auto"])
def test_preflight_finds_nothing_in_it(target: Target, tmp_path: Path) -> None:
    assert faults(tree(target), tmp_path) == []


OWN = """\
models: [{name: chat, serve: {engine: echo}}]
teams: [{name: search}]
cluster:
  jobs: {kueue: true, trainer: true, ray: true, gpus: 8, gpu: l40s, machine: {gpus: 2, cpu: 60, memory_gib: 240}}
  teams: [{team: search, gpus: 4}]
"""


def test_jobs_are_given_what_machines_of_ones_own_have(tmp_path: Path) -> None:
    found = tree("kubernetes", OWN)
    assert quotas(found, "team-search", "jobs") == {"cpu": "120", "memory": "491520Mi", "nvidia.com/gpu": "4"}
    assert quotas(found, "shared", "jobs")["nvidia.com/gpu"] == "4"
    [job] = found.one("ClusterTrainingRuntime", "torch")["spec"]["template"]["spec"]["replicatedJobs"]
    limits = job["template"]["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"memory": "221184Mi", "nvidia.com/gpu": "2"}
    [told] = [each.message for each in found.rendered.notes if "give jobs" in each.message]
    assert "4 or more nodes that have 2 l40s each, and 60 processors and 240 GiB for pods" in told
    assert faults(found, tmp_path) == []


def test_machines_of_ones_own_may_be_like_a_type_of_aws() -> None:
    alike = OWN.replace("gpu: l40s, machine: {gpus: 2, cpu: 60, memory_gib: 240}", "gpu: g6e.12xlarge")
    assert quotas(tree("kubernetes", alike), "team-search", "jobs")["nvidia.com/gpu"] == "4"


def test_a_gpu_alone_says_nothing_of_a_machine() -> None:
    alone = OWN.replace(", machine: {gpus: 2, cpu: 60, memory_gib: 240}", "")
    for target in ("kubernetes", "eks-auto"):
        with pytest.raises(SpecError) as found:
            made(alone, target=target)
        [problem] = found.value.problems
        assert (problem.line, problem.path) == (4, "cluster.jobs.gpu")
        assert "g6e.12xlarge (4)" in (problem.hint or "")
    with pytest.raises(SpecError) as found:
        made(OWN, target="eks")
    assert "cluster.jobs.machine" in [each.path for each in found.value.problems]


def test_what_is_of_aws_alone_is_refused_on_machines_of_ones_own() -> None:
    aws = OWN.replace("gpus: 8,", "gpus: 8, efa: true, placement_group: near, fsx_gib: 2400,")
    with pytest.raises(SpecError) as found:
        made(aws, target="kubernetes")
    paths = [each.path for each in found.value.problems]
    assert paths == ["cluster.jobs.efa", "cluster.jobs.placement_group", "cluster.jobs.fsx_gib"]


def test_what_is_missing_is_refused_by_its_line() -> None:
    def refused(old: str, new: str) -> list[str]:
        with pytest.raises(SpecError) as found:
            made(PLATFORM.replace(old, new))
        return [each.path for each in found.value.problems]

    assert refused("gpus: 4", "gpus: 20") == ["cluster.jobs.gpus"]
    assert refused("gpus: 16,", "gpus: 16, gpu: g6e.xlarge,") == ["cluster.jobs.efa"]
    assert refused("gpus: 16,", "gpus: 16, gpu: p9.huge,") == ["cluster.jobs.gpu"]
    assert refused("storage: {fsx: {subnet: subnet-0a1b2c, security_groups: [sg-0a1b2c]}}", "name: acme") == [
        "cluster.jobs.fsx_gib"
    ]
