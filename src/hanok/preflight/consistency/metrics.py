"""Metrics: what alerts, triggers and dashboards ask for, against what the components expose.

A component is known by the prefix of its metrics. What the tree records itself is its own business; where a component
has metrics that no list holds, it is given the benefit of the doubt.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hanok.preflight.case import Case
from hanok.preflight.consistency.load import load_metrics
from hanok.preflight.consistency.promql import Selector, load_parser
from hanok.preflight.consistency.queries import asked, recorded
from hanok.preflight.engines import Engine
from hanok.preflight.findings import Finding, Rule, Severity
from hanok.preflight.image import component
from hanok.preflight.labelled import watched_namespaces
from hanok.preflight.manifests import Manifest, at, labels_at, mapping_at, mappings_at, text_at
from hanok.preflight.sharing import operators
from hanok.preflight.workloads import Workload

NO_PARSER = Rule("HK530", "info", "PromQL that was not read", 'pip install "hanok[k8s]" and look again', open=True)
NO_QUERY = Rule("HK531", "error", "an expression that is not PromQL", "mend it; `promtool check rules` says the same")
NO_METRIC = Rule("HK532", "error", "a metric that the component does not have", "write the name in the message")
NO_LABEL = Rule("HK533", "warning", "a label that the metric does not have", "write the label in the message")
OTHER_UNIT = Rule(
    "HK534", "warning", "a threshold in another unit than its metric", "compare a share, or the metric's own unit"
)
NOT_BY_SLICE = Rule(
    "HK535",
    "warning",
    "utilization that MIG slices do not have",
    "take DCGM_FI_PROF_GR_ENGINE_ACTIVE, or DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
)
UNWATCHED = Rule(
    "HK540",
    "info",
    "engines whose metrics nobody reads",
    "add a PodMonitor for their pods: vLLM has its metrics at /metrics of its port",
)
IGNORED_NAME = Rule(
    "HK536", "info", "a trigger's metricName, which KEDA does not read", "take it out: KEDA names the metric itself"
)
NO_THRESHOLD = Rule(
    "HK537", "error", "a Prometheus trigger that KEDA refuses", "give it serverAddress, query and threshold"
)
TWO_EXPORTERS = Rule(
    "HK538",
    "warning",
    "two DCGM exporters",
    "keep the GPU operator's, and drop this one; or set dcgmExporter.enabled: false there",
)
NOT_SCRAPED = Rule(
    "HK539",
    "info",
    "an alert on a metric that nothing here scrapes",
    "add a ServiceMonitor or PodMonitor for the component, unless it stands elsewhere",
)

_LOGS = re.compile(r"\|[=~]|\|\s*(?:json|logfmt|pattern|regexp|line_format|unwrap)\b")
"""Loki's language, which its own rules are written in."""
ENDINGS = ("_total", "_bucket", "_sum", "_count", "_created")
_KINDS = ("counter", "gauge", "histogram", "any")
_WRONG_LABELS = {
    "model": "model_name",
    "model_id": "model_name",
    "served_model_name": "model_name",
    "engine_id": "engine",
}
"""What people write on vLLM's metrics, and what vLLM writes. Source: vllm/v1/metrics/loggers.py, labelnames."""
_PERCENT = 100.0
_SHARES = ("vllm:kv_cache_usage_perc", "DCGM_FI_DEV_FB_USED_PERCENT")
"""Metrics from 0 to 1, whatever their names say. Sources: vLLM's loggers.py, dcgm_fields.h."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """The metrics of one component."""

    key: str
    prefix: str
    source: str
    kinds: Mapping[str, str]
    """The kind of each name, without the prefix."""
    unlisted: frozenset[str]
    families: Sequence[str]
    gone: Mapping[str, Mapping[str, Any]]


@cache
def components() -> Sequence[Component]:
    return [
        Component(
            key=key, prefix=table["prefix"], source=table["source"], families=table["families"], gone=table["gone"],
            kinds={name: kind for kind in _KINDS for name in table.get(kind, "").split()},
            unlisted=frozenset(table.get("unlisted", "").split()),
        )
        for key, table in load_metrics().items()
    ]  # fmt: skip


def check_parser(case: Case) -> Iterator[Finding]:
    """Says once that PromQL could not be read."""
    if load_parser() is None:
        for each in asked(case)[:1]:
            yield each.finding(NO_PARSER, "promql-parser is not installed, so no expression was read")


def check_syntax(case: Case) -> Iterator[Finding]:
    """Expressions that cannot be read. What only newer or other readers know is a warning."""
    for each in asked(case):
        wrong = each.query.wrong if each.query else ""
        foreign = not each.sure or "$" in each.text if each.kind == "dashboard" else _LOGS.search(each.text)
        if wrong and "illegal regex" not in wrong and not foreign:
            severity: Severity = "warning" if "unknown function" in wrong else "error"
            yield each.finding(NO_QUERY, wrong, severity=severity)


def check_names(case: Case) -> Iterator[Finding]:
    """Names of metrics, each once an expression."""
    queries = asked(case)
    own = recorded(queries) | _counters(case)
    for each in queries:
        names = dict.fromkeys(one.name for one in (each.query.selectors if each.query else ()))
        for name in names:
            found = _judge(name, case.engines) if name not in own else None
            if found is not None:
                severity, message = found
                yield each.finding(NO_METRIC, message, severity=severity)


def _counters(case: Case) -> set[str]:
    """Fields that a DCGM exporter of the tree is told to give out."""
    texts = (str(text) for config in case.cluster.of("ConfigMap") for text in mapping_at(config.body, "data").values())
    lines = (line.split(",")[0].strip() for text in texts if "DCGM_FI_" in text for line in text.split("\n"))
    return {line for line in lines if line.startswith("DCGM_FI_")}


def _judge(name: str, engines: Sequence[Engine]) -> tuple[Severity, str] | None:
    """What is wrong with a metric's name; None where nothing is, or nobody can know."""
    for each in components():
        prefix = each.prefix if name.startswith(each.prefix) else ""
        if prefix:
            return _judge_within(each, name.removeprefix(prefix), engines)
    rest = name.removeprefix("vllm_")
    vllm = components()[0]
    if rest != name and (_base(vllm, rest) or _plain(rest) in vllm.gone):
        _, told = _judge_within(vllm, rest, engines) or ("", f"vLLM calls it vllm:{rest}")
        return "error", f"there is no {name}: {told}"
    return None


def _judge_within(each: Component, name: str, engines: Sequence[Engine]) -> tuple[Severity, str] | None:
    base = _base(each, name)
    if ":" in name or any(name.startswith(family) for family in each.families):
        return None
    if base is not None:
        return _judge_form(each, base, name)
    if _plain(name) in each.gone:
        return _judge_gone(each, _plain(name), engines)
    if name in each.unlisted or _plain(name) in each.unlisted:
        return "info", f"{each.prefix}{name} is not among the exporter's own list: give it a list that has it"
    near = difflib.get_close_matches(_plain(name), each.kinds, 1, 0.82)
    if near:
        return "error", f"there is no {each.prefix}{name} ({each.source}); the nearest is {_forms(each, near[0])[0]}"
    return "info" if each.key == "dcgm" else "warning", f"{each.source} knows no {each.prefix}{name}"


def _judge_form(each: Component, base: str, name: str) -> tuple[Severity, str] | None:
    """Whether a metric is read by a name that its kind has."""
    forms = _forms(each, base)
    if f"{each.prefix}{name}" in forms or each.kinds[base] == "any":
        return None
    return "error", f"{each.prefix}{base} is a {each.kinds[base]}, and is read as {' or '.join(forms[:3])}"


def _judge_gone(each: Component, name: str, engines: Sequence[Engine]) -> tuple[Severity, str] | None:
    """A metric of the past. Engines of the tree that are old enough have it still."""
    until = tuple(each.gone[name]["version"])
    versions = [engine.version for engine in engines if engine.version]
    if each.key == "vllm" and versions and all(version[:2] < until for version in versions):
        return None
    instead = each.gone[name]["to"]
    said = f"; {instead} took its place" if instead else ""
    return "error", f"{each.prefix}{name} is gone since {'.'.join(map(str, until))}{said}"


def _plain(name: str) -> str:
    return next((name.removesuffix(ending) for ending in ENDINGS if name.endswith(ending)), name)


def _base(each: Component, name: str) -> str | None:
    """The metric that a name belongs to."""
    return next((known for known in (name, _plain(name), f"{_plain(name)}_total") if known in each.kinds), None)


def _forms(each: Component, base: str) -> list[str]:
    """The names that a metric is read by."""
    full = each.prefix + base
    match each.kinds[base]:
        case "counter":
            return [full if full.endswith("_total") else f"{full}_total", f"{full.removesuffix('_total')}_created"]
        case "histogram":
            return [f"{full}_bucket", f"{full}_sum", f"{full}_count", f"{full}_created"]
        case _:
            return [full]


def check_labels(case: Case) -> Iterator[Finding]:
    """Labels of vLLM's metrics."""
    for each in asked(case):
        selectors = each.query.selectors if each.query else ()
        engine = [one for one in selectors if one.name.startswith("vllm:") and one.name.count(":") == 1]
        if not engine or "label_" in each.text or "group_" in each.text:
            continue
        grouped = each.query.grouped if each.query and len(engine) == len(selectors) else ()
        for label in dict.fromkeys([*_labels(engine), *grouped]):
            if label in _WRONG_LABELS and not _adds_label(case, label):
                message = f"vLLM's metrics have no label {label}: it is {_WRONG_LABELS[label]}"
                yield each.finding(NO_LABEL, message)


def _labels(selectors: Sequence[Selector]) -> list[str]:
    return [label for each in selectors for label in each.labels]


def _adds_label(case: Case, label: str) -> bool:
    """Whether a monitor of the tree puts the label on what it scrapes; or whether pods are scraped by nothing here."""
    monitors = list(case.cluster.of("ServiceMonitor", "PodMonitor", "ScrapeConfig", "PodMonitoring"))
    return any(label in f"{at(each.body, 'spec')!r}".replace("'", " ").split() for each in monitors) or not monitors


def check_units(case: Case) -> Iterator[Finding]:
    """Thresholds that cannot be meant in the metric's unit."""
    for each in asked(case):
        compared = list(each.query.compared if each.query else ())
        alone = each.query.selectors if each.query else ()
        pairs = [(one.name, one.operator, one.number) for one in compared]
        if each.threshold is not None and len(alone) == 1 and "/" not in each.text and "*" not in each.text:
            pairs.append((alone[0].name, ">", each.threshold))
        for name, operator, number in pairs:
            if name == "DCGM_FI_DEV_FB_USED" and 0 < number <= _PERCENT:
                message = f"{name} is in MiB, and {operator} {number:g} looks like percent"
                hint = "write DCGM_FI_DEV_FB_USED / (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE) > 0.95"
                yield each.finding(OTHER_UNIT, message, hint)
            elif name in _SHARES and operator.startswith(">") and number > 1:
                yield each.finding(OTHER_UNIT, f"{name} runs from 0 to 1, and is never {operator} {number:g}")


def check_slices(case: Case) -> Iterator[Finding]:
    """GPU utilization where GPUs are cut in slices."""
    sliced = next((each for each in case.workloads if any("/mig-" in name for name in each.requests)), None)
    for each in asked(case) if sliced else ():
        if any(one.name == "DCGM_FI_DEV_GPU_UTIL" for one in (each.query.selectors if each.query else ())):
            title = sliced.title if sliced else ""
            yield each.finding(NOT_BY_SLICE, f"DCGM_FI_DEV_GPU_UTIL says nothing of slices, as {title} has")


def check_triggers(case: Case) -> Iterator[Finding]:
    """KEDA's Prometheus triggers."""
    for manifest in case.cluster.of("ScaledObject", "ScaledJob"):
        for index, trigger in enumerate(mappings_at(manifest.body, "spec", "triggers")):
            if text_at(trigger, "type") != "prometheus":
                continue
            given, path = mapping_at(trigger, "metadata"), ("spec", "triggers", index, "metadata")
            missing = [key for key in ("serverAddress", "query", "threshold") if at(given, key) in (None, "")]
            missing = [] if "authenticationRef" in trigger and missing == ["serverAddress"] else missing
            if missing:
                yield NO_THRESHOLD.on(manifest, *path, message=f"the trigger has no {' and no '.join(missing)}")
            if "metricName" in given:
                message = "metricName was dropped from KEDA's Prometheus trigger"
                yield IGNORED_NAME.on(manifest, *path, "metricName", message=message)


def check_exporters(case: Case) -> Iterator[Finding]:
    """A DCGM exporter beside the GPU operator's own."""
    operator = _operator(case)
    for workload in case.workloads if operator else ():
        for container in workload.containers:
            if workload.per_node and component(container) == "dcgm" and operator:
                message = f"{operator} runs a DCGM exporter on each GPU node already: every GPU is counted twice"
                yield TWO_EXPORTERS.on(workload.manifest, *container.path, "image", message=message)


def _operator(case: Case) -> str:
    """The title of what installs the GPU operator with its exporter."""
    told = (each for each in operators(case.cluster) if not each.alone)
    on = (each.manifest.title for each in told if at(each.values, "dcgmExporter", "enabled") is not False)
    return next(on, "")


def check_scraping(case: Case) -> Iterator[Finding]:
    """Engines that none of the tree's monitors means: told of the alerts on them, or else of themselves."""
    monitors = list(case.cluster.of("ServiceMonitor", "PodMonitor"))
    elsewhere = any(True for _ in case.cluster.of("PodMonitoring", "ScrapeConfig", "VMServiceScrape", "VMPodScrape"))
    if not monitors or elsewhere or not case.engines or _any_is_scraped(case, monitors):
        return
    engine, title = case.engines[0], case.engines[0].title
    told: set[int] = set()
    for each in asked(case):
        about = any(one.name.startswith("vllm:") for one in (each.query.selectors if each.query else ()))
        if each.kind == "alert" and about and id(each.place.outer) not in told:
            told.add(id(each.place.outer))
            yield each.finding(NOT_SCRAPED, f"no ServiceMonitor or PodMonitor here means the pods of {title}")
    if not told:
        message = f"{monitors[0].title} is here, and no monitor for this engine: its queue and its cache go unseen"
        yield UNWATCHED.on(engine.workload.manifest, *engine.container.path, message=message)


def _any_is_scraped(case: Case, monitors: Sequence[Manifest]) -> bool:
    """Whether any engine is: by an annotation, or by a monitor that means its pods or a Service of theirs."""
    pods = {each.workload for each in case.engines}
    if any("scrape" in key for each in pods for key in each.annotations):
        return True
    return any(each in pods for monitor in monitors for each in _meant(case, monitor))


def _meant(case: Case, monitor: Manifest) -> Iterator[Workload]:
    """The pods with the labels that a monitor asks for, or behind such Services."""
    selector = at(monitor.body, "spec", "selector")
    for space in watched_namespaces(monitor) or (None,):
        if monitor.kind == "PodMonitor":
            yield from case.inventory.selected(space, selector)
        else:
            for service in case.inventory.services(space, selector):
                yield from case.inventory.pods(service.namespace, labels_at(service.body, "spec", "selector"))


CHECKS = (
    check_parser, check_syntax, check_names, check_labels, check_units, check_slices, check_triggers, check_exporters,
    check_scraping,
)  # fmt: skip
