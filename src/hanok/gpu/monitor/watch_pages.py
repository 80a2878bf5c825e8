"""Sources that are asked over HTTP: pages of exporters and engines, and Prometheus.

A page is read for everything that we know, GPUs and engines, whoever it is said to be from: what differs is what is
missed where there is nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from hanok.errors import SourceError
from hanok.gpu.monitor.client import Fetcher, host_of, is_local, short
from hanok.gpu.monitor.dcgm import FIELDS, read_gpus
from hanok.gpu.monitor.engines import NAMES, RATE_LABEL, read_loads
from hanok.gpu.monitor.readings import Told
from hanok.gpu.monitor.samples import Sample, read_answer, read_page

WINDOW = "2m"
"""Prometheus' rates are taken over this time: two scrapes, where it scrapes once a minute."""
_TYPE_LABEL = "label_node_kubernetes_io_instance_type"
_NODE_LABELS = "kube_node_labels"
_COUNTERS = {"vllm:prompt_tokens_total": "prompt_rate", "vllm:generation_tokens_total": "output_rate"}


@dataclass(frozen=True, kw_only=True)
class PageSource:
    """A page in Prometheus' text format. `missed` is what is told where it has nothing for us."""

    url: str
    fetcher: Fetcher
    missed: str

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return short(self.url)

    def look(self) -> Told:
        """What the page tells now. Raises `SourceError`."""
        samples = list(read_page(self.fetcher.get(self.url), FIELDS.keys() | NAMES))
        host = host_of(self.url)
        readings = read_gpus(samples, source=self.name, host=host)
        loads = read_loads(samples, source=self.name, host=self.name, local=is_local(self.url))
        if not readings and not loads:
            raise SourceError(self.missed)
        return Told(readings=tuple(readings), loads=tuple(loads))


def dcgm_source(url: str, fetcher: Fetcher) -> PageSource:
    """A DCGM exporter."""
    return PageSource(url=url, fetcher=fetcher, missed="tells of no GPU: is this the DCGM exporter's /metrics?")


def vllm_source(url: str, fetcher: Fetcher) -> PageSource:
    """A vLLM server."""
    return PageSource(url=url, fetcher=fetcher, missed="tells of no engine: is this vLLM's /metrics?")


@dataclass(frozen=True, kw_only=True)
class PrometheusSource:
    """A Prometheus that scrapes DCGM exporters, and engines, too, if it does. The file's token is read at each look."""

    url: str
    fetcher: Fetcher
    bearer_file: Path | None = None

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return short(self.url)

    def look(self) -> Told:
        """What Prometheus knows now, up to five minutes old. Raises `SourceError`."""
        url = f"{self.url.rstrip('/')}/api/v1/query?{urlencode({'query': query()})}"
        samples = list(read_answer(self.fetcher.get(url, token=self._token())))
        readings = read_gpus(samples, source=self.name, host=host_of(self.url))
        loads = read_loads(samples, source=self.name, host=self.name)
        if not readings and not loads:
            raise SourceError("knows of no GPU and no engine: does it scrape DCGM exporters?")
        return Told(readings=tuple(readings), loads=tuple(loads), types=tuple(_types(samples)))

    def _token(self) -> str | None:
        if self.bearer_file is None:
            return None
        try:
            return self.bearer_file.read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise SourceError(f"the token in {self.bearer_file} cannot be read: {error}") from error


def query() -> str:
    """One question for everything: figures of GPUs and engines, rates of tokens, and instance types of nodes."""
    names = "|".join(sorted(FIELDS.keys() | NAMES - _COUNTERS.keys()))
    rates = (
        f'label_replace(rate({name}[{WINDOW}]), "{RATE_LABEL}", "{rate}", "", "")' for name, rate in _COUNTERS.items()
    )
    return " or ".join([f'{{__name__=~"{names}"}}', *rates, f'{_NODE_LABELS}{{{_TYPE_LABEL}!=""}}'])


def _types(samples: list[Sample]) -> Iterator[tuple[str, str]]:
    for sample in samples:
        if sample.name == _NODE_LABELS and sample.labels.get("node"):
            yield sample.labels["node"], sample.labels.get(_TYPE_LABEL, "")
