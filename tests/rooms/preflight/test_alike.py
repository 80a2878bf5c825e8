"""Pods that are alike are looked at once, and told of one by one."""

from __future__ import annotations

from tests.rooms.preflight.conftest import Look, ids, look_by
from tests.rooms.preflight.test_scheduling_seats import manifest, pods, pool, text

look = look_by("HK1", "HK3")
CLAIM = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
FAMILY = "karpenter.k8s.aws/instance-family"


def test_a_fault_is_told_of_every_pod_that_has_it(look: Look) -> None:
    faulty = [pods(name, requests={"cpu": "2x", "memory": "-1Gi"}, dnsPolicy="None") for name in ("a", "b", "c")]
    report = look(text(pods("sound", requests={}), *faulty, pods("sound-too", requests={})))
    for rule in ("HK104", "HK124", "HK134"):
        told = [each.object for each in report.findings if each.rule.id == rule]
        assert told == [f"Deployment default/{name}" for name in ("a", "b", "c")], rule
    assert not any("sound" in each.object and each.severity == "error" for each in report.findings)


def test_pods_are_alike_only_with_the_same_types_of_values(look: Look) -> None:
    """To Python, 1 and true are equal; to the API server they are not."""
    right, wrong = (pods(name, requests={}, terminationGracePeriodSeconds=value) for name, value in _GRACE.items())
    report = look(text(right, wrong))
    assert [each.object for each in report.findings if each.rule.id == "HK103"] == ["Deployment default/wrong"]


_GRACE = {"right": 1, "wrong": True}


def test_a_mount_is_of_the_stateful_sets_own_claims(look: Look) -> None:
    inner = pods(requests={})["spec"]
    inner["template"]["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    with_claim = manifest("apps/v1", "StatefulSet", {**inner, "volumeClaimTemplates": [CLAIM]}, "with-claim")
    without = manifest("apps/v1", "StatefulSet", inner, "without")
    report = look(text(with_claim, without))
    assert [each.object for each in report.findings if each.rule.id == "HK128"] == ["StatefulSet default/without"]


def test_pods_of_one_spec_ask_for_more_where_a_limit_range_says_so(look: Look) -> None:
    """No type of the pool has 900 GiB."""
    limits = [{"type": "Container", "defaultRequest": {"memory": "900Gi"}}]
    ranged = {**manifest("v1", "LimitRange", {"limits": limits}), "metadata": {"name": "x", "namespace": "ranged"}}
    spec = {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}
    plain, more = (manifest("v1", "Pod", spec, name) for name in ("plain", "more"))
    more["metadata"]["namespace"] = "ranged"
    report = look(text(pool((FAMILY, "In", ["g5"])), ranged, plain, more))
    assert [each.object for each in report.findings if each.rule.id == "HK301"] == ["Pod ranged/more"]


def test_every_pod_without_a_seat_is_told_of(look: Look) -> None:
    report = look(text(pool((FAMILY, "In", ["g5"])), *(pods(name, requests={"nvidia.com/gpu": "9"}) for name in "ab")))
    assert ids(report).count("HK301") == 2
