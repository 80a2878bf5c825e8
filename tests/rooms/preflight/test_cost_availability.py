"""Availability: what is found in manifests that would run but not stay up, and what is left in peace."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from hanok.preflight import Report, gather
from hanok.preflight import preflight as prove
from hanok.preflight.case import Case
from tests.rooms.preflight.conftest import SEEDS, Look, facts, ids, only

Body = dict[str, Any]
GPU = {"requests": {"cpu": 4, "memory": "24Gi"}, "limits": {"memory": "24Gi", "nvidia.com/gpu": 1}}
SMALL = {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "512Mi"}}
LAYER = "cost and availability"


def workload(
    name: str = "vllm", *, kind: str = "Deployment", image: str = "vllm/vllm-openai:v0.33.0", top: Body | None = None,
    spec: Body | None = None, container: Body | None = None, annotations: Body | None = None, **more: Any,
) -> Body:  # fmt: skip
    """Two engines on a GPU each, unless it is said otherwise."""
    engine = {"args": ["Qwen/Qwen3-8B", "--max-model-len=8192"], "resources": GPU} if "vllm" in image else {}
    inner = {"name": name, "image": image, "resources": SMALL, **engine, **(container or {})}
    template = {
        "metadata": {"labels": {"app": name}, "annotations": annotations or {}},
        "spec": {"containers": [inner], **(spec or {})},
    }
    labels = {"matchLabels": {"app": name}}
    body = {"replicas": 2, "selector": labels, "template": template, **more, **(top or {})}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": body}


def service(name: str, **more: Any) -> Body:
    spec = {"selector": {"app": name}, "ports": [{"port": 8000}], **more}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def guard(name: str = "vllm", **spec: Any) -> Body:
    return {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, **spec},
    }  # fmt: skip


def pool(
    name: str = "gpu", *, types: tuple[str, ...] = ("g6.2xlarge",), capacity: tuple[str, ...] = ("on-demand",),
    disruption: Body | None = None, annotations: Body | None = None, limits: Body | None = None, **more: Any,
) -> Body:  # fmt: skip
    requirements = [
        {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": list(types)},
        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": list(capacity)},
    ]
    reference = {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "gpu"}
    spec = {"requirements": requirements, "nodeClassRef": reference, **more}
    template = {"metadata": {"labels": {"pool": name}, "annotations": annotations or {}}, "spec": spec}
    empty = {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "10m"}
    body = {"template": template, "disruption": empty if disruption is None else disruption, "limits": limits or {}}
    return {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": name}, "spec": body}


def scaler(kind: str, target: str = "vllm", **spec: Any) -> Body:
    version = "autoscaling/v2" if kind == "HorizontalPodAutoscaler" else "keda.sh/v1alpha1"
    reference = {"kind": "Deployment", "name": target}
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": target},
        "spec": {"scaleTargetRef": reference, **spec},
    }


def job(kind: str = "Job", *, spec: Body | None = None, gpu: bool = False, **outer: Any) -> Body:
    pod = {
        "restartPolicy": "Never",
        "containers": [{"name": "work", "image": "registry.example/work:1", "resources": GPU if gpu else SMALL}],
    }
    inner = {"template": {"spec": pod}, **(spec or {})}
    body = inner if kind == "Job" else {"schedule": "0 2 * * *", "jobTemplate": {"spec": inner}, **outer}
    return {"apiVersion": "batch/v1", "kind": kind, "metadata": {"name": "work"}, "spec": body}


def found(look: Look, *bodies: Body) -> Report:
    return look(yaml.safe_dump_all(bodies, sort_keys=False))


def weights(report: Report, rule: str) -> list[str]:
    return [each.severity for each in report.findings if each.rule.id == rule]


OPEN = {"type": "LoadBalancer"}
METRICS = {"ports": [{"port": 9090, "name": "metrics"}]}


@pytest.mark.parametrize(
    ("bodies", "severity"),
    [
        ([workload(replicas=1)], ["warning"]),
        ([workload(replicas=1, top={"replicas": None})], ["warning"]),
        ([workload(replicas=2)], []),
        ([workload(replicas=0)], []),
        ([workload(), scaler("HorizontalPodAutoscaler", minReplicas=1, maxReplicas=4)], ["info"]),
        ([workload("door", image="ghcr.io/berriai/litellm:main", replicas=1), service("door")], ["warning"]),
        ([workload("door", image="registry.example/door:1", replicas=1), service("door", **OPEN)], ["warning"]),
        ([workload("inner", image="registry.example/inner:1", replicas=1), service("inner")], ["info"]),
        ([workload("inner", image="registry.example/inner:1", replicas=1)], []),
        ([workload("inner", image="registry.example/inner:1", replicas=1), service("inner", **METRICS)], []),
        ([workload("grafana", image="grafana/grafana:12.0.0", replicas=1), service("grafana", **OPEN)], ["info"]),
        ([workload("cache", image="redis:8", replicas=1), service("cache", **OPEN)], ["info"]),
        (
            [
                workload("boss", image="x.example/nginx:1", replicas=1, container={"args": ["--leader-elect"]}),
                service("boss"),
            ],
            ["info"],
        ),
        ([job(gpu=True)], []),
    ],
)
def test_one_replica_is_worth_a_warning_where_callers_wait_for_it(
    look: Look, bodies: list[Body], severity: list[str]
) -> None:
    assert weights(found(look, *bodies), "HK610") == severity


def test_a_door_behind_an_ingress_or_a_route_is_on_the_path(look: Look) -> None:
    door = [workload("door", image="registry.example/door:1", replicas=1), service("door")]
    back = {"service": {"name": "door", "port": {"number": 8000}}}
    rules = [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": back}]}}]
    ingress = {
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "x"}, "spec": {"rules": rules},
    }  # fmt: skip
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "x"},
        "spec": {"rules": [{"backendRefs": [{"name": "door", "port": 8000}]}]},
    }  # fmt: skip
    assert weights(found(look, *door, ingress), "HK610") == ["warning"]
    assert weights(found(look, *door, route), "HK610") == ["warning"]


@pytest.mark.parametrize(
    ("spec", "severity"),
    [
        ({"minAvailable": 2}, ["warning"]),
        ({"minAvailable": "90%"}, ["warning"]),
        ({"maxUnavailable": 0}, ["warning"]),
        ({"maxUnavailable": "0%"}, ["warning"]),
        ({"minAvailable": 1}, []),
        ({"minAvailable": "50%"}, []),
        ({"maxUnavailable": "1%"}, []),
        ({"minAvailable": "all"}, []),
    ],
)
def test_a_budget_that_lets_no_pod_go_is_found(look: Look, spec: Body, severity: list[str]) -> None:
    assert weights(found(look, workload(), guard(**spec)), "HK612") == severity


def test_a_budget_that_lets_none_go_only_at_the_fewest_replicas_is_mentioned(look: Look) -> None:
    scaled = scaler("HorizontalPodAutoscaler", minReplicas=2, maxReplicas=6)
    assert weights(found(look, workload(), scaled, guard(minAvailable=2)), "HK612") == ["info"]


def test_a_budget_in_another_namespace_guards_nothing(look: Look) -> None:
    other = guard(maxUnavailable=1)
    other["metadata"]["namespace"] = "other"
    assert weights(found(look, workload(), other), "HK611") == ["warning"]
    assert weights(found(look, workload(), guard(maxUnavailable=1)), "HK611") == []
    assert weights(found(look, workload(), guard(maxUnavailable=1, selector={})), "HK611") == []


@pytest.mark.parametrize(
    ("body", "severity"),
    [
        (workload("db", kind="StatefulSet", image="docker.io/library/postgres:18"), ["warning"]),
        (workload("db", kind="StatefulSet", image="redis:8"), ["warning"]),
        (workload("db", image="redis:8"), ["info"]),
        (workload("db", image="redis:8", container={"args": ["--appendonly", "yes"]}), ["warning"]),
        (workload("db", image="redis:8", container={"args": ["--save", "", "--appendonly", "no"]}), ["info"]),
        (workload("db", image="qdrant/qdrant:v1.15.4"), ["warning"]),
        (workload("db", image="prometheuscommunity/postgres-exporter:v0.18"), []),
        (workload("db", image="postgres:18", container={"command": ["psql", "-c", "select 1"]}), []),
        (workload("db", image="postgres:18", spec={"volumes": [{"name": "a", "persistentVolumeClaim": {}}]}), []),
        (workload("db", kind="StatefulSet", image="postgres:18", top={"volumeClaimTemplates": [{"metadata": {}}]}), []),
        (workload("db", image="postgres:18", spec={"volumes": [{"name": "a", "emptyDir": {}}]}), ["warning"]),
    ],
)
def test_a_database_needs_a_volume_that_stays(look: Look, body: Body, severity: list[str]) -> None:
    assert weights(found(look, body), "HK614") == severity


MOVING = {"consolidationPolicy": "WhenEmptyOrUnderutilized", "consolidateAfter": "5m"}
KEEP = {"karpenter.sh/do-not-disrupt": "true"}
SHUT = [{"nodes": "0", "reasons": ["Underutilized"]}]


@pytest.mark.parametrize(
    ("bodies", "severity"),
    [
        ([workload(), pool(disruption=MOVING)], ["warning"]),
        ([workload(), pool(disruption={})], ["warning"]),
        ([workload(), pool(disruption={"consolidationPolicy": "Balanced"})], ["warning"]),
        ([workload(), guard(maxUnavailable=1), pool(disruption=MOVING)], ["info"]),
        ([workload(), pool()], []),
        ([workload(), pool(disruption={**MOVING, "consolidateAfter": "Never"})], []),
        ([workload(), pool(disruption={**MOVING, "budgets": SHUT})], []),
        ([workload(), pool(disruption={**MOVING, "budgets": [{"nodes": "0", "reasons": ["Drifted"]}]})], ["warning"]),
        ([workload(), pool(disruption={**MOVING, "budgets": [{"nodes": "20%"}]})], ["warning"]),
        ([workload(annotations=KEEP), pool(disruption=MOVING)], []),
        ([workload(), pool(disruption=MOVING, annotations=KEEP)], []),
        ([workload("door", image="x.example/door:1"), pool(disruption=MOVING, types=("m7i.xlarge",))], []),
        ([job(gpu=True), pool(disruption=MOVING)], []),
    ],
)
def test_model_servers_that_karpenter_moves_are_found(look: Look, bodies: list[Body], severity: list[str]) -> None:
    assert weights(found(look, *bodies), "HK615") == severity


def test_a_pool_that_the_engine_cannot_land_on_is_left_in_peace(look: Look) -> None:
    engine = workload(spec={"nodeSelector": {"pool": "gpu"}})
    report = found(look, engine, pool(), pool("other", disruption=MOVING))
    assert "HK615" not in ids(report)


@pytest.mark.parametrize(
    ("selector", "pools", "count"),
    [
        ({}, [pool(capacity=("spot",))], 1),
        ({}, [pool(capacity=("spot", "on-demand"))], 0),
        ({}, [pool(capacity=("spot",)), pool("more")], 0),
        ({"karpenter.sh/capacity-type": "spot"}, [], 1),
        ({"cloud.google.com/gke-spot": "true"}, [], 1),
        ({"karpenter.sh/capacity-type": "on-demand"}, [pool(capacity=("spot", "on-demand"))], 0),
    ],
)
def test_who_stands_on_spot_alone_is_told(look: Look, selector: Body, pools: list[Body], count: int) -> None:
    report = found(look, workload(spec={"nodeSelector": selector}), *pools)
    assert ids(report).count("HK618") == count


def test_a_database_on_spot_alone_is_told_and_a_job_is_not(look: Look) -> None:
    spot = {"nodeSelector": {"karpenter.sh/capacity-type": "spot"}}
    database = workload("db", kind="StatefulSet", image="postgres:18", spec=spot)
    assert "keeps state on spot" in only(found(look, database), "HK618").message
    lonely = job(gpu=True)
    lonely["spec"]["template"]["spec"] |= spot
    assert "HK618" not in ids(found(look, lonely))


def test_an_update_that_needs_one_gpu_more_than_the_limits_is_found(look: Look) -> None:
    limits = {"nvidia.com/gpu": 2}
    assert "pool gpu may have 2" in only(found(look, workload(), pool(limits=limits)), "HK621").message
    assert "HK621" not in ids(found(look, workload(), pool(limits={"nvidia.com/gpu": 3})))
    assert "HK621" not in ids(found(look, workload(), pool()))
    first = {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}
    assert "HK621" not in ids(found(look, workload(top=first), pool(limits=limits)))
    assert "HK621" not in ids(found(look, workload(top={"strategy": {"type": "Recreate"}}), pool(limits=limits)))
    assert "HK621" not in ids(found(look, workload(replicas=4), pool(limits={"nvidia.com/gpu": 4})))


def test_an_update_takes_a_gpu_that_a_started_node_has_left(look: Look) -> None:
    report = found(look, workload(), pool(types=("g6.12xlarge",), limits={"nvidia.com/gpu": 4}))
    assert "HK621" not in ids(report)


def test_a_longer_life_of_pods_needs_a_longer_grace(look: Look) -> None:
    assert weights(found(look, workload()), "HK620") == ["info"]
    assert weights(found(look, workload(spec={"terminationGracePeriodSeconds": 300})), "HK620") == []
    waits = {"lifecycle": {"preStop": {"sleep": {"seconds": 20}}}}
    assert weights(found(look, workload(container=waits)), "HK620") == []


CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
WAITING = {
    "type": "Pods",
    "pods": {"metric": {"name": "waiting"}, "target": {"type": "AverageValue", "averageValue": 4}},
}


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (scaler("HorizontalPodAutoscaler", maxReplicas=4, metrics=[CPU]), 1),
        (scaler("HorizontalPodAutoscaler", maxReplicas=4), 1),
        (scaler("HorizontalPodAutoscaler", maxReplicas=4, metrics=[CPU, WAITING]), 0),
        (scaler("HorizontalPodAutoscaler", maxReplicas=4, metrics=[WAITING]), 0),
        (scaler("HorizontalPodAutoscaler", "other", maxReplicas=4, metrics=[CPU]), 0),
        (scaler("ScaledObject", triggers=[{"type": "cpu", "metadata": {"value": "70"}}]), 1),
        (scaler("ScaledObject", triggers=[{"type": "prometheus"}, {"type": "cpu"}]), 0),
    ],
)
def test_engines_are_not_to_be_scaled_by_their_cpu(look: Look, body: Body, count: int) -> None:
    assert ids(found(look, workload(), body)).count("HK622") == count


def test_from_none_is_told_in_minutes_and_gibibytes(look: Look) -> None:
    triggers = [{"type": "prometheus"}]
    report = found(look, workload(), scaler("ScaledObject", minReplicaCount=0, triggers=triggers))
    assert "4 minutes or more (15 GiB of weights)" in only(report, "HK623").message
    assert "HK623" in ids(found(look, workload(), scaler("ScaledObject", triggers=triggers)))
    assert "HK623" not in ids(found(look, workload(), scaler("ScaledObject", minReplicaCount=1, triggers=triggers)))


def test_pods_that_ask_for_nothing_are_found_unless_their_namespace_gives_it(look: Look) -> None:
    bare = workload("bare", image="registry.example/bare:1", container={"resources": {}})
    given = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "given"}, "spec": {"limits": []}}
    assert weights(found(look, bare), "HK627") == ["warning"]
    assert weights(found(look, bare, given), "HK627") == []
    beside = workload(
        "bare", image="x.example/a:1", spec={"containers": [{"name": "a"}, {"name": "b", "resources": SMALL}]}
    )
    assert weights(found(look, beside), "HK627") == []


def test_jobs_are_to_end_and_not_to_overlap_on_gpus(look: Look) -> None:
    ends = {"activeDeadlineSeconds": 600, "ttlSecondsAfterFinished": 600}
    assert {"HK629", "HK630"} <= set(ids(found(look, job("CronJob", gpu=True))))
    assert "HK630" not in ids(found(look, job(spec=ends)))
    forbidden = job("CronJob", gpu=True, spec=ends, concurrencyPolicy="Forbid")
    assert not {"HK629", "HK630"} & set(ids(found(look, forbidden)))
    assert "HK629" not in ids(found(look, job("CronJob")))


def test_a_job_that_outlives_its_nodes_is_found(look: Look) -> None:
    week = job(gpu=True, spec={"activeDeadlineSeconds": 7 * 86400})
    assert "may run 168 h" in only(found(look, week, pool(expireAfter="72h")), "HK617").message
    assert "HK617" not in ids(found(look, week, pool(expireAfter="Never")))
    assert "HK617" not in ids(found(look, week, pool(expireAfter="72h"), pool("more", expireAfter="240h")))
    assert "HK617" not in ids(found(look, week, pool()))


@pytest.mark.parametrize(("days", "life", "lives"), [(15, {}, "336 h"), (22, {"expireAfter": "Never"}, "504 h")])
def test_in_auto_mode_no_node_outlives_its_three_weeks(look: Look, days: int, life: Body, lives: str) -> None:
    def told(group: str) -> list[str]:
        reference = {"group": group, "kind": "NodeClass", "name": "gpu"}
        lasting = job(gpu=True, spec={"activeDeadlineSeconds": days * 86400})
        report = found(look, lasting, pool(nodeClassRef=reference, **life))
        return [each.message for each in report.findings if each.rule.id == "HK617"]

    assert [each.endswith(f"replaced after {lives}") for each in told("eks.amazonaws.com")] == [True]
    assert told("karpenter.k8s.aws") == []


def test_a_stack_that_is_well_made_is_clean_of_all_but_information(look: Look) -> None:
    spread = [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}]
    safe = {"topologySpreadConstraints": spread, "terminationGracePeriodSeconds": 300}
    tied = {"securityContext": {"runAsNonRoot": True}, "readinessProbe": {"httpGet": {"path": "/", "port": 8000}}}
    inside = {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "a"},
        "spec": {"podSelector": {}},
    }  # fmt: skip
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "a"},
        "spec": {"hard": {"requests.nvidia.com/gpu": 8}},
    }  # fmt: skip
    report = found(
        look,
        workload(spec=safe, container=tied), service("vllm"), guard(maxUnavailable=1),
        workload("door", image="ghcr.io/berriai/litellm:main-v1.109.1", spec=safe, container=tied),
        service("door", **OPEN), guard("door", maxUnavailable=1),
        pool(capacity=("spot", "on-demand")), pool("general", types=("m7i.xlarge",)), inside, quota,
    )  # fmt: skip
    assert [each.message for each in report.findings if each.layer == LAYER] == []


@pytest.mark.parametrize("shape", [None, 1, "x", [], {}, [1], {"a": 1}])
@pytest.mark.parametrize(
    "path",
    [
        "spec", "spec.template", "spec.template.spec", "spec.strategy", "spec.template.spec.containers",
        "spec.replicas", "spec.template.spec.nodeSelector", "spec.template.spec.securityContext",
    ],
)  # fmt: skip
def test_no_shape_of_a_manifest_breaks_a_check_off(look: Look, path: str, shape: object) -> None:
    bodies = [workload(), service("vllm"), guard(), pool(), scaler("ScaledObject"), scaler("HorizontalPodAutoscaler")]
    for body in bodies:
        *above, last = path.split(".")
        place: Any = body
        for step in above:
            place = place.setdefault(step, {}) if isinstance(place, dict) else {}
        if isinstance(place, dict):
            place[last] = shape
    assert "HK008" not in [each.rule.id for each in found(look, *bodies).findings if each.layer == LAYER]


@pytest.mark.parametrize(
    ("rule", "object_"),
    [
        ("HK615", "NodePool gpu-inference"),
        ("HK611", "Deployment ai-inference/vllm-llama3-70b"),
        ("HK611", "Deployment ai-gateway/litellm-gateway"),
        ("HK620", "Deployment ai-inference/vllm-llama3-70b"),
        ("HK619", "NodePool gpu-spot"),
        ("HK625", "Deployment ai-inference/vllm-llama3-70b"),
        ("HK626", "Deployment ai-inference/vllm-llama3-70b"),
        ("HK624", "Deployment ai-gateway/litellm-gateway"),
        ("HK627", "DaemonSet gpu-monitoring/dcgm-exporter"),
    ],
)
def test_the_article_about_a_platform_shows_each_of_these(rule: str, object_: str) -> None:
    assert (rule, object_) in said_of("agentic-ai-platform.md")


@pytest.mark.parametrize(
    ("rule", "object_"),
    [
        ("HK627", "Deployment ai-gateway/litellm-proxy"),
        ("HK627", "CronJob observability/ragas-evaluation"),
        ("HK625", "Deployment ai-inference/llm-d-router"),
        ("HK626", "Deployment observability/langfuse-web"),
    ],
)
def test_the_article_about_challenges_shows_each_of_these(rule: str, object_: str) -> None:
    assert (rule, object_) in said_of("agentic-ai-challenges.md")


def said_of(name: str) -> set[tuple[str, str]]:
    article = SEEDS / name
    if not article.exists():
        pytest.skip(f"{name} is not on this machine")
    report = prove(Case(cluster=gather([article]).cluster, facts=facts()))
    return {(each.rule.id, each.object) for each in report.findings}
