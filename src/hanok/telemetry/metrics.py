"""Prometheus metrics. Names, units and labels are listed in docs/metrics.md; a test holds the two together.

Counting happens on the event loop alone, so it needs no locks: plain numbers, turned into Prometheus' families when
somebody asks. That is an order of magnitude cheaper than the client library's own counters, of which a call would
touch seven.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from hanok.telemetry.client import Counts
from hanok.telemetry.sums import Family, read_families
from hanok.wire import Charge

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
RUN_BUCKETS_S = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
NANO = 1_000_000_000
Labels = tuple[str, ...]


class Histogram:
    """Seconds, counted by bucket."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float] = BUCKETS_S) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def add_to(self, family: HistogramMetricFamily, labels: list[str]) -> None:
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        family.add_metric(labels, buckets, self._sum)


class ModelMetrics:
    """One declared model's numbers."""

    __slots__ = ("cost_nano_usd", "duration", "ended", "first_token", "input_tokens", "output_tokens", "saved_nano_usd")

    def __init__(self) -> None:
        self.ended = {"ok": 0, "cancelled": 0, "failed": 0, "cut": 0}
        self.duration = Histogram()
        self.first_token = Histogram()
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost_nano_usd = 0
        self.saved_nano_usd = 0


class Metrics:
    """Every metric of the house, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Collected(self._collect))
        self._models: dict[str, ModelMetrics] = {}
        self._refused: Counter[int] = Counter()
        self._restarts: Counter[str] = Counter()
        self._limited: Counter[str] = Counter()
        self._tiers: Counter[tuple[str, str, str]] = Counter()
        self._classifier_failures: Counter[tuple[str, str]] = Counter()
        self._reloads: Counter[str] = Counter()
        self._worker_restarts: Counter[str] = Counter()
        self._runs: Counter[tuple[str, str]] = Counter()
        self._run_seconds: dict[str, Histogram] = {}
        self._steps: Counter[str] = Counter()
        self._tool_calls: Counter[tuple[str, str, str]] = Counter()
        self._waits: Counter[str] = Counter()

    def model(self, name: str) -> ModelMetrics:
        """The numbers of one declared model."""
        found = self._models.get(name)
        if found is None:
            found = self._models[name] = ModelMetrics()
        return found

    def record(self, charge: Charge, *_: object) -> None:
        """Count a call that has ended."""
        model = self.model(charge.model)
        model.ended[charge.status] += 1
        model.duration.observe(charge.latency_ms / 1000)
        if charge.first_token_ms:
            model.first_token.observe(charge.first_token_ms / 1000)
        model.input_tokens += charge.prompt_tokens
        model.output_tokens += charge.completion_tokens
        model.cost_nano_usd += charge.cost_nano_usd
        model.saved_nano_usd += charge.saved_nano_usd
        if charge.tier:
            self._tiers[(charge.asked, charge.tier, charge.model)] += 1

    def classifier_failed(self, asked: str, reason: str) -> None:
        """Count a request whose tier the rules had to decide, because the declared classifier could not."""
        self._classifier_failures[(asked, reason)] += 1

    def refused(self, status: int) -> None:
        """Count an HTTP request that was answered with an error."""
        self._refused[status] += 1

    def limited(self, reason: str) -> None:
        """Count a call that a budget, a rate limit or a full queue kept out."""
        self._limited[reason] += 1

    def restarted(self, endpoint: str) -> None:
        """Count an engine process that was started again."""
        self._restarts[endpoint] += 1

    def reloaded(self, result: Literal["taken", "refused"]) -> None:
        """Count a change of platform.yaml."""
        self._reloads[result] += 1

    def worker_restarted(self, worker: str) -> None:
        """Count a worker that was started again."""
        self._worker_restarts[worker] += 1

    def run_ended(self, agent: str, state: str, worked_s: float) -> None:
        """Count an agent's run that has ended, after so many seconds of work."""
        self._runs[(agent, state)] += 1
        self._run_seconds.setdefault(agent, Histogram(RUN_BUCKETS_S)).observe(worked_s)

    def run_waits(self, agent: str) -> None:
        """Count a run that waits for a person."""
        self._waits[agent] += 1

    def run_stepped(self, agent: str) -> None:
        """Count a model call of a run."""
        self._steps[agent] += 1

    def tool_called(self, agent: str, tool: str, outcome: Literal["ok", "failed", "refused"]) -> None:
        """Count a tool call of a run."""
        self._tool_calls[(agent, tool, outcome)] += 1

    def watch(self, name: str, text: str, labels: list[str], read: Callable[[], Mapping[Labels, float]]) -> None:
        """Add a gauge whose values are read when somebody asks."""

        def collect() -> Iterator[Metric]:
            family = GaugeMetricFamily(name, text, labels=labels)
            for values, number in read().items():
                family.add_metric(list(values), number)
            yield family

        self._registry.register(_Collected(collect))

    def watch_counts(self, name: str, text: str, labels: list[str], read: Callable[[], Mapping[Labels, float]]) -> None:
        """Add a counter that somebody else counts; read when somebody asks."""

        def collect() -> Iterator[Metric]:
            family = CounterMetricFamily(name, text, labels=labels)
            for values, number in read().items():
                family.add_metric(list(values), number)
            yield family

        self._registry.register(_Collected(collect))

    def watch_exports(self, read: Callable[[], Mapping[str, Counts]]) -> None:
        """Add what became of spans, by receiver; read when somebody asks."""
        self._registry.register(_Collected(lambda: _exports(read())))

    def watch_lines(self, read: Callable[[], Mapping[str, int]]) -> None:
        """Add how lines of batches ended; read when somebody asks."""
        text = "Lines of batches that ended: completed, failed, expired."
        self._registry.register(_Collected(lambda: iter([_counter("hanok_batch_lines_ended", text, "result", read())])))

    def render(self) -> bytes:
        """All metrics in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)

    def families(self) -> list[Family]:
        """All metrics as values, to be added to those of other processes."""
        return read_families(self._registry)

    def _collect(self) -> Iterator[Metric]:
        yield from self._collect_calls()
        yield from self._collect_counts()
        yield from self._collect_agents()

    def _collect_calls(self) -> Iterator[Metric]:
        """What is known of each model's calls."""
        requests = CounterMetricFamily(
            "hanok_requests", "Model calls, by how they ended: ok, cancelled, failed, cut.", labels=["model", "status"]
        )
        tokens = CounterMetricFamily(
            "hanok_tokens", "Tokens, by direction: input, output.", labels=["model", "direction"]
        )
        cost = CounterMetricFamily("hanok_cost_usd", "What calls cost, in USD.", labels=["model"])
        saved = CounterMetricFamily("hanok_saved_usd", "What calls would have cost more.", labels=["model"])
        duration = HistogramMetricFamily(
            "hanok_request_duration_seconds", "From a model call to the end of its answer.", labels=["model"]
        )
        first_token = HistogramMetricFamily(
            "hanok_time_to_first_token_seconds",
            "From a model call to the first piece of its answer.",
            labels=["model"],
        )
        for name, model in self._models.items():
            for status, count in model.ended.items():
                requests.add_metric([name, status], count)
            tokens.add_metric([name, "input"], model.input_tokens)
            tokens.add_metric([name, "output"], model.output_tokens)
            cost.add_metric([name], model.cost_nano_usd / NANO)
            saved.add_metric([name], model.saved_nano_usd / NANO)
            model.duration.add_to(duration, [name])
            model.first_token.add_to(first_token, [name])
        yield from (requests, tokens, cost, saved, duration, first_token)

    def _collect_counts(self) -> Iterator[Metric]:
        """What was counted besides."""
        yield _counter("hanok_http_refused", "HTTP requests answered with an error.", "status", self._refused)
        yield _counter("hanok_limited", "Calls kept out by a limit, by its code.", "reason", self._limited)
        yield _counter(
            "hanok_engine_restarts", "Engine processes started again after they ended.", "endpoint", self._restarts
        )
        yield _counter_of(
            "hanok_tier_requests", "Calls whose model Hanok picked.", ("asked", "tier", "model"), self._tiers
        )
        yield _counter_of(
            "hanok_tier_classifier_failures",
            "Requests whose tier the rules decided, as the classifier could not.",
            ("asked", "reason"),
            self._classifier_failures,
        )
        yield _counter("hanok_reloads", "Changes of platform.yaml: taken, refused.", "result", self._reloads)
        yield _counter(
            "hanok_worker_restarts", "Workers started again after they ended.", "worker", self._worker_restarts
        )

    def _collect_agents(self) -> Iterator[Metric]:
        seconds = HistogramMetricFamily(
            "hanok_agent_run_duration_seconds", "How long runs worked, without waiting for people.", labels=["agent"]
        )
        for agent, histogram in self._run_seconds.items():
            histogram.add_to(seconds, [agent])
        yield seconds
        yield _counter_of("hanok_agent_runs", "Runs that ended, by their state.", ("agent", "state"), self._runs)
        yield _counter("hanok_agent_steps", "Model calls that steps of runs have made.", "agent", self._steps)
        yield _counter_of(
            "hanok_agent_tool_calls",
            "Tool calls of runs: ok, failed, refused.",
            ("agent", "tool", "outcome"),
            self._tool_calls,
        )
        yield _counter("hanok_agent_waits", "How often runs began to wait for a person.", "agent", self._waits)


def _counter(name: str, text: str, label: str, counts: Mapping[int, int] | Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([str(value)], count)
    return family


def _counter_of(
    name: str, text: str, labels: Sequence[str], counts: Mapping[tuple[str, ...], int]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


def _exports(counts: Mapping[str, Counts]) -> Iterator[Metric]:
    if not counts:
        return
    exported = CounterMetricFamily("hanok_spans_exported", "Spans that a receiver has taken.", labels=["receiver"])
    dropped = CounterMetricFamily("hanok_spans_dropped", "Spans dropped for want of room or time.", labels=["receiver"])
    failed = CounterMetricFamily("hanok_spans_failed", "Spans that a receiver refused.", labels=["receiver"])
    waiting = GaugeMetricFamily("hanok_spans_waiting", "Spans that wait to be sent.", labels=["receiver"])
    for receiver, each in counts.items():
        exported.add_metric([receiver], each.exported)
        dropped.add_metric([receiver], each.dropped)
        failed.add_metric([receiver], each.failed)
        waiting.add_metric([receiver], each.waiting)
    yield from (exported, dropped, failed, waiting)


class _Collected(Collector):
    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        return self._collect()
