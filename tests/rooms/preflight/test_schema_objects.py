"""Layer 1, what the API server refuses beyond schemas, each with its near misses."""

from __future__ import annotations

import pytest

from hanok.preflight.schema.schedules import wrong_schedule
from tests.rooms.preflight.conftest import Look, ids, look_by, only
from tests.rooms.preflight.test_schema_kinds import definition

look = look_by("HK1")


def pod(container: str = "", spec: str = "") -> str:
    """A pod with more in its container and its spec."""
    return (
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: worker\nspec:\n"
        + "".join(f"  {line}\n" for line in spec.strip().splitlines())
        + "  containers:\n    - name: worker\n      image: registry.example.org/worker:1\n"
        + "".join(f"      {line}\n" for line in container.strip().splitlines())
    )


def owner(kind: str, *, selector: str = "{matchLabels: {app: web}}", labels: str = "{app: web}", spec: str = "") -> str:
    return f"""
apiVersion: apps/v1
kind: {kind}
metadata: {{name: web}}
spec:
  selector: {selector}
  template:
    metadata: {{labels: {labels}}}
    spec:
      {spec}
      containers: [{{name: web, image: "web:1"}}]
"""


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"])
def test_a_selector_must_find_its_own_pods(look: Look, kind: str) -> None:
    assert ids(look(owner(kind))) == []
    assert ids(look(owner(kind, labels="{app: web, tier: front}"))) == []
    assert ids(look(owner(kind, selector="{matchExpressions: [{key: app, operator: In, values: [web]}]}"))) == []
    found = only(look(owner(kind, labels="{app: api}")), "HK121")
    assert found.message == "spec.selector wants app=web, and the pods have app=api"
    assert only(look(owner(kind, labels="{}")), "HK121").message.endswith("the pods have no labels")
    assert only(look(owner(kind, selector="{}")), "HK121").message == "spec.selector is empty"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: a}\n", "has no name"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: My_Map}\n", '"My_Map" is not one'),
        ("apiVersion: v1\nkind: Namespace\nmetadata: {name: team.a}\n", '"team.a" is not one'),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a b: c}\n", 'the key "a b"'),
        (f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {'a' * 254}}}\n", "of 254 characters is too long"),
        (pod("ports: [{name: Http, containerPort: 80}]"), 'the port\'s name "Http"'),
        (pod("ports: [{name: '8080', containerPort: 80}]"), 'the port\'s name "8080"'),
        (pod("readinessProbe: {httpGet: {port: '80', path: /}}"), 'the port\'s name "80"'),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80, targetPort: '8080'}]}\n",
            'the port\'s name "8080"',
        ),
        (pod("env: [{name: A=B, value: c}]"), 'the variable\'s name "A=B"'),
        (pod(spec="volumes: [{name: my.data}]"), 'the volume\'s name "my.data"'),
        (pod().replace("- name: worker", "- name: Worker"), 'the container\'s name "Worker"'),
    ],
)
def test_names_that_the_api_server_refuses(look: Look, text: str, said: str) -> None:
    report = look(text)
    assert ids(report) == ["HK122"]
    assert said in report.findings[0].message


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: my.map-1}\ndata: {.env: a, A_b.c-d: e}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: map-}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '${CLUSTER_NAME}-map', namespace: '${SPACE}'}\n",
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: 'system:My_role'}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80, targetPort: http}]}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: 9a}\nspec: {ports: [{port: 80, targetPort: 8080}]}\n",
        pod("ports: [{name: http-1, containerPort: 80}]\nenv: [{name: my.var-1, value: a}, {name: '9', value: b}]"),
    ],
)
def test_names_that_look_odd_and_are_right(look: Look, text: str) -> None:
    assert ids(look(text)) == []


@pytest.mark.parametrize(
    ("labels", "fine"),
    [
        ("{app.kubernetes.io/name: web, a: '', B_c: 1.2-x}", True),
        ("{a: '${VALUE}/x'}", True),
        ("{a: b c}", False),
        ("{a: -b}", False),
        ("{a/b/c: d}", False),
        ("{Example.org/a: b}", False),
        (f"{{a: {'b' * 64}}}", False),
        (f"{{{'a' * 64}: b}}", False),
    ],
)
def test_labels_must_be_such(look: Look, labels: str, fine: bool) -> None:
    text = f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labels: {labels}\n"
    assert ids(look(text)) == ([] if fine else ["HK123"])


def test_annotations_may_hold_anything_under_a_proper_key(look: Look) -> None:
    text = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  annotations: {Example.org/A: 'any text'}\n"
    assert ids(look(text)) == []
    assert ids(look(text.replace("Example.org/A", "a b"))) == ["HK123"]


@pytest.mark.parametrize(
    ("resources", "rules"),
    [
        ("{requests: {cpu: 500m, memory: 1Gi}, limits: {cpu: 1, memory: 1Gi}}", []),
        ("{requests: {cpu: 2}, limits: {memory: 1Gi}}", []),
        ("{requests: {cpu: 1500m}, limits: {cpu: 1}}", ["HK125"]),
        ("{limits: {nvidia.com/gpu: 1}}", []),
        ("{requests: {nvidia.com/gpu: '2'}, limits: {nvidia.com/gpu: 2}}", []),
        ("{requests: {nvidia.com/gpu: 1}, limits: {nvidia.com/gpu: 2}}", ["HK126"]),
        ("{requests: {nvidia.com/gpu: 1}}", ["HK126"]),
        ("{limits: {nvidia.com/gpu: 500m}}", ["HK126"]),
        ("{limits: {nvidia.com/gpu: 1.5}}", ["HK126"]),
        ("{limits: {gpu: 1}}", ["HK126"]),
        ("{requests: {hugepages-2Mi: 4Mi, memory: 1Gi}, limits: {hugepages-2Mi: 4Mi}}", []),
        ("{requests: {hugepages-2Mi: 4Mi, memory: 1Gi}}", ["HK126"]),
        ("{limits: {memory: 512m}}", ["HK124"]),
        ("{limits: {memory: -1Gi}}", ["HK124"]),
        ("{limits: {memory: 1.5Gi, ephemeral-storage: 1e9}}", []),
    ],
)
def test_what_is_asked_for_must_be_possible(look: Look, resources: str, rules: list[str]) -> None:
    assert ids(look(pod(f"resources: {resources}"))) == rules


@pytest.mark.parametrize(
    ("container", "spec", "rules"),
    [
        ("ports: [{name: a, containerPort: 80}, {name: a, containerPort: 81}]", "", ["HK127"]),
        ("ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}]", "", []),
        ("ports: [{containerPort: 80, hostPort: 80}, {containerPort: 81, hostPort: 80}]", "", ["HK127"]),
        ("volumeMounts: [{name: a, mountPath: /a}, {name: a, mountPath: /a}]", "volumes: [{name: a}]", ["HK127"]),
        ("volumeMounts: [{name: a, mountPath: /a}, {name: a, mountPath: /b}]", "volumes: [{name: a}]", []),
        ("", "volumes: [{name: a}, {name: a}]", ["HK127"]),
        ("", "initContainers: [{name: worker, image: 'a:1'}]", ["HK127"]),
        ("env: [{name: A, value: a}, {name: A, value: b}]", "", ["HK127"]),
    ],
)
def test_nothing_is_named_twice(look: Look, container: str, spec: str, rules: list[str]) -> None:
    assert ids(look(pod(container, spec))) == rules


def test_a_variable_that_stands_twice_is_only_a_warning(look: Look) -> None:
    found = only(look(pod("env: [{name: A, value: a}, {name: A, value: b}]")), "HK127")
    assert found.severity == "warning"


def test_a_mount_needs_its_volume(look: Look) -> None:
    mount = "volumeMounts: [{name: cache, mountPath: /cache}]"
    found = only(look(pod(mount, "volumes: [{name: cash}]")), "HK128")
    assert found.message.endswith("the pod has no volume 'cache'; it has cash")
    claims = """
  serviceName: web
  volumeClaimTemplates:
    - metadata: {name: cache}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
    stateful = owner("StatefulSet").replace("  selector", f"{claims.rstrip()}\n  selector")
    stateful = stateful.replace('image: "web:1"', f'image: "web:1", {mount}')
    assert ids(look(stateful)) == []
    claim = "resources: {claims: [{name: gpu}]}"
    assert ids(look(pod(claim))) == ["HK128"]
    assert ids(look(pod(claim, "resourceClaims: [{name: gpu, resourceClaimTemplateName: one}]"))) == []


def job(kind: str, policy: str) -> str:
    template = f"template: {{spec: {{{policy}containers: [{{name: a, image: 'a:1'}}]}}}}"
    inner = template if kind == "Job" else f"schedule: '@daily'\n  jobTemplate: {{spec: {{{template}}}}}"
    return f"apiVersion: batch/v1\nkind: {kind}\nmetadata: {{name: a}}\nspec:\n  {inner}\n"


@pytest.mark.parametrize("kind", ["Job", "CronJob"])
def test_what_ends_does_not_always_start_again(look: Look, kind: str) -> None:
    assert ids(look(job(kind, "restartPolicy: Never, "))) == []
    assert ids(look(job(kind, "restartPolicy: OnFailure, "))) == []
    assert ids(look(job(kind, "restartPolicy: Always, "))) == ["HK129"]
    assert "missing, and `Always` by default" in only(look(job(kind, "")), "HK129").message


def test_what_stays_always_starts_again(look: Look) -> None:
    assert ids(look(owner("Deployment", spec="restartPolicy: Always"))) == []
    assert ids(look(owner("Deployment", spec="restartPolicy: Never"))) == ["HK129"]
    assert ids(look(pod(spec="restartPolicy: Never"))) == []


@pytest.mark.parametrize(
    "schedule",
    [
        "0 1 * * *",
        "*/5 * * * *",
        "0 9-17/2 * * mon-fri",
        "0 0 1,15 JAN ?",
        "@daily",
        "@every 1h30m",
        "59 23 31 12 6",
        "0 0 * * SUN",
    ],
)
def test_schedules_that_jobs_run_by(schedule: str) -> None:
    assert wrong_schedule(schedule) is None


@pytest.mark.parametrize(
    "schedule",
    ["", "0 1 * *", "0 1 * * * *", "60 * * * *", "0 24 * * *", "0 0 0 * *", "0 0 * 13 *", "0 0 * * 7", "*/0 * * * *",
     "5-1 * * * *", "a * * * *", "@often", "TZ=Asia/Seoul 0 1 * * *", "0 1 * * mon-", "every day at noon",
     "*-5 * * * *"],
)  # fmt: skip
def test_schedules_that_no_job_runs_by(schedule: str) -> None:
    assert wrong_schedule(schedule) is not None


@pytest.mark.parametrize(
    ("zone", "rules"), [("Asia/Seoul", []), ("Etc/UTC", []), ("Seoul", ["HK130"]), ("Local", ["HK130"])]
)
def test_a_time_zone_is_one_of_the_iana_database(look: Look, zone: str, rules: list[str]) -> None:
    text = job("CronJob", "restartPolicy: Never, ").replace("schedule:", f"timeZone: {zone}\n  schedule:")
    assert ids(look(text)) == rules


@pytest.mark.parametrize(
    ("spec", "rules"),
    [
        ("{selector: {app: a}, ports: [{port: 80}]}", []),
        ("{ports: [{port: 80}, {port: 443, name: b}]}", ["HK131"]),
        ("{ports: [{port: 80, name: a}, {port: 443, name: a}]}", ["HK127"]),
        ("{ports: [{port: 80, name: a}, {port: 80, name: b}]}", ["HK127"]),
        ("{ports: [{port: 80, name: a}, {port: 80, name: b, protocol: UDP}]}", []),
        ("{selector: {app: a}}", ["HK131"]),
        ("{clusterIP: None, selector: {app: a}}", []),
        ("{type: ExternalName, externalName: example.org}", []),
        ("{type: ExternalName}", ["HK131"]),
        ("{type: LoadBalancer, clusterIP: None, ports: [{port: 80}]}", ["HK134"]),
    ],
)
def test_services_have_their_ports(look: Look, spec: str, rules: list[str]) -> None:
    assert ids(look(f"apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec: {spec}\n")) == rules


@pytest.mark.parametrize(
    ("container", "spec", "rules"),
    [
        ("livenessProbe: {}", "", ["HK132"]),
        ("livenessProbe: {exec: {command: [a]}, tcpSocket: {port: 80}}", "", ["HK132"]),
        ("startupProbe: {grpc: {port: 80}}", "", []),
        ("lifecycle: {preStop: {sleep: {seconds: 5}}}", "", []),
        ("lifecycle: {preStop: {}}", "", ["HK132"]),
        ("env: [{name: A, value: a, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]", "", ["HK132"]),
        ("env: [{name: A, value: '', valueFrom: {fieldRef: {fieldPath: metadata.name}}}]", "", []),
        ("env: [{name: A, valueFrom: {}}]", "", ["HK132"]),
        ("env: [{name: A}]", "", []),
        ("envFrom: [{configMapRef: {name: a}}, {secretRef: {name: b}, prefix: B_}]", "", []),
        ("envFrom: [{prefix: A_}]", "", ["HK132"]),
        ("", "volumes: [{name: a, emptyDir: {}, configMap: {name: b}}]", ["HK132"]),
        ("", "volumes: [{name: a}]", []),
    ],
)
def test_of_several_handlers_and_sources_there_is_one(look: Look, container: str, spec: str, rules: list[str]) -> None:
    assert ids(look(pod(container, spec))) == rules


def test_a_pod_has_containers_and_they_have_images(look: Look) -> None:
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n"
    assert ids(look(text)) == ["HK133"]
    assert ids(look(text.replace("[]", "[{name: a}]"))) == ["HK133"]
    assert ids(look(text.replace("[]", "[{name: a, image: ' a:1'}]"))) == ["HK133"]
    lws = """
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: a}
spec: {leaderWorkerTemplate: {size: 2, workerTemplate: {spec: {containers: [{name: a}]}}}}
"""
    assert ids(look(lws)) == ["HK107"]


@pytest.mark.parametrize(
    ("container", "spec", "rules"),
    [
        ("", "tolerations: [{operator: Exists}, {key: a, value: b}, {key: a, operator: Exists}]", []),
        ("", "tolerations: [{key: a, operator: Exists, value: b}]", ["HK134"]),
        ("", "tolerations: [{value: b}]", ["HK134"]),
        ("", "tolerations: [{key: a, operator: Exists, effect: NoSchedule, tolerationSeconds: 3}]", ["HK134"]),
        ("", "dnsPolicy: None", ["HK134"]),
        ("", "dnsPolicy: None\ndnsConfig: {nameservers: [10.0.0.1]}", []),
        ("securityContext: {privileged: true, allowPrivilegeEscalation: false}", "", ["HK134"]),
        ("livenessProbe: {tcpSocket: {port: 80}, successThreshold: 2}", "", ["HK134"]),
        ("readinessProbe: {tcpSocket: {port: 80}, successThreshold: 2}", "", []),
        ("ports: [{containerPort: 80, hostPort: 81}]", "hostNetwork: true", ["HK134"]),
        ("ports: [{containerPort: 80, hostPort: 81}]", "", []),
        ("", "initContainers: [{name: a, image: 'a:1', readinessProbe: {tcpSocket: {port: 1}}}]", ["HK134"]),
        (
            "",
            "initContainers: [{name: a, image: 'a:1', restartPolicy: Always, readinessProbe: {tcpSocket: {port: 1}}}]",
            [],
        ),
    ],
)
def test_fields_of_a_pod_that_do_not_go_together(look: Look, container: str, spec: str, rules: list[str]) -> None:
    assert ids(look(pod(container, spec))) == rules


@pytest.mark.parametrize(("operator", "values", "fine"), [
    ("In", "[a]", True), ("In", "[]", False), ("Exists", "[]", True), ("Exists", "[a]", False),
    ("Gt", "['1']", True), ("Gt", "[a]", False), ("Lt", "['1', '2']", False),
])  # fmt: skip
def test_requirements_of_nodes_fit_their_operators(look: Look, operator: str, values: str, fine: bool) -> None:
    terms = f"nodeSelectorTerms: [{{matchExpressions: [{{key: a, operator: {operator}, values: {values}}}]}}]"
    affinity = f"affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{{terms}}}}}}}"
    assert ids(look(pod(spec=affinity))) == ([] if fine else ["HK134"])


TARGET = "scaleTargetRef: {kind: Deployment, name: a, apiVersion: apps/v1}"


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (f"autoscaling/v2 HorizontalPodAutoscaler {{spec: {{minReplicas: 5, maxReplicas: 3, {TARGET}}}}}", ["HK134"]),
        (f"autoscaling/v2 HorizontalPodAutoscaler {{spec: {{maxReplicas: 3, {TARGET}}}}}", []),
        ("policy/v1 PodDisruptionBudget {spec: {minAvailable: 1, maxUnavailable: 1}}", ["HK134"]),
        ("policy/v1 PodDisruptionBudget {spec: {minAvailable: 50%}}", []),
        ("v1 PersistentVolumeClaim {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}", []),
        ("v1 PersistentVolumeClaim {spec: {accessModes: [ReadWriteOnce]}}", ["HK135"]),
        ("v1 PersistentVolumeClaim {spec: {resources: {requests: {storage: 1Gi}}}}", ["HK135"]),
        ("v1 Secret {type: kubernetes.io/tls, stringData: {tls.crt: a, tls.key: b}}", []),
        ("v1 Secret {type: kubernetes.io/tls, stringData: {tls.crt: a}}", ["HK135"]),
        ("v1 Secret {data: {a: aGVsbG8=}}", []),
        ("v1 Secret {data: {a: not base64!}}", ["HK104"]),
        (
            "rbac.authorization.k8s.io/v1 ClusterRoleBinding {roleRef: {apiGroup: rbac.authorization.k8s.io, "
            "kind: ClusterRole, name: a}, subjects: [{kind: ServiceAccount, name: b}]}",
            ["HK135"],
        ),
        (
            "networking.k8s.io/v1 Ingress {spec: {rules: [{http: {paths: [{path: a, pathType: Prefix, "
            "backend: {service: {name: b, port: {number: 80}}}}]}}]}}",
            ["HK134"],
        ),
    ],
)
def test_kinds_have_questions_of_their_own(look: Look, text: str, rules: list[str]) -> None:
    version, kind, rest = text.split(" ", 2)
    assert ids(look(f"{{apiVersion: {version}, kind: {kind}, metadata: {{name: a}}, {rest[1:]}\n")) == rules


def test_until_kubernetes_1_33_a_service_began_with_a_letter(look: Look) -> None:
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: 9a}\nspec: {ports: [{port: 80}]}\n"
    assert ids(look(text, kubernetes="1.33")) == ["HK122"]


def test_a_definition_is_called_by_its_plural_and_group(look: Look) -> None:
    text = definition("a: {type: integer}")
    assert ids(look(text)) == []
    found = only(look(text.replace("name: models.example.org", "name: model.example.org")), "HK134")
    assert found.message == "metadata.name: must be models.example.org, and is model.example.org"


def test_a_strategy_has_only_its_own_settings(look: Look) -> None:
    text = owner("Deployment")
    assert ids(look(text + "  strategy: {type: Recreate}\n")) == []
    assert ids(look(text + "  strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}\n")) == ["HK134"]
    assert ids(look(text + "  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}\n")) == ["HK134"]
    assert ids(look(text + "  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}\n")) == []


@pytest.mark.parametrize("wrong", ["7", "text", "[]", "[7]", "{a: 7}", "null", "[[]]", "true"])
@pytest.mark.parametrize(
    "field",
    ["metadata", "spec", "spec.selector", "spec.template", "spec.template.spec", "spec.template.spec.containers",
     "spec.template.spec.volumes", "spec.template.spec.tolerations", "spec.ports", "spec.schedule", "spec.jobTemplate",
     "spec.volumeClaimTemplates", "subjects", "data", "spec.template.metadata"],
)  # fmt: skip
def test_manifests_of_any_shape_break_nothing(look: Look, field: str, wrong: str) -> None:
    inner = wrong
    for step in reversed(field.split(".")):
        inner = f"{{{step}: {inner}}}"
    kinds = (
        "apps/v1 Deployment", "apps/v1 StatefulSet", "batch/v1 CronJob", "v1 Service", "v1 Pod", "v1 Secret",
        "rbac.authorization.k8s.io/v1 RoleBinding", "autoscaling/v2 HorizontalPodAutoscaler",
        "networking.k8s.io/v1 Ingress",
    )  # fmt: skip
    texts = [f"{{apiVersion: {each.split()[0]}, kind: {each.split()[1]}, {inner[1:]}" for each in kinds]
    assert "HK008" not in ids(look("\n---\n".join(texts)))
