"""An OpenTelemetry collector: Hanok's pods send spans to it alone, and it hands them to every receiver.

So keys of receivers are in one place, a slow receiver holds up nobody, and more gateways are no more connections.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.errors import Problem
from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.filled import templated_secret
from hanok.kubernetes.hardening import container_security, pod_security, spread
from hanok.kubernetes.notes import Told
from hanok.kubernetes.objects import label, labels, thing
from hanok.kubernetes.places import HANOK, OBSERVABILITY
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.receivers import Receiver, made_up, receivers, refuse_local
from hanok.kubernetes.walls import all_of, own_pods, port

NAME, OPERATOR = "otel-operator", "opentelemetry-operator"
COLLECTOR = "hanok"
"""The object; its Service is `hanok-collector`."""
SECRET = "hanok-collector"
GRPC_PORT, HTTP_PORT, HEALTH_PORT = 4317, 4318, 13133
PODS = {
    "app.kubernetes.io/component": "opentelemetry-collector",
    "app.kubernetes.io/instance": f"{OBSERVABILITY}.{COLLECTOR}",
}
"""What the operator labels the collector's pods with."""
MEMORY_MIB = 512
QUEUE = 5000
"""Batches that wait for one receiver; then spans are dropped, and counted."""


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The operator, whose webhook needs a certificate; the collector is an app."""
    pin = plan.lock.pin("otel-collector")
    values = {
        "manager": {
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "collectorImage": {"repository": pin.image, "tag": pin.version},
        },
        "pdb": {"create": True, "minAvailable": "", "maxUnavailable": 1},
    }
    yield Chart(chart=NAME, release=OPERATOR, namespace=OPERATOR, values=values, needs=("cert-manager",))
    yield from (Placed(stage="apps", folder=OBSERVABILITY, body=each) for each in _objects(plan))


def _objects(plan: ClusterPlan) -> Iterator[Body]:
    found = receivers(plan)
    yield _collector(plan, found)
    texts = {variable: text for each in found for variable, text in _hidden(each)}
    if texts:
        needs = [name for each in found for name in each.needs]
        yield templated_secret(plan, SECRET, OBSERVABILITY, texts, needs, component=NAME)
    yield _walls()


def _collector(plan: ClusterPlan, found: list[Receiver]) -> Body:
    secret = any(True for each in found for _ in _hidden(each))
    memory = f"{MEMORY_MIB}Mi"
    spec: Body = {
        "mode": "deployment",
        "image": plan.lock.image("otel-collector"),
        "autoscaler": {"minReplicas": 2, "maxReplicas": 6, "targetCPUUtilization": 70, "targetMemoryUtilization": 75},
        "podDisruptionBudget": {"maxUnavailable": 1},
        "resources": {"requests": {"cpu": "250m", "memory": memory}, "limits": {"memory": memory}},
        "podSecurityContext": pod_security(),
        "securityContext": container_security(),
        "topologySpreadConstraints": spread(PODS),
        "observability": {"metrics": {"enableMetrics": plan.cluster.observe.prometheus}},
        "envFrom": [{"secretRef": {"name": SECRET}}] if secret else [],
        "config": _config(found),
    }
    return thing(
        "opentelemetry.io/v1beta1", "OpenTelemetryCollector", COLLECTOR, OBSERVABILITY,
        labels=labels(COLLECTOR, NAME), spec=spec,
    )  # fmt: skip


# --- What it does -----------------------------------------------------------------------------------------------------


def _config(found: list[Receiver]) -> Body:
    """Memory is looked at first, so that it refuses before it dies; Hanok's pods then keep what they have."""
    protocols = {"grpc": {"endpoint": f"0.0.0.0:{GRPC_PORT}"}, "http": {"endpoint": f"0.0.0.0:{HTTP_PORT}"}}
    exporters = {_exporter(each): _export(each) for each in found}
    pipeline = {"receivers": ["otlp"], "processors": ["memory_limiter", "batch"], "exporters": list(exporters)}
    return {
        "extensions": {"health_check": {"endpoint": f"0.0.0.0:{HEALTH_PORT}"}},
        "receivers": {"otlp": {"protocols": protocols}},
        "processors": {
            "memory_limiter": {"check_interval": "1s", "limit_percentage": 80, "spike_limit_percentage": 20},
            "batch": {"send_batch_size": 512, "send_batch_max_size": 1024, "timeout": "2s"},
        },
        "exporters": exporters,
        "service": {"extensions": ["health_check"], "pipelines": {"traces": pipeline}},
    }


def _exporter(receiver: Receiver) -> str:
    return f"otlp_http/{receiver.name}"


def _export(receiver: Receiver) -> Body:
    """Secrets stand in the environment, by the collector's own form of a variable."""
    headers = {name: _word(_variable(receiver, name)) for name in receiver.headers}
    endpoint = _word(_variable(receiver, "url")) if "{{" in receiver.url else receiver.url
    return {
        "traces_endpoint": endpoint,
        "headers": {**receiver.plain, **headers},
        "compression": "gzip",
        "retry_on_failure": {"enabled": True, "max_elapsed_time": "10m"},
        "sending_queue": {"enabled": True, "num_consumers": 4, "queue_size": QUEUE},
    }


def _word(variable: str) -> str:
    return f"${{env:{variable}}}"


def _hidden(receiver: Receiver) -> Iterator[tuple[str, str]]:
    """Variables of the collector for one receiver, and the templates of their values."""
    for name, text in receiver.headers.items():
        yield _variable(receiver, name), text
    if "{{" in receiver.url:
        yield _variable(receiver, "url"), receiver.url


def _variable(receiver: Receiver, name: str) -> str:
    return label(f"{receiver.name}-{name}").replace("-", "_").upper()


def _walls() -> Body:
    """In come Hanok's pods, and Prometheus and the operator."""
    door = all_of(HANOK)
    ports = [port(each) for each in (GRPC_PORT, HTTP_PORT)]
    spec: Body = {
        "podSelector": {"matchLabels": PODS},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [door], "ports": ports}, {"from": [own_pods()]}],
    }
    marks = labels("collector-senders", NAME)
    return thing("networking.k8s.io/v1", "NetworkPolicy", "collector-senders", OBSERVABILITY, labels=marks, spec=spec)


# --- What cannot be, and what is left to do ---------------------------------------------------------------------------


def is_wanted(plan: ClusterPlan) -> bool:
    """Where there is somebody to hand spans to."""
    return plan.cluster.observe.collector and bool(receivers(plan))


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """Receivers that the cluster cannot reach."""
    yield from refuse_local(plan)


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """Names of receivers' keys. Those that the file names are told with its other variables."""
    declared = {each.name for each in plan.variables}
    for name in dict.fromkeys(name for each in receivers(plan) for name in each.needs):
        if name not in declared:
            made = made_up(f"${{env:{name}}}") if plan.cluster.observe.langfuse else ""
            yield plan.value(name, "to send spans", made=made)


COMPONENT = Component(name=NAME, wanted=is_wanted, adapters={"v1beta1": render}, refuse=refuse, notes=notes)
