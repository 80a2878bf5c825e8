"""Slips in references, one by one: each is found, told with the names there are, and gone when it is mended."""

from __future__ import annotations

import pytest

from tests.rooms.preflight.conftest import Look, ids, only

APP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: shop}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      containers:
        - name: app
          image: example.com/app:1.0
          ports: [{name: http, containerPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: app, namespace: shop, labels: {app: app}}
spec:
  selector: {app: app}
  ports: [{name: web, port: 80, targetPort: http}]
---
"""
POD_MONITOR = """
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: app, namespace: shop}
spec:
  selector: {matchLabels: {app: app}}
  podMetricsEndpoints: [{port: http}]
"""
SERVICE_MONITOR = """
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: app, namespace: monitoring}
spec:
  namespaceSelector: {matchNames: [shop]}
  selector: {matchLabels: {app: app}}
  endpoints: [{port: web}]
"""
SCALER = """
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: app, namespace: shop}
spec:
  scaleTargetRef: {name: app}
  triggers: [{type: cron, metadata: {start: "0 8 * * *", end: "0 18 * * *", timezone: UTC, desiredReplicas: "2"}}]
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: app, namespace: shop}
spec:
  podSelector: {matchLabels: {app: app}}
  policyTypes: [Ingress]
"""
BINDING = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: reader, namespace: shop}]
"""
WEBHOOK = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: app}
webhooks:
  - name: app.example.com
    clientConfig: {service: {name: app, namespace: shop, path: /check, port: 80}}
"""
AGENT = """
apiVersion: kagent.dev/v1alpha2
kind: ModelConfig
metadata: {name: chat, namespace: shop}
spec: {provider: OpenAI, model: chat, openAI: {baseUrl: "http://app.shop:80/v1"}}
---
apiVersion: kagent.dev/v1alpha2
kind: RemoteMCPServer
metadata: {name: search, namespace: shop}
spec: {description: search, protocol: STREAMABLE_HTTP, url: "http://app.shop.svc:80/mcp"}
---
apiVersion: kagent.dev/v1alpha2
kind: Agent
metadata: {name: helper, namespace: shop}
spec:
  type: Declarative
  declarative:
    systemMessage: You help.
    modelConfig: chat
    tools: [{type: McpServer, mcpServer: {apiGroup: kagent.dev, kind: RemoteMCPServer, name: search}}]
"""
TRAINING = """
apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata: {name: any}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: batch}
spec:
  resourceGroups: [{coveredResources: [cpu], flavors: [{name: any, resources: [{name: cpu, nominalQuota: 9}]}]}]
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: {name: team, namespace: shop}
spec: {clusterQueue: batch}
---
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {name: tune, namespace: shop, labels: {kueue.x-k8s.io/queue-name: team}}
spec: {runtimeRef: {name: torch-distributed}}
"""
GRANTED = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: edge}
spec: {gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: app, namespace: edge}
spec:
  parentRefs: [{name: public, port: 80}]
  rules: [{backendRefs: [{name: app, namespace: shop, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: edge, namespace: shop}
spec:
  from: [{group: gateway.networking.k8s.io, kind: GRPCRoute, namespace: edge}]
  to: [{group: "", kind: Service, name: app}]
"""
CALLER = """
apiVersion: v1
kind: Pod
metadata: {name: caller, namespace: shop}
spec:
  containers:
    - name: caller
      image: example.com/caller:1.0
      args: ["--backend-addr=app:80", --api-url, "http://app.shop.svc.cluster.local:80/v1"]
      env: [{name: APP_SERVICE_ADDR, value: "app:80"}, {name: APP_HOST, value: app}]
"""
SLIPS = [
    (POD_MONITOR, "port: http", "port: metrics", "HK225"),
    (POD_MONITOR, "matchLabels: {app: app}", "matchLabels: {app: web}", "HK224"),
    (SERVICE_MONITOR, "port: web", "port: http", "HK225"),
    (SERVICE_MONITOR, "matchLabels: {app: app}", "matchLabels: {app: web}", "HK224"),
    (SERVICE_MONITOR, "namespaceSelector: {matchNames: [shop]}", "namespaceSelector: {}", "HK224"),
    (SCALER, "name: app}\n  triggers", "name: web}\n  triggers", "HK222"),
    (POLICY, "podSelector: {matchLabels: {app: app}}", "podSelector: {matchLabels: {app: web}}", "HK223"),
    (BINDING, "kind: ClusterRole, name: view", "kind: ClusterRole, name: views", "HK245"),
    (BINDING, "subjects: [{kind: ServiceAccount, name: reader", "subjects: [{kind: ServiceAccount, name: r", "HK245"),
    (WEBHOOK, "service: {name: app", "service: {name: web", "HK214"),
    (WEBHOOK, "port: 80", "port: 443", "HK215"),
    (AGENT, "modelConfig: chat", "modelConfig: chatty", "HK247"),
    (AGENT, "kind: RemoteMCPServer, name: search}", "kind: MCPServer, name: search}", "HK247"),
    (AGENT, "http://app.shop:80/v1", "http://gateway.shop:80/v1", "HK231"),
    (AGENT, "http://app.shop.svc:80/mcp", "http://app.shop.svc:8080/mcp", "HK215"),
    (TRAINING, "queue-name: team", "queue-name: teams", "HK246"),
    (TRAINING, "flavors: [{name: any", "flavors: [{name: fast", "HK246"),
    (TRAINING, "runtimeRef: {name: torch-distributed}", "runtimeRef: {name: torch}", "HK248"),
    (GRANTED, "kind: GRPCRoute, namespace: edge}", "kind: HTTPRoute, namespace: edge}", "HK219"),
    (GRANTED, "parentRefs: [{name: public, port: 80}]", "parentRefs: [{name: public, port: 443}]", "HK218"),
    (CALLER, "--backend-addr=app:80", "--backend-addr=web:80", "HK231"),
    (CALLER, "svc.cluster.local:80/v1", "svc.cluster.local/v1", ""),
    (CALLER, "svc.cluster.local:80/v1", "svc.cluster.local:8080/v1", "HK215"),
    (CALLER, 'ADDR, value: "app:80"', 'ADDR, value: "app:8080"', "HK215"),
    (CALLER, "APP_HOST, value: app}", "APP_HOST, value: web}", "HK231"),
]
"""A right text, what is right in it, the slip in its place, and its rule; none where it is right as well."""


@pytest.mark.parametrize("text", sorted({each[0] for each in SLIPS}))
def test_what_is_right_is_left_alone(look: Look, text: str) -> None:
    found = [each for each in look(APP + text).findings if each.layer == "references" and each.severity != "info"]
    assert [f"{each.rule.id} {each.message}" for each in found] == []


@pytest.mark.parametrize(("text", "right", "wrong", "rule"), SLIPS)
def test_a_slip_is_found(look: Look, text: str, right: str, wrong: str, rule: str) -> None:
    assert right in text
    found = look(APP + text.replace(right, wrong)).findings
    grave = [each.rule.id for each in found if each.layer == "references" and each.severity != "info"]
    assert grave == ([rule] if rule else [])


def test_a_missing_name_is_told_with_the_names_there_are(look: Look) -> None:
    found = only(look(APP + CALLER.replace("http://app.shop.svc", "http://ap.shop.svc")), "HK231")
    assert "no Service ap in shop" in found.message
    assert "`app`" in found.hint
    assert found.severity == "error"


def test_a_bare_name_is_only_a_warning(look: Look) -> None:
    assert (
        only(look(APP + CALLER.replace("APP_HOST, value: app", "APP_HOST, value: web")), "HK231").severity == "warning"
    )


def test_a_secret_that_nothing_makes_leaves_the_verdict_open(look: Look) -> None:
    report = look(
        APP.replace("ports: [{name: http", "envFrom: [{secretRef: {name: key}}]\n          ports: [{name: http")
    )
    assert only(report, "HK203").severity == "warning"
    assert report.verdict == "unknown"


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ("", True),
        ("values: {prometheus: {prometheusSpec: {serviceMonitorSelectorNilUsesHelmValues: false}}}", False),
        ("values: {prometheus: {prometheusSpec: {serviceMonitorSelector: {matchLabels: {team: a}}}}}", False),
        ("valuesFrom: [{kind: Secret, name: values}]", False),
    ],
)
def test_a_monitor_needs_the_release_where_prometheus_asks_for_it(look: Look, values: str, found: bool) -> None:
    stack = f"""
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {{name: stack, namespace: monitoring}}
spec:
  chart: {{spec: {{chart: kube-prometheus-stack, sourceRef: {{kind: HelmRepository, name: charts}}}}}}
  {values or "interval: 10m"}
---
"""
    assert ("HK226" in ids(look(APP + stack + SERVICE_MONITOR))) == found


def test_a_route_to_kgateway_before_it_gave_pools_up_is_a_warning(look: Look) -> None:
    text = """
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: kgateway, namespace: kgateway-system}
spec: {chart: {spec: {chart: kgateway, version: v2.1.3, sourceRef: {kind: HelmRepository, name: charts}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: shop}
spec: {gatewayClassName: kgateway, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: app, namespace: shop}
spec:
  parentRefs: [{name: public}]
  rules: [{backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: models}]}]
"""
    assert only(look(text), "HK220").severity == "warning"
    assert only(look(text.replace("v2.1.3", "v2.2.0")), "HK220").severity == "error"


@pytest.mark.parametrize("group", ["inference.networking.x-k8s.io/v1alpha2", "inference.networking.k8s.io/v1"])
def test_a_pool_selects_pods_in_its_old_form_too(look: Look, group: str) -> None:
    labels = "{app: gone}" if "x-k8s" in group else "{matchLabels: {app: gone}}"
    text = f"{APP}apiVersion: {group}\nkind: InferencePool\nmetadata: {{name: models, namespace: shop}}\n"
    text += f"spec: {{selector: {labels}, targetPorts: [{{number: 8080}}]}}\n"
    assert "app=gone" in only(look(text), "HK221").message
    assert "HK221" not in ids(look(text.replace("gone", "app")))


@pytest.mark.parametrize("port", ["²", "9" * 5000])
def test_digits_that_are_no_port_are_names(look: Look, port: str) -> None:
    assert "no container" in only(look(APP.replace("targetPort: http", f"targetPort: '{port}'")), "HK212").message


def test_a_sidecars_port_is_found_by_its_number_alone(look: Look) -> None:
    ports = "ports: [{name: door, containerPort: 80}]"
    sidecar = f"initContainers: [{{name: door, image: 'door:1', restartPolicy: Always, {ports}}}]"
    text = APP.replace("      containers:", f"      {sidecar}\n      containers:")
    assert "HK232" not in ids(look(text)), "the other containers' names are found"
    assert "`door`" in only(look(text.replace("targetPort: http", "targetPort: door")), "HK232").message


def test_references_of_many_objects_are_followed_once_each(look: Look) -> None:
    """A search in place of an index would look at a million pairs here."""
    one = APP + "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: app, namespace: shop}\n---\n" + SERVICE_MONITOR
    text = "---\n".join(one.replace("app", f"app{index}") for index in range(300))
    report = look(text)
    assert len(report.case.cluster.manifests) == 1200
    assert [each for each in report.findings if each.layer == "references" and each.severity == "error"] == []


FLUX = """apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: apps, namespace: flux-system}
spec: {path: PATH, prune: true, interval: 10m, sourceRef: {kind: GitRepository, name: flux-system}}
"""


@pytest.mark.parametrize(
    ("path", "rule"),
    [("./clusters/eu/deploy/apps/shop", "HK231"), ("./apps/shop", "HK231"), ("./elsewhere/shop", "HK210")],
)
def test_what_flux_takes_from_a_folder_that_was_read_is_all_there_is_wherever_the_repository_begins(
    look: Look, path: str, rule: str
) -> None:
    missing = APP.replace(
        "example.com/app:1.0", "example.com/app:1.0\n          env: [{name: A_URL, value: 'http://b'}]"
    )
    report = look({"deploy/apps/shop/app.yaml": missing, "deploy/clusters/flux.yaml": FLUX.replace("PATH", path)})
    assert [
        each.rule.id for each in report.findings if "Service shop/b" in each.message or " b in shop" in each.message
    ] == [rule]
