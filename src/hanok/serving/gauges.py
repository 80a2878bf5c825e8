"""The few lines that routing needs of an engine's own metrics page, which is long and read often.

vLLM, SGLang and llama.cpp (`--metrics`) speak Prometheus' text format, each with names of its own. Only lines with
these names are looked for, by their beginning; the rest of the page is never split. Figures of several engines on one
page (data parallel ones, told apart by labels) are added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

import msgspec

from hanok.serving.fleet import Load

MOST_LINES = 1024
"""Lines of one name that are looked at: each is an engine of its own, and no page has so many."""


class _Names(msgspec.Struct, frozen=True, kw_only=True):
    """One engine's names. `cache` is a line whose labels `cache_labels` give the size of the key-value cache."""

    running: bytes
    waiting: bytes
    kv_usage: bytes = b""
    queries: bytes = b""
    hits: bytes = b""
    cache_tokens: bytes = b""
    cache: bytes = b""
    cache_labels: Sequence[bytes] = ()


_ENGINES = (
    _Names(
        running=b"vllm:num_requests_running",
        waiting=b"vllm:num_requests_waiting",
        kv_usage=b"vllm:kv_cache_usage_perc",
        queries=b"vllm:prefix_cache_queries_total",
        hits=b"vllm:prefix_cache_hits_total",
        cache=b"vllm:cache_config_info",
        cache_labels=(b"block_size", b"num_gpu_blocks"),
    ),
    _Names(
        running=b"sglang:num_running_reqs",
        waiting=b"sglang:num_queue_reqs",
        kv_usage=b"sglang:token_usage",
        queries=b"sglang:prompt_tokens_total",
        hits=b"sglang:cached_tokens_total",
        cache_tokens=b"sglang:max_total_num_tokens",
        cache=b"sglang:cache_config_info",
        cache_labels=(b"page_size", b"num_pages"),
    ),
    _Names(running=b"llamacpp:requests_processing", waiting=b"llamacpp:requests_deferred"),
)


def read_load(page: bytes, *, at: float) -> Load | None:
    """What the page tells of the engine's load; None when it is no page of an engine that is known."""
    for names in _ENGINES:
        running = _values(page, names.running)
        if running:
            return Load(
                at=at,
                running=round(sum(running)),
                waiting=round(sum(_values(page, names.waiting))),
                kv_usage=max(_values(page, names.kv_usage), default=None),
                cache_tokens=_cache_tokens(page, names),
                query_tokens=_sum(page, names.queries),
                hit_tokens=_sum(page, names.hits),
            )
    return None


def _values(page: bytes, name: bytes) -> list[float]:
    found = (_value(line[len(name) :]) for line in _lines(page, name))
    return [value for value in found if value is not None]


def _sum(page: bytes, name: bytes) -> int | None:
    values = _values(page, name)
    return round(sum(values)) if values else None


def _cache_tokens(page: bytes, names: _Names) -> int | None:
    told = _sum(page, names.cache_tokens)
    if told:
        return told
    sizes: list[int] = []
    for line in _lines(page, names.cache):
        labels = [_label(line, label) for label in names.cache_labels]
        if all(label.isdigit() and len(label) < 12 for label in labels):
            size, count = map(int, labels)
            sizes.append(size * count)
    return sum(sizes) or None


def _lines(page: bytes, name: bytes) -> Iterator[bytes]:
    """The samples of that name: what stands there until the end of the line."""
    start = 0 if page.startswith(name) else page.find(b"\n" + name) + 1
    if not name or not (start or page.startswith(name)):
        return
    for _ in range(MOST_LINES):
        end = page.find(b"\n", start)
        line = page[start : end if end >= 0 else len(page)]
        if line[len(name) : len(name) + 1] in (b"{", b" "):
            yield line
        if end < 0:
            return
        start = page.find(b"\n" + name, end) + 1
        if not start:
            return


def _value(rest: bytes) -> float | None:
    """The value after name and labels; a time may follow it."""
    parts = (rest.rpartition(b"}")[2] if b"{" in rest else rest).split()
    try:
        value = float(parts[0])
    except (IndexError, ValueError):
        return None
    return value if isfinite(value) and 0 <= value < 1e15 else None


def _label(line: bytes, name: bytes) -> bytes:
    for before in (b"{", b","):
        start = line.find(before + name + b'="')
        if start >= 0:
            start += len(name) + 3
            return line[start : line.find(b'"', start)]
    return b""
