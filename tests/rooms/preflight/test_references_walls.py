"""Calls that NetworkPolicies stop are told where the files prove it, and nowhere else."""

from __future__ import annotations

import shutil
from pathlib import Path
from zlib import crc32

import pytest

from hanok.preflight import Case, Finding, Terms, declare, gather, preflight
from tests.rooms.preflight.conftest import Look, facts, look_by, only, parse_leniently

look = look_by("HK234", "HK008")
TREE = Path(__file__).parents[3] / "examples" / "12-render-eks" / "deploy"
ENGINE = """apiVersion: apps/v1
kind: Deployment
metadata: {name: embed, namespace: models}
spec:
  selector: {matchLabels: {app: embed}}
  template:
    metadata: {labels: {app: embed}}
    spec:
      containers:
      - {name: engine, image: "example.com/engine:1.0", ports: [{name: http, containerPort: 8000}]}
---
apiVersion: v1
kind: Service
metadata: {name: embed, namespace: models}
spec: {selector: {app: embed}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: models, labels: {kind: engines}}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {kind: callers}}
---
"""
CALLER = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "example.com/web:1.0", env: [{name: KEY, value: "URL"}]}
---
"""
HERE = "http://embed.models.svc/v1"
NOBODY = "policyTypes: [Ingress]"
DNS = "{ports: [{protocol: UDP, port: 53}]}"


def caller(url: str = HERE, key: str = "EMBED_URL") -> str:
    return CALLER.replace("URL", url).replace("KEY", key)


def wall(spec: str, space: str = "models", kind: str = "NetworkPolicy", group: str = "networking.k8s.io/v1") -> str:
    return (
        f"apiVersion: {group}\nkind: {kind}\nmetadata: {{name: w{crc32(spec.encode())}, namespace: {space}}}\n"
        f"spec: {{podSelector: {{}}, {spec}}}\n---\n"
    )


def into(peer: str, port: str = "http") -> str:
    return wall(f"policyTypes: [Ingress], ingress: [{{from: [{peer}], ports: [{{port: {port}}}]}}]")


def out(*rules: str) -> str:
    return wall(f"policyTypes: [Egress], egress: [{', '.join(rules)}]", "shop")


def seeded(tmp_path: Path, file: str, old: str, new: str) -> list[Finding]:
    """What is told of example 12's tree with one text of it changed."""
    folder = tmp_path / "deploy"
    shutil.copytree(TREE, folder)
    text = (folder / file).read_text("utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new), "utf-8")
    gathered = gather([folder])
    platforms = [declare(each, parse_leniently) for each in gathered.platforms]
    case = Case(cluster=gathered.cluster, facts=facts(kubernetes="1.36"), platforms=platforms)
    return list(preflight(case, terms=Terms(select=["HK234", "HK008"])).findings)


def test_ingests_that_no_policy_lets_to_the_engine_are_told_in_a_rendered_tree(tmp_path: Path) -> None:
    gateways = "app.kubernetes.io/name: hanok"
    (found,) = seeded(tmp_path, "apps/models/networkpolicy-embed.yaml", "hanok.dev/reads: platform", gateways)
    assert found.message.startswith(
        "pods of CronJob hanok/ingest-handbook, Job hanok/ingest-handbook-a4ea2341 cannot reach Service models/embed at"
        " port 8000: NetworkPolicies models/nobody-by-default, models/embed close the way in"
    )
    assert (found.severity, found.line) == ("error", 75)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("apps/models/networkpolicy-llama.yaml", "port: http", "port: https"),
        ("apps/models/networkpolicy-small.yaml", "metadata.name: hanok", "metadata.name: hannok"),
        ("apps/knowledge/networkpolicy-milvus.yaml", "metadata.name: hanok", "metadata.name: hanok-system"),
        ("apps/hanok/networkpolicy-not-to-metadata.yaml", "- namespaceSelector: {}\n    - ipBlock", "- ipBlock"),
    ],
)
def test_a_slip_in_a_policy_of_a_rendered_tree_is_told_where_it_is_one(
    tmp_path: Path, file: str, old: str, new: str
) -> None:
    told = {each.rule.id for each in seeded(tmp_path, file, old, new)}
    assert told == (set() if "metadata.yaml" in file else {"HK234"})  # 0.0.0.0/0 may mean pods, too


def test_a_rendered_tree_as_it_is_stops_no_call(tmp_path: Path) -> None:
    assert seeded(tmp_path, "apps/models/networkpolicy-embed.yaml", "port: http", "port: http") == []


@pytest.mark.parametrize(
    "peer",
    [
        "{podSelector: {}}",
        "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: gateways}}}",
        "{namespaceSelector: {matchLabels: {name: shop}}}",
        "{namespaceSelector: {}, podSelector: {matchLabels: {app: ingest}}}",
        "{namespaceSelector: {matchExpressions: [{key: kind, operator: NotIn, values: [callers]}]}}",
        "{namespaceSelector: {matchExpressions: [{key: team, operator: Exists}]}}",
    ],
)
def test_callers_whom_no_rule_means_are_told(look: Look, peer: str) -> None:
    found = only(look(ENGINE + caller() + into(peer)), "HK234")
    assert "Deployment shop/web cannot reach Service models/embed at port 80: NetworkPolicy models/w" in found.message
    assert "closes the way in" in found.message


@pytest.mark.parametrize(
    "peer",
    [
        "{namespaceSelector: {}}",
        "{namespaceSelector: {matchLabels: {kind: callers}}, podSelector: {matchLabels: {app: web}}}",
        "{namespaceSelector: {matchExpressions: [{key: kind, operator: In, values: [callers, x]}]}}",
        "{namespaceSelector: {matchLabels: {field.cattle.io/projectId: p-1}}}",
        "{namespaceSelector: {}, podSelector: {matchLabels: {pod-template-hash: abc}}}",
        "{ipBlock: {cidr: 10.0.0.0/8}}",
        "{namespaceSelector: 7}",
        "{}",
    ],
)
def test_what_may_mean_a_caller_lets_him_through(look: Look, peer: str) -> None:
    assert look(ENGINE + caller() + into(peer)).findings == []


@pytest.mark.parametrize(
    ("port", "passes"),
    [
        ("8000", True), ("http", True), ("7000, endPort: 9000", True), ("80", False), ("metrics", False),
        ("7000, endPort: 7999", False), ("8000, protocol: UDP", False),
    ],
)  # fmt: skip
def test_ports_of_a_way_in_are_those_of_the_pods(look: Look, port: str, passes: bool) -> None:
    report = look(ENGINE + caller() + into("{namespaceSelector: {}}", port))
    assert (report.findings == []) is passes


def test_a_policy_that_selects_others_or_another_direction_closes_nothing(look: Look) -> None:
    others = wall(NOBODY).replace("podSelector: {}", "podSelector: {matchLabels: {app: other}}")
    assert look(ENGINE + caller() + others + wall("policyTypes: [Egress]") + wall(NOBODY, "elsewhere")).findings == []


def test_policies_add_up(look: Look) -> None:
    closed = wall(NOBODY)
    assert "none of them lets" in only(look(ENGINE + caller() + closed + into("{podSelector: {}}")), "HK234").message
    assert look(ENGINE + caller() + closed + into("{namespaceSelector: {}}")).findings == []


TO_MODELS = "{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: models}}}]}"


def test_a_pod_that_may_not_ask_for_names_is_told_once(look: Look) -> None:
    two = ENGINE + caller().replace('value: "http', 'value: "http://embed.models/x"}, {name: OTHER, value: "http')
    found = only(look(two + out(TO_MODELS)), "HK234").message
    assert "Deployment shop/web cannot ask for names" in found
    assert "DNS (UDP 53)" in found
    assert look(two + out(TO_MODELS, DNS)).findings == []
    assert only(look(two + out(TO_MODELS, "{ports: [{port: 53}]}")), "HK234").message[:60] == found[:60]


@pytest.mark.parametrize(
    "spec", ["dnsPolicy: None", "dnsPolicy: Default", "hostNetwork: true", "hostAliases: [{ip: 10.0.0.1}]"]
)
def test_a_pod_that_asks_elsewhere_for_names_needs_no_dns(look: Look, spec: str) -> None:
    text = caller().replace("      containers:", f"      {spec}\n      containers:")
    assert look(ENGINE + text + out(TO_MODELS)).findings == []


@pytest.mark.parametrize(
    ("rule", "severity"),
    [
        ("{to: [{podSelector: {}}]}", "error"),
        ("{to: [{namespaceSelector: {}}], ports: [{port: 443}]}", "error"),
        ("{to: [{namespaceSelector: {}}], ports: [{port: 80}]}", "warning"),
        ("{to: [{namespaceSelector: {}}], ports: [{port: 8000}]}", ""),
        ("{to: [{namespaceSelector: {}}], ports: [{port: http}]}", ""),
        ("{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}", ""),
        ("{}", ""),
    ],
)
def test_what_a_pod_may_call_is_held_to_the_callees_pods_and_port(look: Look, rule: str, severity: str) -> None:
    told = [each.severity for each in look(ENGINE + caller() + out(DNS, rule)).findings]
    assert told == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("url", "rule", "told"),
    [
        ("https://api.example.com/v1", "{to: [{namespaceSelector: {}}]}", True),
        ("https://api.example.com/v1", "{ports: [{port: 80}]}", True),
        ("https://api.example.com/v1", "{ports: [{port: 443}]}", False),
        ("https://api.example.com/v1", "{to: [{ipBlock: {cidr: 1.2.3.0/24}}]}", False),
        ("https://8.8.8.8/v1", "{to: [{ipBlock: {cidr: 1.2.3.0/24}}]}", True),
        ("https://8.8.8.8/v1", "{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [8.8.8.0/24]}}]}", True),
        ("https://8.8.8.8/v1", "{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}", False),
    ],
)
def test_calls_beyond_the_cluster_need_a_block_of_addresses(look: Look, url: str, rule: str, told: bool) -> None:
    report = look(ENGINE + caller(url, "OPENAI_BASE_URL") + out(DNS, rule))
    assert [each.rule.id for each in report.findings] == (["HK234"] if told else [])


@pytest.mark.parametrize("key", ["PUBLIC_BASE_URL", "OIDC_ISSUER_ENDPOINT", "HTTP_REFERER", "NEXTAUTH_URL", "NO_PROXY"])
def test_addresses_that_are_told_to_others_are_no_calls(look: Look, key: str) -> None:
    assert (
        look(ENGINE + caller(key=key) + caller("https://a.example.com", key) + wall(NOBODY) + out(DNS)).findings == []
    )


def test_of_several_who_read_a_text_it_is_not_known_who_calls(look: Look) -> None:
    config = (
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c, namespace: shop}}\ndata: {{EMBED: '{HERE}'}}\n---\n"
    )
    reads = ", envFrom: [{configMapRef: {name: c}}]}"
    web = caller("x").replace("]}\n---", f"]{reads}\n---")
    api = web.replace("app: web", "app: api").replace("{name: web, namespace", "{name: api, namespace")
    only_web = into("{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}")
    assert look(ENGINE + config + web + api + only_web).findings == []
    assert "Deployment shop/api" in only(look(ENGINE + config + api + only_web), "HK234").message
    assert "web, Deployment shop/api" in only(look(ENGINE + config + web + api + wall(NOBODY)), "HK234").message


RELEASE = """apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: r, namespace: models}
spec: {chart: {spec: {chart: c, sourceRef: {kind: HelmRepository, name: h}}}}
---
"""


@pytest.mark.parametrize(
    "more",
    [
        RELEASE,
        wall("ingress: []", kind="CiliumNetworkPolicy", group="cilium.io/v2"),
        wall("a: b", kind="CiliumClusterwideNetworkPolicy", group="cilium.io/v2").replace(", namespace: models", ""),
        wall("a: b", kind="AdminNetworkPolicy", group="policy.networking.k8s.io/v1").replace(", namespace: models", ""),
        wall("rules: [{mutate: {x: y}}]", kind="ClusterPolicy", group="kyverno.io/v1"),
        "kind: Kustomization\napiVersion: kustomize.config.k8s.io/v1beta1\ncommonLabels: {a: b}\n---\n",
    ],
)
def test_what_others_may_open_is_not_called_closed(look: Look, more: str) -> None:
    closed = ENGINE + caller() + wall(NOBODY)
    assert only(look(closed), "HK234").severity == "error"
    assert look(closed + more).findings == []


def test_pods_that_leave_their_namespace_open_are_only_held_to_their_like(look: Look) -> None:
    text = (
        (ENGINE + caller("http://embed/v1") + wall(NOBODY))
        .replace(", namespace: models", "")
        .replace(", namespace: shop", "")
    )
    assert only(look(text), "HK234").severity == "error"
    assert look(text.replace("kind: NetworkPolicy\nmetadata: {", "kind: NetworkPolicy\nmetadata: {namespace: a, ")) \
        .findings == []  # fmt: skip


ODD = ["7", "[7]", "[null]", "[[]]", "{a: b}", "[{from: 7}]", "[{from: [7], ports: {}}]", "[{ports: [{port: {}}]}]"]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("where", ["ingress", "egress", "policyTypes"])
def test_policies_of_odd_shapes_stop_nothing_and_break_no_check(look: Look, where: str, odd: str) -> None:
    types = "" if where == "policyTypes" else f"policyTypes: [{where.title()}], "
    text = ENGINE + caller() + wall(f"{types}{where}: {odd}", "models") + wall(f"{types}{where}: {odd}", "shop")
    assert "HK008" not in [each.rule.id for each in look(text).findings]


def test_a_policy_of_very_many_rules_is_taken_for_a_door(look: Look) -> None:
    rules = ", ".join(["{from: [{podSelector: {}}]}"] * 1001)
    assert look(ENGINE + caller() + wall(f"policyTypes: [Ingress], ingress: [{rules}]")).findings == []
