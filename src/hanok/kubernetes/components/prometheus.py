"""Prometheus, Alertmanager and Grafana by kube-prometheus-stack; alerts and dashboards of the platform.

Every monitor and rule in the cluster is seen, whoever made it: by default the chart sees its own alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hanok.errors import Problem
from hanok.kubernetes.alerts import groups
from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.dashboards import dashboards
from hanok.kubernetes.external import external_secret
from hanok.kubernetes.filled import fetched, filled_secret
from hanok.kubernetes.notes import Known, Told
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.places import HANOK, OBSERVABILITY, PROMETHEUS_RELEASE, WORKLOAD
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.walls import all_of, own_pods, port
from hanok.spec.written import VARIABLE

NAME = "prometheus"
GRAFANA_SECRET, GRAFANA_USER, GRAFANA_PASSWORD = "grafana-admin", "GRAFANA_ADMIN_USER", "GRAFANA_ADMIN_PASSWORD"
ALERTS_SECRET, ALERTS_KEY = "alerts-receiver", "url"
PORT = 9090
READERS = (HANOK, "keda")
"""Namespaces beside its own that may ask Prometheus: KEDA scales by it."""
_FILLED = 0.85
"""Share of the disk that blocks may take: the write-ahead log and compaction need room."""
_HOST = re.compile(r"^[a-z]+://[^/?#]*")
_UNSEEN = ("kubeControllerManager", "kubeScheduler", "kubeEtcd", "kubeProxy")
"""Parts that EKS runs itself: there is nothing to scrape, and their alerts would fire for ever."""


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The chart; rules, dashboards, secrets and walls beside it.

    Its custom resources are wanted early, and Grafana's Secret comes late, so nobody waits for its pods.
    """
    yield Chart(chart=NAME, release=PROMETHEUS_RELEASE, namespace=OBSERVABILITY, values=_values(plan), wait=False)
    for body in _objects(plan):
        yield Placed(stage="apps", folder=OBSERVABILITY, body=body)


def _objects(plan: ClusterPlan) -> Iterator[Body]:
    yield from (each.body() for each in groups(plan))
    yield from (_board(name, text) for name, text in dashboards(plan))
    keys = {"admin-user": GRAFANA_USER, "admin-password": GRAFANA_PASSWORD}
    yield external_secret(plan, GRAFANA_SECRET, OBSERVABILITY, keys, component=NAME)
    if plan.cluster.observe.alerts:
        texts = {ALERTS_KEY: _alerts_url(plan)}
        yield filled_secret(plan, ALERTS_SECRET, OBSERVABILITY, texts, component=NAME)
    yield _walls()


def _board(name: str, text: str) -> Body:
    """A dashboard, which Grafana's sidecar finds by its label."""
    marks = labels(f"dashboard-{name}", "dashboards", grafana_dashboard="1")
    return thing("v1", "ConfigMap", f"dashboard-{name}", OBSERVABILITY, labels=marks, data={f"hanok-{name}.json": text})


# --- Values of the chart ----------------------------------------------------------------------------------------------


def _values(plan: ClusterPlan) -> Body:
    found: Body = {
        "prometheus": _prometheus(plan),
        "alertmanager": _alertmanager(plan),
        "grafana": {
            "admin": {
                "existingSecret": GRAFANA_SECRET,
                "userKey": "admin-user",
                "passwordKey": "admin-password",
            },
            "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        },
        "kube-state-metrics": {
            "metricLabelsAllowlist": [f"nodes=[node.kubernetes.io/instance-type,{WORKLOAD}]"],
        },
    }
    if plan.on_aws:
        found |= {each: {"enabled": False} for each in _UNSEEN}
    return found


def _prometheus(plan: ClusterPlan) -> Body:
    observe = plan.cluster.observe
    every = {
        f"{each}SelectorNilUsesHelmValues": False
        for each in ("rule", "serviceMonitor", "podMonitor", "probe", "scrapeConfig")
    }
    spec = {
        **every,
        "replicas": 2,
        "retention": f"{observe.retention_days}d",
        "retentionSize": f"{int(observe.storage_gib * _FILLED)}GiB",
        "resources": {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"memory": "4Gi"}},
        "storageSpec": _disk(observe.storage_gib),
    }
    return {"prometheusSpec": spec, "podDisruptionBudget": {"enabled": True}}


def _disk(gib: int) -> Body:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": f"{gib}Gi"}}}
    return {"volumeClaimTemplate": {"spec": claim}}


def _alertmanager(plan: ClusterPlan) -> Body:
    spec: Body = {
        "replicas": 2,
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "storage": _disk(2),
    }
    found: Body = {"alertmanagerSpec": spec, "podDisruptionBudget": {"enabled": True}}
    if plan.cluster.observe.alerts:
        spec["secrets"] = [ALERTS_SECRET]
        found["config"] = _routes(plan)
    return found


def _routes(plan: ClusterPlan) -> Body:
    """All but the heartbeat and what only silences others; `info` is shown, and not sent."""
    quiet = {"receiver": "null", "matchers": ['alertname =~ "Watchdog|InfoInhibitor"']}
    info = {"receiver": "null", "matchers": ['severity = "info"']}
    return {
        "route": {"receiver": "people", "group_by": ["namespace", "alertname"], "routes": [quiet, info]},
        "receivers": [{"name": "null"}, {"name": "people", **_receiver(plan)}],
    }


def _receiver(plan: ClusterPlan) -> Body:
    told, file = plan.cluster.observe.alerts, f"/etc/alertmanager/secrets/{ALERTS_SECRET}/{ALERTS_KEY}"
    if told is not None and told.to == "slack":
        text = "{{ range .Alerts }}*{{ .Annotations.summary }}*\n{{ .Annotations.description }}\n{{ end }}"
        slack: Body = {"api_url_file": file, "send_resolved": True, "text": text}
        return {"slack_configs": [{**slack, **({"channel": told.channel} if told.channel else {})}]}
    return {"webhook_configs": [{"url_file": file, "send_resolved": True}]}


def _alerts_url(plan: ClusterPlan) -> str:
    return str(plan.written.at(("cluster", "observe", "alerts", "url")))


def _walls() -> Body:
    """Prometheus answers whoever asks; so only those may ask that must."""
    spaces = [all_of(each) for each in READERS]
    spec: Body = {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [own_pods()]}, {"from": spaces, "ports": [port(PORT)]}],
    }
    marks = labels("prometheus-readers", NAME)
    return thing("networking.k8s.io/v1", "NetworkPolicy", "prometheus-readers", OBSERVABILITY, labels=marks, spec=spec)


# --- What cannot be, and what is left to do ---------------------------------------------------------------------------


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """An address that whoever reads the tree could write to, or a part of it: that of a webhook is its secret."""
    if plan.cluster.observe.alerts and (not fetched(plan, _alerts_url(plan)) or _plain_path(_alerts_url(plan))):
        message = "an address in plain text cannot be rendered: whoever reads the repository could send alerts there"
        hint = "write `${env:ALERTS_URL}` alone, and put the whole address into the secret store"
        yield plan.written.problem(("cluster", "observe", "alerts", "url"), message, hint)


def _plain_path(url: str) -> str:
    """What stands in plain text behind scheme and host."""
    return _HOST.sub("", VARIABLE.sub("", url)).strip("/")


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """Names to put into the store, and that nobody is told of alerts."""
    names = dict.fromkeys((GRAFANA_USER, GRAFANA_PASSWORD), "of Grafana's first user")
    if plan.cluster.observe.alerts:
        names |= dict.fromkeys(fetched(plan, _alerts_url(plan)), "where alerts are sent")
    else:
        yield Known("alerts are shown and sent to nobody: `cluster: {observe: {alerts: {url: '${env:ALERTS_URL}'}}}`")
    made = {GRAFANA_USER: "admin", GRAFANA_PASSWORD: "$(openssl rand -hex 16)"}
    yield from (plan.value(each, what, made=made.get(each, "")) for each, what in names.items())


COMPONENT = Component(
    name=NAME,
    wanted=lambda plan: plan.cluster.observe.prometheus,
    adapters={"v1": render},
    refuse=refuse,
    notes=notes,
)
