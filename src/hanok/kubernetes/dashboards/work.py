"""Agents and knowledge: runs, steps, tools; ingests; the Milvus below them."""

from __future__ import annotations

from hanok.kubernetes.alerts.work import MEMORY, RUNS_FAILING, SLOW_MS
from hanok.kubernetes.dashboards.panel import RED, Board, Panel, Row
from hanok.kubernetes.dashboards.queries import lines, per_second, quantiles, share, total
from hanok.kubernetes.places import HANOK, KNOWLEDGE

_AGENT = 'agent=~"$agent"'
_PODS = f'namespace="{KNOWLEDGE}", container="querynode"'


def work_board(*, milvus: bool) -> Board:
    """`milvus`: whether the cluster has one of its own."""
    return Board(
        name="work", title="Agents and knowledge",
        variables={"agent": "label_values(hanok_agent_steps_total, agent)"},
        rows=[_agents(), _knowledge(), *([_milvus()] if milvus else [])],
    )  # fmt: skip


def _agents() -> Row:
    failed = per_second("hanok_agent_runs_total", "agent", f'{_AGENT}, state="failed"')
    whole = per_second("hanok_agent_runs_total", "agent", _AGENT)
    return Row(title="Agents", panels=[
        Panel(title="Working now", queries=lines(total("hanok_agent_running_runs", "agent", _AGENT), "agent")),
        Panel(title="Runs that ended", unit="ops", stacked=True,
              queries=lines(per_second("hanok_agent_runs_total", "agent, state", _AGENT), "agent, state")),
        Panel(title="Runs that fail", unit="percentunit", thresholds=((RUNS_FAILING, RED),),
              queries=lines(share(failed, whole), "agent")),
        Panel(title="How long they work", unit="s",
              queries=quantiles("hanok_agent_run_duration_seconds", "agent", _AGENT)),
        Panel(title="Steps", unit="ops", about="Model calls of runs.",
              queries=lines(per_second("hanok_agent_steps_total", "agent", _AGENT), "agent")),
        Panel(title="Waits for people", unit="ops",
              queries=lines(per_second("hanok_agent_waits_total", "agent", _AGENT), "agent")),
        Panel(title="Tools", unit="ops", stacked=True, width=12,
              queries=lines(per_second("hanok_agent_tool_calls_total", "tool", _AGENT), "tool")),
        Panel(title="Tools that fail or are refused", unit="ops", stacked=True, width=12, queries=lines(
            per_second("hanok_agent_tool_calls_total", "tool, outcome", f'{_AGENT}, outcome!="ok"'), "tool, outcome")),
    ])  # fmt: skip


def _knowledge() -> Row:
    """By what the cluster tells of ingests: their own reports are on the disks of their jobs."""
    jobs, kept = f'namespace="{HANOK}", job_name=~"ingest-.+"', f'namespace="{HANOK}", cronjob=~"ingest-.+"'
    return Row(title="Knowledge", panels=[
        Panel(title="Since the last ingest on schedule", unit="s", kind="bargauge", width=12, queries=lines(
            f"time() - max by (cronjob) (kube_cronjob_status_last_successful_time{{{kept}}})", "cronjob")),
        Panel(title="Being ingested", most=1, queries=lines(
            f"sum by (job_name) (kube_job_status_active{{{jobs}}})", "job_name")),
        Panel(title="Ingests that have failed", thresholds=((1, RED),), queries=lines(
            f"max by (job_name) (kube_job_status_failed{{{jobs}}})", "job_name")),
    ])  # fmt: skip


def _milvus() -> Row:
    used = f"max by (pod) (container_memory_working_set_bytes{{{_PODS}}})"
    limit = f'max by (pod) (kube_pod_container_resource_limits{{{_PODS}, resource="memory"}})'
    return Row(title="Milvus", panels=[
        Panel(title="Searches and writes", unit="reqps",
              queries=lines(per_second("milvus_proxy_req_count", "function_name", 'status="total"'), "function_name")),
        Panel(title="Failing", unit="reqps", queries=lines(
            per_second("milvus_proxy_req_count", "function_name", 'status="fail"'), "function_name")),
        Panel(title="How soon", unit="ms", thresholds=((SLOW_MS, RED),),
              queries=quantiles("milvus_proxy_sq_latency", "query_type")),
        Panel(title="Memory of query nodes", unit="percentunit", most=1, thresholds=((MEMORY, RED),),
              queries=lines(f"{used} / {limit}", "pod")),
        Panel(title="Passages in memory",
              queries=lines(total("milvus_querynode_entity_num", "collection_name"), "collection_name")),
        Panel(title="Searches in the queue",
              queries=lines(total("milvus_querynode_read_task_ready_len", "pod"), "pod")),
    ])  # fmt: skip
