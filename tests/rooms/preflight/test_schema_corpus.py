"""Layer 1 against what others wrote: two articles, a hundred definitions, and the judgement of another validator."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest

from hanok.preflight import Case, Finding, gather
from hanok.preflight.rules import checks
from hanok.preflight.schema.expressions import Rules
from hanok.preflight.schema.kind_schemas import KindSchema, recorded
from hanok.preflight.schema.load import load_builtins, load_custom
from hanok.preflight.schema.shapes import Shape
from hanok.preflight.schema.walk import look as walk
from tests.rooms.preflight.conftest import CRDS, SEEDS, Look, facts

needs_crds = pytest.mark.skipif(not CRDS.is_dir(), reason=f"{CRDS} is not there: schemas of custom kinds")
needs_articles = pytest.mark.skipif(not SEEDS.is_dir(), reason=f"{SEEDS} is not there: the articles")


def schema_findings(article: str) -> list[Finding]:
    cluster = gather([SEEDS / article]).cluster
    case = Case(cluster=cluster, facts=facts(custom=load_custom([CRDS])))
    return [finding for check in checks("schema") for finding in check(case)]


def told(findings: list[Finding]) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {}
    for each in findings:
        found.setdefault(each.object, set()).add((each.rule.id, each.path))
    return found


@needs_crds
@needs_articles
def test_of_the_first_article_seven_objects_are_refused_and_no_other() -> None:
    found = told([each for each in schema_findings("agentic-ai-platform.md") if each.severity == "error"])
    assert found.pop("EC2NodeClass gpu-nodes") == {("HK102", "spec.amiSelectorTerms")}
    gpu = "spec.template.spec.containers[0].resources.requests.nvidia.com/gpu"
    for part in ("prefill", "decode"):
        assert found.pop(f"Deployment default/llm-d-{part}") == {("HK102", "spec.selector"), ("HK126", gpu)}
    assert found.pop("InferencePool ai-inference/llama3-pool") == {("HK108", "apiVersion")}
    assert found.pop("EndpointPicker ai-inference/prefix-aware-picker") == {("HK109", "apiVersion")}
    assert found.pop("NodePool gpu-spot") == {("HK102", "spec.template.spec.nodeClassRef")}
    agent = found.pop("Agent ai-agents/research-agent")
    assert {path for rule, path in agent if rule == "HK101"} >= {
        "spec.llm", "spec.systemPrompt", "spec.resources", "spec.replicas", "spec.autoscaling", "spec.tools[0].spec",
    }  # fmt: skip
    assert ("HK103", "spec.memory") in agent
    assert ("HK104", "spec.tools[0].type") in agent
    assert found == {}


@needs_crds
@needs_articles
def test_of_the_second_article_only_selectors_are_wrong() -> None:
    found = told(schema_findings("agentic-ai-challenges.md"))
    assert found == {
        "Deployment ai-gateway/litellm-proxy": {("HK121", "spec.selector")},
        "Deployment observability/langfuse-web": {("HK121", "spec.selector")},
        "Deployment ai-inference/llm-d-router": {("HK121", "spec.selector")},
    }


@needs_articles
def test_without_definitions_each_kind_is_said_to_be_open_once() -> None:
    cluster = gather([SEEDS / "agentic-ai-platform.md"]).cluster
    found = [each for check in checks("schema") for each in check(Case(cluster=cluster, facts=facts()))]
    kinds = [each.object.split()[0] for each in found if each.rule.id == "HK107"]
    assert sorted(kinds) == sorted(set(kinds))
    assert {"NodePool", "EC2NodeClass", "Milvus", "HelmRelease"} <= set(kinds)
    assert "InferencePool" not in kinds


def recorded_kinds() -> list[KindSchema]:
    return [recorded(json.loads(file.read_text("utf-8"))) for file in sorted(CRDS.glob("*.json"))]


def shapes(shape: Shape, depth: int = 0) -> Iterator[Shape]:
    yield shape
    if depth < 40:
        below = [*shape.properties.values(), shape.extra, shape.items]
        for each in below:
            if each is not None:
                yield from shapes(each, depth + 1)


@needs_crds
def test_every_rule_of_every_definition_compiles_and_can_be_asked() -> None:
    rules = Rules()
    asked = 0
    for schema in recorded_kinds():
        for shape in shapes(schema.shape):
            if shape.rules:
                found = [each.text for each in rules.ask(shape, minimal(shape), ()) if each.sort == "unread"]
                missing = [each for each in found if "ndefined" in each or "parse" in each or "rror: Python" in each]
                assert missing == [], schema.kind
                asked += len(shape.rules)
    assert asked > 1000


def minimal(shape: Shape) -> Any:
    """The least value of a shape: what is required, and defaults."""
    if shape.default is not None:
        return shape.default
    if shape.choices:
        return shape.choices[0]
    if "object" in shape.types:
        return {name: minimal(shape.properties[name]) for name in shape.required if name in shape.properties}
    if "array" in shape.types:
        count = shape.whole("minItems") or 0
        return [minimal(shape.items) for _ in range(count)] if shape.items else []
    if "string" in shape.types and not shape.int_or_string:
        return "a" * max(1, shape.whole("minLength") or 1)
    if shape.types & {"integer", "number"}:
        return shape.number("minimum") or 1
    return False


@needs_crds
def test_a_least_object_of_every_definition_breaks_at_most_formats_and_rules() -> None:
    for schema in recorded_kinds():
        body = {
            **minimal(schema.shape),
            "apiVersion": schema.api_version,
            "kind": schema.kind,
            "metadata": {"name": "a"},
        }
        found = [
            each for each in walk(schema.shape, body, definitions=None) if each.sort in ("unknown", "type", "missing")
        ]
        wanted = [each for each in found if not each.text.startswith("needs one of")]
        assert wanted == [], schema.kind


BUILTIN: list[dict[str, Any]] = [
    {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"rollingUpdate": {"maxSurge": "25%"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [{
                        "name": "web", "image": "web:1", "args": ["--port", "80"],
                        "ports": [{"containerPort": 80, "name": "http"}],
                        "env": [
                            {"name": "A", "value": "b"}, {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "x"}}},
                        ],
                        "resources": {"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": "500m"}},
                        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5},
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }],
                    "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}],
                    "tolerations": [{"key": "a", "operator": "Exists"}],
                },
            },
        },
    },
    {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
    },
    {
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"},
        "spec": {
            "schedule": "0 1 * * *",
            "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "c", "image": "c"}],
            }}}},
        },
    },
    {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "n"},
        "spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}]},
    },
    {
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": "gpu"},
        "spec": {"spec": {"devices": {"requests": [{"name": "a", "exactly": {"deviceClassName": "gpu.nvidia.com"}}]}}},
    },
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}},
    {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    },
]  # fmt: skip
WRONG: list[Any] = ["text", 7, 1.5, True, None, [], {}, [1], {"a": 1}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to everything in a body."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def mutations(body: dict[str, Any]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The body, with one thing taken out, put in, or made something else; `apiVersion` and `kind` stay."""
    for path in places(body):
        if path[0] in ("apiVersion", "kind"):
            continue
        for wrong in (*WRONG, "out", "in"):
            if wrong is None and path[-1] in ("cpu", "memory", "sizeLimit", "targetPort", "port", "maxSurge"):
                continue  # it refuses null for a quantity, as null is both text and a number to it
            changed = copy.deepcopy(body)
            holder: Any = changed
            for step in path[:-1]:
                holder = holder[step]
            if wrong == "out":
                del holder[path[-1]]
            elif wrong == "in":
                if not isinstance(holder[path[-1]], dict):
                    continue
                holder[path[-1]]["unheardOf"] = "x"
            else:
                holder[path[-1]] = wrong
            yield path, changed


@pytest.mark.parametrize("body", BUILTIN, ids=lambda body: body["kind"])
def test_built_in_kinds_are_judged_as_another_validator_judges_them(body: dict[str, Any]) -> None:
    builtins = load_builtins("1.37")
    assert builtins is not None
    cases = [((), body), *random.Random(7).sample(list(mutations(body)), 25)]
    for path, each in cases:
        try:
            kubernetes_validate.validate(each, "1.37", strict=True)
            accepted = True
        except kubernetes_validate.ValidationError:
            accepted = False
        group, _, version = each["apiVersion"].rpartition("/")
        schema = builtins.find(group, version, each["kind"])
        assert schema is not None
        found = walk(schema.shape, each, definitions=builtins.definitions)
        ours = [fault for fault in found if fault.sort != "value"]  # it knows no choices, bounds and quantities
        assert (ours == []) is accepted, (path, each, [fault.message for fault in found])


VALID = """
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: gpu}
spec:
  weight: 10
  limits: {cpu: 1000, nvidia.com/gpu: 16}
  disruption: {consolidationPolicy: WhenEmpty, consolidateAfter: 5m, budgets: [{nodes: 10%}]}
  template:
    metadata: {labels: {workload: inference}}
    spec:
      expireAfter: Never
      taints: [{key: nvidia.com/gpu, effect: NoSchedule}]
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: gpu}
      requirements:
        - {key: karpenter.sh/capacity-type, operator: In, values: [spot, on-demand]}
        - {key: karpenter.k8s.aws/instance-gpu-count, operator: Gt, values: ["0"]}
        - {key: node.kubernetes.io/instance-type, operator: In, values: [g6e.12xlarge, p5.48xlarge], minValues: 2}
---
apiVersion: karpenter.k8s.aws/v1
kind: EC2NodeClass
metadata: {name: gpu}
spec:
  role: gpu-nodes
  amiSelectorTerms: [{alias: al2023@v20261001}]
  subnetSelectorTerms: [{tags: {karpenter.sh/discovery: prod}}]
  securityGroupSelectorTerms: [{tags: {karpenter.sh/discovery: prod}}]
  blockDeviceMappings: [{deviceName: /dev/xvda, ebs: {volumeSize: 500Gi, volumeType: gp3, encrypted: true}}]
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: llama}
spec:
  selector: {matchLabels: {app: llama}}
  targetPorts: [{number: 8000}]
  endpointPickerRef: {name: llama-epp, port: {number: 9002}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ai}
spec:
  gatewayClassName: agentgateway
  listeners:
    - {name: http, protocol: HTTP, port: 80}
    - {name: https, protocol: HTTPS, port: 443, tls: {mode: Terminate, certificateRefs: [{name: cert}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: llama}
spec:
  parentRefs: [{name: ai}]
  hostnames: [ai.example.org]
  rules:
    - matches: [{path: {type: PathPrefix, value: /v1}, headers: [{name: x-tier, value: gold}]}]
      filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]
      backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: llama, weight: 1}]
      timeouts: {request: 300s}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: llama}
spec:
  scaleTargetRef: {name: llama}
  minReplicaCount: 0
  maxReplicaCount: 8
  triggers:
    - type: prometheus
      metadata: {serverAddress: "http://prometheus:9090", query: "sum(vllm:num_requests_waiting)", threshold: "5"}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: operator}
spec:
  interval: 10m
  chartRef: {kind: OCIRepository, name: operator}
  install: {crds: CreateReplace, remediation: {retries: 3}}
  values: {driver: {enabled: false}, anything: [1, two]}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: operator}
spec: {interval: 1h, url: "oci://registry.example.org/charts/operator", ref: {tag: 1.2.3}}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: gpus}
spec:
  namespaceSelector: {}
  cohortName: all
  resourceGroups:
    - coveredResources: [cpu, nvidia.com/gpu]
      flavors: [{name: h100, resources: [{name: cpu, nominalQuota: 96}, {name: nvidia.com/gpu, nominalQuota: 8}]}]
---
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: deep}
spec:
  replicas: 2
  leaderWorkerTemplate:
    size: 2
    restartPolicy: RecreateGroupOnPodRestart
    workerTemplate:
      spec:
        containers:
          - name: worker
            image: vllm/vllm-openai:v0.33.0
            resources: {limits: {nvidia.com/gpu: "8"}}
            ports: [{containerPort: 8000, name: http}]
            readinessProbe: {tcpSocket: {port: 8000}, periodSeconds: 10}
---
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: ray}
spec:
  rayVersion: 2.52.0
  headGroupSpec:
    rayStartParams: {dashboard-host: 0.0.0.0}
    template: {spec: {containers: [{name: head, image: "ray:2.52.0", resources: {limits: {cpu: 2, memory: 4Gi}}}]}}
  workerGroupSpecs:
    - groupName: gpu
      replicas: 1
      minReplicas: 0
      maxReplicas: 4
      rayStartParams: {}
      template: {spec: {containers: [{name: worker, image: "ray:2.52.0"}]}}
---
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {name: tune}
spec:
  runtimeRef: {name: torch-distributed}
  trainer: {numNodes: 2, numProcPerNode: 8, resourcesPerNode: {limits: {nvidia.com/gpu: 8}}}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: vllm}
spec:
  selector: {matchLabels: {app: llama}}
  endpoints: [{port: http, path: /metrics, interval: 15s}]
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: vllm}
spec:
  groups:
    - name: vllm
      interval: 30s
      rules: [{alert: Slow, expr: "vllm:num_requests_waiting > 10", for: 5m, labels: {severity: page}}]
---
apiVersion: milvus.io/v1beta1
kind: Milvus
metadata: {name: vectors}
spec:
  mode: cluster
  dependencies: {msgStreamType: woodpecker, storage: {external: true, type: S3, endpoint: "s3.amazonaws.com:443"}}
  components: {proxy: {serviceType: ClusterIP}, queryNode: {replicas: 2, resources: {limits: {memory: 8Gi}}}}
  config: {common: {storageType: remote}}
---
apiVersion: kagent.dev/v1alpha2
kind: Agent
metadata: {name: helper}
spec:
  type: Declarative
  declarative:
    modelConfig: llama
    systemMessage: You help.
    tools: [{type: McpServer, mcpServer: {kind: RemoteMCPServer, apiGroup: kagent.dev, name: tools, toolNames: [find]}}]
---
apiVersion: nvidia.com/v1
kind: ClusterPolicy
metadata: {name: cluster-policy}
spec:
  operator: {defaultRuntime: containerd}
  driver: {enabled: false}
  toolkit: {enabled: false}
  devicePlugin: {}
  daemonsets: {}
  dcgm: {}
  dcgmExporter: {serviceMonitor: {enabled: true}}
  gfd: {}
  nodeStatusExporter: {}
  mig: {strategy: mixed}
"""


@needs_crds
def test_objects_of_many_custom_kinds_that_are_right_are_found_right(look: Look) -> None:
    report = look(VALID, custom=load_custom([CRDS]))
    found = [f"{each.object} {each.rule.id} {each.message}" for each in report.findings if each.layer == "schema"]
    assert found == []


@needs_crds
@pytest.mark.parametrize(
    ("change", "rule", "said"),
    [
        (("operator: In, values: [spot, on-demand]", "operator: In"), "HK105", "values"),
        (("alias: al2023@v20261001", "alias: al2023"), "HK105", "alias"),
        (
            ("endpointPickerRef: {name: llama-epp, port: {number: 9002}}", "endpointPickerRef: {name: e}"),
            "HK105",
            "port",
        ),
        (("name: https, protocol: HTTPS, port: 443", "name: b, protocol: HTTP, port: 80"), "HK105", "unique"),
        (("chartRef: {kind: OCIRepository, name: operator}", ""), "HK105", "chart"),
        (("cohortName: all", "cohort: all"), "HK101", "cohort"),
        (("consolidationPolicy: WhenEmpty", "consolidationPolicy: Never"), "HK104", "Never"),
    ],
)
def test_rules_of_real_definitions_find_what_is_wrong(
    look: Look, change: tuple[str, str], rule: str, said: str
) -> None:
    assert change[0] in VALID
    report = look(VALID.replace(*change, 1), custom=load_custom([CRDS]))
    found = [each for each in report.findings if each.layer == "schema"]
    assert {each.rule.id for each in found} == {rule}
    assert any(said in each.message for each in found)
