"""What is read of an engine's metrics page, and what happens when it cannot be."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.errors import EngineUnreachable
from hanok.serving.fleet import Endpoint, Load
from hanok.serving.gauges import MOST_LINES, read_load
from hanok.serving.load_watch import LoadWatch, note

VLLM = b"""\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a} b"} 3.0
vllm:num_requests_running{engine="1",model_name="a} b"} 2.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="a} b"} 1.0
vllm:num_requests_waiting{engine="1",model_name="a} b"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="a} b",reason="capacity"} 7.0
vllm:kv_cache_usage_perc{engine="0",model_name="a} b"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="a} b"} 0.5
vllm:prefix_cache_queries_total{engine="0",model_name="a} b"} 1.2e+06
vllm:prefix_cache_queries_created{engine="0",model_name="a} b"} 1.7e+09
vllm:prefix_cache_hits_total{engine="0",model_name="a} b"} 600000.0
vllm:cache_config_info{block_size="16",cache_dtype="auto",num_gpu_blocks="1000",num_gpu_blocks_override="None"} 1.0
vllm:cache_config_info{block_size="16",cache_dtype="auto",num_gpu_blocks="500",num_gpu_blocks_override="None"} 1.0
"""
SGLANG = b"""\
sglang:num_running_reqs{model_name="m"} 4.0
sglang:num_queue_reqs{model_name="m"} 2.0
sglang:token_usage{model_name="m"} 0.28
sglang:cache_config_info{num_pages="2048",page_size="64"} 1.0
sglang:prompt_tokens_total{model_name="m"} 100.0
sglang:cached_tokens_total{model_name="m",cache_source="device"} 40.0
"""
LLAMACPP = b"# TYPE llamacpp:requests_processing gauge\nllamacpp:requests_processing 1\nllamacpp:requests_deferred 46"


def test_vllms_page_is_read_and_its_engines_are_added_up() -> None:
    assert read_load(VLLM, at=5.0) == Load(
        at=5.0, running=5, waiting=1, kv_usage=0.5, cache_tokens=24_000, query_tokens=1_200_000, hit_tokens=600_000
    )


def test_sglangs_page_is_read_in_both_ways_of_telling_the_caches_size() -> None:
    expected = Load(at=1.0, running=4, waiting=2, kv_usage=0.28, cache_tokens=131_072, query_tokens=100, hit_tokens=40)
    assert read_load(SGLANG, at=1.0) == expected
    newer = SGLANG + b'sglang:max_total_num_tokens{model_name="m"} 99.0\n'
    load = read_load(newer, at=1.0)
    assert load
    assert load.cache_tokens == 99


def test_llamacpps_page_tells_calls_only() -> None:
    assert read_load(LLAMACPP, at=1.0) == Load(at=1.0, running=1, waiting=46)


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"<html>not found</html>",
        b"vllm:num_requests_running",
        b"vllm:num_requests_running ",
        b"vllm:num_requests_running nan\n",
        b"vllm:num_requests_running -1\n",
        b'vllm:num_requests_running{a="b"\n',
        b"xvllm:num_requests_running 1\n",
    ],
)
def test_what_is_no_such_page_tells_nothing(page: bytes) -> None:
    assert read_load(page, at=1.0) is None


@given(st.lists(st.sampled_from([*VLLM.splitlines(), b"", b"vllm:", b'{"}', b"\x00"]), max_size=30), st.binary())
def test_any_page_can_be_read(lines: list[bytes], more: bytes) -> None:
    read_load(b"\n".join(lines) + more, at=1.0)


class Engine:
    """Shows these pages one after the other; an error is raised."""

    def __init__(self, *pages: bytes | Exception) -> None:
        self.pages = list(pages)
        self.looked = asyncio.Event()

    async def metrics_page(self) -> bytes:
        page = self.pages.pop(0)
        if not self.pages:
            self.looked.set()
            self.pages.append(page)
        if isinstance(page, Exception):
            raise page
        return page


def endpoint(engine: Any) -> Endpoint:
    return Endpoint("m#1", "m", "openai", engine, state="up")


def watched(*pages: bytes | Exception) -> tuple[Load | None, Endpoint]:
    """What is known after these pages, and when it is followed no longer."""

    async def work() -> tuple[Load | None, Endpoint]:
        engine = Engine(*pages)
        place = endpoint(engine)
        watch = LoadWatch(monotonic=lambda: 7.0)
        watch.follow({place: 0.001})
        await engine.looked.wait()
        await asyncio.sleep(0)
        load = place.load
        watch.close()
        return load, place

    return asyncio.run(work())


def test_of_a_page_that_says_the_same_for_ever_some_is_read() -> None:
    page = b"vllm:num_requests_running 1\n" * (MOST_LINES * 3)
    load = read_load(page, at=1)
    assert load is not None
    assert load.running == MOST_LINES


def test_a_load_is_noted_and_forgotten_with_the_watch() -> None:
    load, place = watched(LLAMACPP, LLAMACPP)
    assert load == Load(at=7.0, running=1, waiting=46)
    assert place.load is None
    assert place.state == "up"


def test_a_page_that_is_missed_once_changes_nothing_and_a_load_that_is_stale_is_forgotten() -> None:
    away = EngineUnreachable("away")
    assert watched(VLLM, away, away)[0] is not None
    load, place = watched(VLLM, away, b"", ValueError("odd"))
    assert load is None
    assert place.state == "up"


def test_an_engine_whose_counters_go_back_has_begun_anew() -> None:
    place = endpoint(None)
    note(place, Load(at=1.0, query_tokens=100))
    note(place, Load(at=2.0, query_tokens=100))
    note(place, None)
    note(place, Load(at=3.0, query_tokens=200))
    assert place.lives == 0
    note(place, None)
    note(place, Load(at=4.0, query_tokens=10))
    assert place.lives == 1
