"""Of agents, of knowledge, and of the Milvus below it."""

from __future__ import annotations

from hanok.kubernetes.alerts.alert import Alert, ratio
from hanok.kubernetes.places import KNOWLEDGE

RUNS_FAILING = 0.2
SLOW_MS = 1000
MEMORY = 0.9


def agent_alerts() -> list[Alert]:
    """Runs and tools that fail."""
    runs = "sum by (agent) (rate(hanok_agent_runs_total{}[15m]))"
    tools = "sum by (agent, tool) (rate(hanok_agent_tool_calls_total{}[15m]))"
    return [
        Alert(
            name="HanokRunsFail", minutes=15, severity="warning",
            expr=f"{_share(runs, 'state', 'failed')} > {RUNS_FAILING}",
            summary="{{ $value | humanizePercentage }} of runs of {{ $labels.agent }} fail",
            todo="`hanok agents runs` tells why each has ended.",
        ),
        Alert(
            name="HanokToolsFail", minutes=15, severity="warning",
            expr=f"{_share(tools, 'outcome', 'failed')} > {RUNS_FAILING}",
            summary="{{ $value | humanizePercentage }} of calls of {{ $labels.tool }} by {{ $labels.agent }} fail",
            todo="See whether what the tool asks is up; runs show its answers.",
        ),
    ]  # fmt: skip


def _share(rate: str, label: str, value: str) -> str:
    return ratio(rate.replace("{}", f'{{{label}="{value}"}}'), rate.replace("{}", ""))


def knowledge_alerts() -> list[Alert]:
    """Jobs that do not end well. Which documents were not taken is told by their logs alone."""
    return [
        Alert(
            name="HanokIngestFails", minutes=15, severity="warning",
            expr='max by (job_name) (kube_job_status_failed{namespace="hanok"}) > 0',
            summary="{{ $labels.job_name }} has failed",
            todo="Passages are those of the last good ingest. `kubectl logs -n hanok job/NAME` tells why.",
        ),
    ]  # fmt: skip


def milvus_alerts() -> list[Alert]:
    """Whether it answers, how soon, and whether query nodes have room."""
    pods = f'namespace="{KNOWLEDGE}", container="querynode"'
    return [
        Alert(
            name="MilvusDown", minutes=5, severity="critical",
            expr=f'count(up{{namespace="{KNOWLEDGE}"}} == 0) > 0 or absent(milvus_num_node)',
            summary="A part of Milvus does not answer",
            todo=f"Look at the pods of namespace {KNOWLEDGE}, etcd's first: all parts wait for it.",
        ),
        Alert(
            name="MilvusSlow", minutes=10, severity="warning",
            expr="histogram_quantile(0.99, sum by (query_type, le) (rate(milvus_proxy_sq_latency_bucket[10m]))) > "
            f"{SLOW_MS}",
            summary="One {{ $labels.query_type }} in a hundred takes {{ $value }} ms",
            todo="Query nodes are short of processors or memory, or load segments: dashboard Agents and knowledge.",
        ),
        Alert(
            name="MilvusFails", minutes=10, severity="warning",
            expr='sum by (function_name) (rate(milvus_proxy_req_count{status="fail"}[10m])) > 0.1',
            summary="{{ $labels.function_name }} fails",
            todo="The proxies' logs say why; a full memory or disk makes Milvus refuse writes.",
        ),
        Alert(
            name="MilvusMemory", minutes=15, severity="warning",
            expr=f"max by (pod) (container_memory_working_set_bytes{{{pods}}}) / "
            f'max by (pod) (kube_pod_container_resource_limits{{{pods}, resource="memory"}}) > {MEMORY}',
            summary="{{ $labels.pod }} uses {{ $value | humanizePercentage }} of its memory",
            todo="More passages than `cluster.milvus.passages`? Raise it, or `query_nodes`.",
        ),
    ]  # fmt: skip
