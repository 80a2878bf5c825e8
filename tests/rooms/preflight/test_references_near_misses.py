"""Manifests as people write them, that look broken and are not: the references' rules keep silent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from hanok.preflight import Case, Report, checks, gather
from tests.rooms.preflight.conftest import Look, facts


def told(report: Report) -> list[str]:
    """What the references' rules say in errors and warnings."""
    grave = [each for each in report.findings if each.layer == "references" and each.severity != "info"]
    return [f"{each.rule.id} {each.object}: {each.message}" for each in grave]


def left_open(report: Report) -> list[str]:
    return [each.message for each in report.findings if each.rule.id == "HK210"]


def pod(*, extra: str = "", env: str = "[]", name: str = "app", namespace: str = "shop") -> str:
    space = f", namespace: {namespace}" if namespace else ""
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}{space}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      {extra or "automountServiceAccountToken: false"}
      containers:
        - name: app
          image: example.com/app:1.0
          ports: [{{name: http, containerPort: 8080}}]
          env: {env}
---"""


RELEASE = """
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: charts, namespace: shop}
spec: {interval: 1h, url: https://charts.example.com}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: cache, namespace: shop}
spec:
  interval: 10m
  chart: {spec: {chart: valkey, version: 1.0.0, sourceRef: {kind: HelmRepository, name: charts}}}
  values: {fullnameOverride: store, settingsFrom: shop-settings}
---"""

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: app, namespace: shop}
spec:
  selector: {app: app}
  ports: [{port: 80, targetPort: http}]
---"""

OPERATED = """
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: k8s, namespace: monitoring}
spec: {replicas: 2}
---
apiVersion: v1
kind: Service
metadata: {name: prometheus-k8s, namespace: monitoring, labels: {prometheus: k8s}}
spec:
  selector: {app.kubernetes.io/name: prometheus, app.kubernetes.io/instance: k8s}
  ports: [{name: web, port: 9090, targetPort: web}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: prometheus-k8s, namespace: monitoring}
spec: {minAvailable: 1, selector: {matchLabels: {app.kubernetes.io/instance: k8s}}}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: kubelet, namespace: monitoring}
spec:
  namespaceSelector: {matchNames: [kube-system]}
  selector: {matchLabels: {app.kubernetes.io/name: kubelet}}
  endpoints: [{port: https-metrics}]
---
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: pg, namespace: monitoring}
spec: {instances: 3}
---
apiVersion: v1
kind: Service
metadata: {name: pg-pool, namespace: monitoring}
spec: {selector: {cnpg.io/poolerName: pool}, ports: [{port: 5432}]}
---
"""


@pytest.mark.parametrize(
    "text",
    [
        pod(
            env="[{name: U, value: 'https://api.example.com:8443/v1'}, {name: V, value: 'http://schemas.example.org'}]"
        ),
        pod(env="[{name: REDIS_HOST, value: localhost}, {name: BIND_HOST, value: 0.0.0.0}, {name: A, value: a.b}]"),
        pod(env="[{name: API_HOST, value: kubernetes.default.svc}, {name: U, value: 'http://$(NAME).shop:80'}]"),
        pod(env="[{name: U, value: 'http://kubernetes.default.svc.cluster.local:443'}]"),
        pod(env="[{name: U, value: 's3://bucket.shop/x'}, {name: M, value: 'app.shop'}]"),
        pod(env="[{name: U, value: 'http://10.0.0.1:80'}, {name: T, value: 'http://${HOST}:80'}]"),
        pod(env="[{name: OUTER_HOST, value: db.eu-central-1.rds.amazonaws.com}]"),
        pod(env="[{name: U, value: 'http://app:80/x'}]") + SERVICE,
        pod(env="[{name: U, value: 'http://me:secret@app.shop.svc:80/x'}]") + SERVICE,
        pod(env="[{name: U, value: 'http://app.shop'}]") + SERVICE,
        pod(env="[{name: K, valueFrom: {secretKeyRef: {name: gone, key: k, optional: true}}}]"),
        pod(extra="volumes: [{name: v, configMap: {name: gone, optional: true}}]"),
        pod(extra="volumes: [{name: v, configMap: {name: kube-root-ca.crt}}]"),
        pod(extra="priorityClassName: system-cluster-critical"),
        pod(extra="serviceAccountName: default"),
        pod(extra="subdomain: peers\n      hostname: one", env="[{name: PEER_HOST, value: one.peers}]"),
        pod(env="[{name: U, value: 'http://cache-primary.shop:6379'}, {name: S, value: 'http://store.shop:1'}]")
        + RELEASE,
        pod(extra="volumes: [{name: v, persistentVolumeClaim: {claimName: data-db-0}}]")
        + """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: "example.com/db:1"}]}
  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce]}}]
""",
        """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: db, image: "example.com/db:1"}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: nobody-made}}]
  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce]}}]
---
apiVersion: v1
kind: Service
metadata: {name: db-0, namespace: shop}
spec: {selector: {statefulset.kubernetes.io/pod-name: db-0}, ports: [{port: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: db-first, namespace: shop}
spec: {selector: {app: db, apps.kubernetes.io/pod-index: "0"}, ports: [{port: 5432}]}
""",
        pod()
        + """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: front
  namespace: shop
  annotations:
    alb.ingress.kubernetes.io/actions.redirect: '{"Type": "redirect"}'
    cert-manager.io/cluster-issuer: public
    nginx.ingress.kubernetes.io/rewrite-target: "/${path}"
spec:
  tls: [{hosts: [shop.example.com], secretName: shop-tls}]
  rules:
    - host: shop.example.com
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {service: {name: redirect, port: {name: use-annotation}}}
""",
        pod(env="[{name: K, valueFrom: {secretKeyRef: {name: tls, key: tls.crt}}}]")
        + """
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: shop, namespace: shop}
spec: {secretName: tls, issuerRef: {name: ca}}
""",
        pod(env="[{name: K, valueFrom: {secretKeyRef: {name: pg-app, key: password}}}]")
        + """
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: pg, namespace: shop}
spec: {instances: 1}
""",
        pod()
        + """
apiVersion: v1
kind: ConfigMap
metadata: {name: board, namespace: shop, labels: {grafana_dashboard: "1"}}
data: {board.json: '{"url": "http://nothing.shop:80"}'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: tcp, namespace: shop}
data: {"9000": shop/app:80}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: nginx, namespace: shop}
spec:
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec:
      containers:
        - {name: c, image: "example.com/c:1", args: ["--tcp-services-configmap=$(POD_NAMESPACE)/tcp"]}
""",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: alone, namespace: shop}\ndata: {a: b}\n",
        pod(extra="volumes: [{name: v, configMap: {name: nginx}}]")
        + """
apiVersion: v1
kind: ConfigMap
metadata: {name: nginx, namespace: shop}
data:
  nginx.conf: |
    # http://comment:80
    upstream backend { server app.shop.svc:80; }
    server { location / { proxy_pass http://backend:80; } }
---"""
        + SERVICE,
        pod(extra="runtimeClassName: nvidia") + RELEASE,
        "apiVersion: v1\nkind: Service\nmetadata: {name: outer, namespace: shop}\n"
        "spec: {type: ExternalName, externalName: db.example.com}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: by-hand, namespace: shop}\nspec: {ports: [{port: 80}]}\n",
        OPERATED,
        pod(extra="runtimeClassName: nvidia"),
        pod() + "---\napiVersion: monitoring.coreos.com/v1\nkind: Prometheus\nmetadata: {name: k8s, namespace: shop}\n"
        "---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: p, namespace: shop}\n"
        "spec: {minAvailable: 1, selector: {matchLabels: {app.kubernetes.io/name: prometheus}}}\n",
        pod() + SERVICE + "---" + pod(name="other", env="[{name: POSTGRES_HOST_AUTH_METHOD, value: trust}]"),
        pod(namespace="kube-system")
        + "---\napiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: dns, namespace: shop}\n"
        "spec: {namespaceSelector: {matchNames: [kube-system]}, selector: {matchLabels: {k8s-app: kube-dns}},"
        " endpoints: [{port: metrics}]}\n",
    ],
)
def test_what_only_looks_broken_is_left_alone(look: Look, text: str) -> None:
    assert told(look(text)) == []


def test_what_a_release_may_make_is_left_open(look: Look) -> None:
    text = RELEASE + pod(
        env="[{name: U, value: 'http://search.shop:80'}]", extra="volumes: [{name: v, configMap: {name: other}}]"
    )
    report = look(text)
    assert told(report) == []
    assert report.verdict == "unknown"
    assert [each for each in left_open(report) if "HelmRelease shop/cache may make it" in each] == left_open(report)
    assert len(left_open(report)) == 2


def test_a_name_in_a_namespace_of_others_is_left_open(look: Look) -> None:
    report = look(pod(env="[{name: U, value: 'http://search.platform.svc:80'}]"))
    assert told(report) == []
    assert len(left_open(report)) == 1


def test_objects_without_a_namespace_find_each_other(look: Look) -> None:
    text = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: b}
---
apiVersion: v1
kind: Service
metadata: {name: app}
spec: {selector: {app: app}, ports: [{port: 80, targetPort: http}]}
---
""" + pod(
        namespace="",
        extra="volumes: [{name: v, configMap: {name: settings}}]",
        env="[{name: U, value: 'http://app.production.svc:80'}, {name: V, value: 'http://app:80'}]",
    )
    assert told(look(text)) == []


KUSTOMIZED: Mapping[str, str] = {
    "base/app.yaml": pod(extra="volumes: [{name: v, configMap: {name: settings}}]"),
    "base/kustomization.yaml": """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [app.yaml]
configMapGenerator: [{name: settings, literals: [a=b]}]
""",
    "production/kustomization.yaml": """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../base]
patches: [{path: more.yaml}]
""",
    "production/more.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: shop}
spec: {replicas: 5}
""",
}


def test_what_a_kustomization_generates_and_patches_is_known(look: Look) -> None:
    assert told(look(KUSTOMIZED)) == []


FLUX = """
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: apps, namespace: flux-system}
spec:
  interval: 10m
  path: ./apps
  prune: true
  sourceRef: {kind: GitRepository, name: flux-system}
  postBuild: {substitute: {CLUSTER: production}}
"""
FILLED = """
apiVersion: v1
kind: ServiceAccount
metadata:
  name: app
  namespace: shop
  annotations: {eks.amazonaws.com/role-arn: "arn:aws:iam::1:role/app-${CLUSTER}"}
"""


def test_variables_that_flux_fills_in_are_filled_in(look: Look) -> None:
    assert told(look({"flux.yaml": FLUX, "apps/app.yaml": FILLED})) == []


def test_a_variable_that_flux_is_not_given_is_found(look: Look) -> None:
    found = told(look({"flux.yaml": FLUX, "apps/app.yaml": FILLED.replace("CLUSTER", "REGION")}))
    assert [each[:5] for each in found] == ["HK006"]


def test_variables_from_a_secret_that_is_not_here_are_taken_as_given(look: Look) -> None:
    flux = FLUX.replace("postBuild: {", "postBuild: {substituteFrom: [{kind: Secret, name: cluster, optional: true}], ")
    assert told(look({"flux.yaml": flux, "apps/app.yaml": FILLED.replace("CLUSTER", "REGION")})) == []


def test_a_kustomization_of_files_that_are_not_here_may_make_anything(look: Look) -> None:
    flux = FLUX.replace("./apps", "./infrastructure")
    report = look({"flux.yaml": flux, "apps/app.yaml": pod(extra="serviceAccountName: reader")})
    assert told(report) == []
    assert len(left_open(report)) == 1


def test_the_same_object_in_folders_of_two_clusters_is_one_word(look: Look) -> None:
    objects = "".join(pod(name=f"app{index}") for index in range(9))
    files = {"dev/all.yaml": objects, "production/all.yaml": objects.replace("app:1.0", "app:2.0")}
    found = told(look(files))
    assert [each[:5] for each in found] == ["HK005"]
    assert "8 more objects" in found[0]


def test_the_same_object_in_another_version_is_there_twice(look: Look) -> None:
    text = "apiVersion: autoscaling/{}\nkind: HorizontalPodAutoscaler\nmetadata: {{name: a, namespace: shop}}\n"
    found = told(look(f"{text.format('v2')}---\n{text.format('v1')}"))
    assert found[0].startswith("HK005")
    assert "autoscaling/v2" in found[0]


@pytest.mark.parametrize("count", [1, 3])
def test_a_missing_object_is_said_once_however_many_use_it(look: Look, count: int) -> None:
    text = "".join(pod(name=f"a{index}", extra="serviceAccountName: reader") for index in range(count))
    found = [each for each in told(look(text)) if each.startswith("HK206")]
    assert len(found) == 1
    assert (f"{count - 1} more use it" in found[0]) == (count > 1)


@pytest.mark.parametrize(
    ("mode", "replicas", "more", "expected"),
    [
        ("ReadWriteOnce", 1, "", []),
        ("ReadWriteOnce", 2, "", ["error"]),
        ("ReadWriteMany", 2, "", []),
        ("ReadWriteOncePod", 2, "", ["error"]),
        ("ReadWriteOnce", 1, "hpa", ["warning"]),
        ("ReadWriteOnce", 2, "local", []),
    ],
)
def test_a_claim_of_one_node_is_for_pods_of_one_node(
    look: Look, mode: str, replicas: int, more: str, expected: list[str]
) -> None:
    text = pod(extra="volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]")
    text = text.replace("spec:\n  selector", f"spec:\n  replicas: {replicas}\n  selector")
    text += f"""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data, namespace: shop}}
spec: {{accessModes: [{mode}], storageClassName: {"local-path" if more == "local" else "efs"}}}
---
"""
    if more == "hpa":
        text += """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: app, namespace: shop}
spec: {maxReplicas: 4, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: app}}
"""
    assert [each.severity for each in look(text).findings if each.rule.id == "HK205"] == expected


ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: edge}
spec:
  gatewayClassName: istio
  listeners:
    - name: http
      port: 80
      protocol: HTTP
      allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {open: "yes"}}}}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {open: "yes"}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: app, namespace: shop}
spec:
  parentRefs: [{name: public, namespace: edge}]
  rules: [{backendRefs: [{name: app, port: 80}]}]
---"""


def test_a_listener_takes_routes_of_namespaces_that_its_selector_means(look: Look) -> None:
    text = ROUTE + pod() + SERVICE
    assert told(look(text)) == []
    refused = told(look(text.replace('labels: {open: "yes"}}\n---', "labels: {}}\n---")))
    assert [each[:5] for each in refused] == ["HK218"]


KINDS = [
    "v1 Service", "v1 ConfigMap", "v1 Secret", "apps/v1 Deployment", "apps/v1 StatefulSet", "v1 Node",
    "gateway.networking.k8s.io/v1 Gateway", "gateway.networking.k8s.io/v1 HTTPRoute",
    "inference.networking.k8s.io/v1 InferencePool", "helm.toolkit.fluxcd.io/v2 HelmRelease",
    "kustomize.toolkit.fluxcd.io/v1 Kustomization", "monitoring.coreos.com/v1 ServiceMonitor",
    "monitoring.coreos.com/v1 PodMonitor", "autoscaling/v2 HorizontalPodAutoscaler", "milvus.io/v1beta1 Milvus",
    "rbac.authorization.k8s.io/v1 RoleBinding", "karpenter.sh/v1 NodePool", "argoproj.io/v1alpha1 Application",
    "external-secrets.io/v1 ExternalSecret", "cert-manager.io/v1 Certificate", "kagent.dev/v1alpha2 Agent",
    "admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration", "nvidia.com/v1 ClusterPolicy",
    "policy/v1 PodDisruptionBudget", "networking.k8s.io/v1 Ingress", "kueue.x-k8s.io/v1beta2 ClusterQueue",
]  # fmt: skip


@pytest.mark.parametrize(
    "broken",
    [
        "spec: 3", "spec: []", "spec: {template: []}", "spec: {template: {spec: {volumes: 1, containers: {}}}}",
        "spec: {selector: [a], ports: {}}", "spec: {parentRefs: [1, null], rules: x}", "metadata: []", "data: [1]",
        "spec: {values: [1], chart: 3, dependsOn: [null], valuesFrom: {a: b}}", "roleRef: x\nsubjects: {a: 1}",
        "spec: {listeners: [3, {tls: 1, allowedRoutes: []}], gatewayClassName: [x]}", "webhooks: [[1]]",
        "spec: {selector: {matchLabels: [a]}, targetPorts: [x], endpointPickerRef: 1}", "spec: {scaleTargetRef: []}",
        "spec: {template: {spec: {containers: [{env: [1, {valueFrom: 2}], ports: [z], volumeMounts: [null]}]}}}",
    ],
)  # fmt: skip
def test_no_shape_of_a_manifest_breaks_a_check(look: Look, broken: str) -> None:
    """All kinds at once: each kind alone would say no more, and take as long every time."""
    named = "" if "metadata" in broken else "metadata: {name: a, namespace: b}\n"
    text = "".join(f"apiVersion: {kind.split()[0]}\nkind: {kind.split()[1]}\n{named}{broken}\n---\n" for kind in KINDS)
    assert [each.message for each in look(text).findings if each.rule.id == "HK008"] == []


@pytest.mark.parametrize("piece", ["a", "-", "a.", "http://", "x: ", "a@", "${A", "a.b.svc"])
def test_long_texts_are_looked_through_in_time(tmp_path: Path, piece: str) -> None:
    """A search that tries every way again would not come back from these."""
    line = piece * 60_000
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kube-root-ca.crt}\ndata:\n"
    text += f"  a: '{line}'\n  b: |\n    {line}\n    x\n---\n" + pod(env=f"[{{name: A_HOST, value: '{line}'}}]")
    (tmp_path / "long.yaml").write_text(text)
    case = Case(cluster=gather([tmp_path]).cluster, facts=facts())
    assert all(finding.rule.id != "HK201" for check in checks("references") for finding in check(case))


@pytest.mark.parametrize(
    ("path", "wait", "kind", "told_of"),
    [
        ("./live/apps/ingestion", "true", "CronJob", True),
        ("./live/apps/ingestion", "false", "CronJob", False),
        ("./live/apps/other", "true", "CronJob", False),
        ("./live/apps/ingestion", "true", "Job", False),
    ],
)
def test_disks_of_cronjobs_hold_up_only_the_step_that_waits(
    look: Look, path: str, wait: str, kind: str, told_of: bool
) -> None:
    pods = "template: {spec: {volumes: [{name: a, persistentVolumeClaim: {claimName: disk}}]}}"
    spec = f"{{jobTemplate: {{spec: {{{pods}}}}}}}" if kind == "CronJob" else f"{{{pods}}}"
    files = {
        "live/apps/ingestion/all.yaml": (
            f"apiVersion: batch/v1\nkind: {kind}\nmetadata: {{name: a, namespace: x}}\nspec: {spec}\n---\n"
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: disk, namespace: x}\nspec: {}\n"
        ),
        "live/step.yaml": (
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: a, namespace: f}\n"
            f"spec: {{path: {path}, wait: {wait}}}\n"
        ),
    }
    assert ("HK580" in [each.rule.id for each in look(files).findings]) is told_of
