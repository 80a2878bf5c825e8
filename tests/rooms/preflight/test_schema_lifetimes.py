"""Layer 1, how long EKS Auto Mode lets nodes live."""

from __future__ import annotations

import pytest

from tests.rooms.preflight.conftest import Look, ids, look_by, only

look = look_by("HK136")
AUTO = "eks.amazonaws.com"


def pool(times: str, group: str = AUTO) -> str:
    return f"""
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {{name: gpu}}
spec:
  template:
    spec:
      nodeClassRef: {{group: {group}, kind: NodeClass, name: gpu}}
      requirements: []
{"".join(f"      {line.strip()}" + chr(10) for line in times.split(","))}"""


@pytest.mark.parametrize(
    ("times", "said", "where"),
    [
        ("expireAfter: 720h", "expireAfter 720h and terminationGracePeriod 24h (by default) are 744h", "expireAfter"),
        ("expireAfter: 504h", "are 528h together", "expireAfter"),
        ("expireAfter: 480h, terminationGracePeriod: 24h30m", "are 504.5h together", "expireAfter"),
        ("expireAfter: 336h, terminationGracePeriod: 200h", "are 536h together", "expireAfter"),
        ("terminationGracePeriod: 600h", "terminationGracePeriod 600h; EKS Auto Mode", "terminationGracePeriod"),
    ],
)  # fmt: skip
def test_a_pool_whose_nodes_live_too_long_is_refused_by_auto_mode(
    look: Look, times: str, said: str, where: str
) -> None:
    found = only(look(pool(times)), "HK136")
    assert said in found.message
    assert found.path == f"spec.template.spec.{where}"
    assert found.severity == "error"


@pytest.mark.parametrize(
    "times",
    [
        "expireAfter: 480h",
        "expireAfter: 480h, terminationGracePeriod: 24h0m0s",
        "expireAfter: 503h, terminationGracePeriod: 1h",
        "terminationGracePeriod: 48h",
        "weight: 1",
        "expireAfter: '{{ .Values.life }}'",
        "expireAfter: ${LIFE}, terminationGracePeriod: 600h",
    ],
)
def test_what_lives_no_longer_or_is_not_known_is_left_in_peace(look: Look, times: str) -> None:
    assert ids(look(pool(times))) == []


def test_a_pool_of_karpenters_own_lives_as_long_as_it_likes(look: Look) -> None:
    for times in ("expireAfter: 720h", "expireAfter: Never"):
        assert ids(look(pool(times, group="karpenter.k8s.aws"))) == []


def test_never_is_told_mildly_for_nodes_go_all_the_same(look: Look) -> None:
    found = only(look(pool("expireAfter: Never")), "HK136")
    assert (found.severity, found.path) == ("warning", "spec.template.spec.expireAfter")
