"""Prometheus metrics. Names, units and labels are listed in docs/metrics.md; a test holds the two together."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """Every metric of the house, in a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "hanok_requests", "Model calls, by how they ended.", ["model", "status"], registry=self.registry
        )
        self._duration = Histogram(
            "hanok_request_duration_seconds",
            "Seconds from a model call to the end of its answer.",
            ["model"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._first_token = Histogram(
            "hanok_time_to_first_token_seconds",
            "Seconds from a model call to the first piece of its answer.",
            ["model"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._tokens = Counter(
            "hanok_tokens", "Tokens, by model and direction (input, output).", ["model", "direction"],
            registry=self.registry,
        )  # fmt: skip
        self._running = 0
        gauge = Gauge("hanok_in_flight_requests", "Model calls running now.", registry=self.registry)
        gauge.set_function(lambda: float(self._running))
        self._refused = Counter(
            "hanok_http_refused", "HTTP requests answered with an error, by status.", ["status"],
            registry=self.registry,
        )  # fmt: skip
        self._restarts = Counter(
            "hanok_engine_restarts", "Engine processes started again after they ended.", ["endpoint"],
            registry=self.registry,
        )  # fmt: skip
        self._models: dict[str, _ModelMetrics] = {}

    def model(self, name: str) -> _ModelMetrics:
        """The metrics of one declared model, looked up once and kept."""
        found = self._models.get(name)
        if found is None:
            found = self._models[name] = _ModelMetrics(
                self._requests, self._duration, self._first_token, self._tokens, name
            )
        return found

    def began(self) -> None:
        self._running += 1

    def over(self) -> None:
        self._running -= 1

    def running(self) -> int:
        """Model calls running now."""
        return self._running

    def refused(self, status: int) -> None:
        self._refused.labels(str(status)).inc()

    def restarted(self, endpoint: str) -> None:
        self._restarts.labels(endpoint).inc()

    def watch(self, name: str, text: str, labels: list[str], read: Callable[[], dict[tuple[str, ...], float]]) -> None:
        """Add a gauge whose values are read when somebody asks."""
        self.registry.register(_Watched(name, text, labels, read))

    def render(self) -> bytes:
        """All metrics in Prometheus' text format 0.0.4."""
        return generate_latest(self.registry)


class _ModelMetrics:
    """One model's counters, their labels already filled in."""

    def __init__(
        self, requests: Counter, duration: Histogram, first_token: Histogram, tokens: Counter, model: str
    ) -> None:
        self._requests = {status: requests.labels(model, status) for status in ("ok", "cancelled", "failed")}
        self.duration = duration.labels(model)
        self.first_token = first_token.labels(model)
        self._input = tokens.labels(model, "input")
        self._output = tokens.labels(model, "output")

    def ended(self, status: str, seconds: float) -> None:
        self._requests[status].inc()
        self.duration.observe(seconds)

    def used(self, input_tokens: int, output_tokens: int) -> None:
        self._input.inc(input_tokens)
        self._output.inc(output_tokens)


class _Watched(Collector):
    def __init__(
        self, name: str, text: str, labels: list[str], read: Callable[[], dict[tuple[str, ...], float]]
    ) -> None:
        self._name, self._text, self._labels, self._read = name, text, labels, read

    def collect(self) -> list[Metric]:
        family = GaugeMetricFamily(self._name, self._text, labels=self._labels)
        for labels, value in self._read().items():
            family.add_metric(list(labels), value)
        return [family]
