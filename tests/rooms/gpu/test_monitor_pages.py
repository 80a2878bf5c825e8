"""GPUs and engines as DCGM exporters, vLLM and Prometheus tell of them, over real sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import promql_parser
import pytest

from hanok.errors import SourceError
from hanok.gpu.monitor import Pod, Reading, Slice, Told
from hanok.gpu.monitor.client import Fetcher, as_address, short
from hanok.gpu.monitor.watch_pages import PrometheusSource, dcgm_source, query, vllm_source
from tests.conftest import free_port
from tests.exporters import Exporter, answer, dcgm, exporter, gpu, scraped, vllm

Look = Callable[..., Told]


@pytest.fixture
def served() -> Iterator[Exporter]:
    with exporter({}) as known:
        yield known


@pytest.fixture
def look(served: Exporter) -> Look:
    """What a DCGM exporter with this page tells."""

    def look(page: bytes) -> Told:
        served.pages["/metrics"] = page
        return dcgm_source(f"{served.url}/metrics", Fetcher(timeout_s=5)).look()

    return look


def only(told: Told) -> Reading:
    [reading] = told.readings
    return reading


def test_a_gpu_is_told_with_every_figure(look: Look) -> None:
    pod = {"container": "vllm", "namespace": "llm", "pod": "vllm-0"}
    more = {"ENFORCED_POWER_LIMIT": 350, "POWER_MGMT_LIMIT_DEF": 400, "MAX_SM_CLOCK": 1410}
    told = only(look(dcgm(gpu(3, labels=pod, **more, CLOCKS_EVENT_REASONS=0x44, XID_ERRORS=31))))
    assert (told.node, told.index, told.uuid) == ("node-1", "3", "GPU-00000003-cafe")
    assert told.model == "NVIDIA A100-SXM4-40GB"
    assert (told.utilization, told.copying) == (pytest.approx(0.97), pytest.approx(0.40))
    assert (told.engine_active, told.tensor_active, told.dram_active) == (0.931, 0.52, 0.44)
    assert told.memory_total_mib == 40900
    assert told.memory_full == pytest.approx(36000 / 40900)
    assert (told.temperature_c, told.power_w, told.power_limit_w, told.power_default_w) == (61, 301.5, 350, 400)
    assert (told.clock_mhz, told.clock_most_mhz) == (1410, 1410)
    assert told.slowdowns == ("hardware thermal slowdown",)
    assert told.xid == 31
    assert told.pods == (Pod(namespace="llm", name="vllm-0", container="vllm"),)


def test_a_slice_is_busy_as_its_engine_is_and_not_as_its_gpu(look: Look) -> None:
    part = {"GPU_I_PROFILE": "3g.20gb", "GPU_I_ID": "2"}
    told = only(look(dcgm(gpu(0, labels=part, GPU_UTIL=99, DCGM_FI_PROF_GR_ENGINE_ACTIVE=0.25))))
    assert told.slice == Slice(profile="3g.20gb", id="2")
    assert told.utilization == 0.25
    assert told.copying == 0.44


def test_a_slice_without_profiling_metrics_is_not_said_to_be_idle(look: Look) -> None:
    page = dcgm(gpu(0, labels={"GPU_I_PROFILE": "1g.5gb", "GPU_I_ID": "7"}, DCGM_FI_PROF_GR_ENGINE_ACTIVE=None))
    assert only(look(page)).utilization is None


def test_a_shared_gpu_is_one_with_several_pods(look: Look) -> None:
    pods = [{"pod": f"app-{each}", "namespace": "ml", "container": "c"} for each in "ab"]
    told = only(look(dcgm(*(gpu(0, labels=each) for each in pods))))
    assert [pod.name for pod in told.pods] == ["app-a", "app-b"]


def test_a_series_that_comes_twice_is_one_gpu(look: Look) -> None:
    page = dcgm(gpu(0))
    assert len(look(page + page).readings) == 1


def test_blank_values_are_unknown(look: Look) -> None:
    blanks = {"GPU_TEMP": 2147483632, "SM_CLOCK": 9223372036854775792, "POWER_USAGE": 140737488355328.0, "GPU_UTIL": -1}
    told = only(look(dcgm(gpu(0, **blanks, FB_FREE=float("nan")))))
    assert (told.temperature_c, told.clock_mhz, told.power_w, told.gpu_utilization) == (None, None, None, None)
    assert told.memory_full is None
    assert told.utilization == 0.931


def test_missing_metrics_are_unknown_and_reserved_memory_may_be(look: Look) -> None:
    names = ("GPU_UTIL", "GPU_TEMP", "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "FB_RESERVED")
    told = only(look(dcgm(gpu(0, **dict.fromkeys(names)))))
    assert (told.utilization, told.temperature_c, told.memory_total_mib) == (None, None, 40300)


def test_old_exporters_without_a_host_are_known_by_their_address(look: Look) -> None:
    labels, figures = gpu(0)
    told = only(look(dcgm(({"gpu": "0", "uuid": labels["UUID"]}, figures))))
    assert (told.node, told.uuid, told.model) == ("127.0.0.1", labels["UUID"], "")


def test_an_exporter_that_has_nothing_for_us_is_asked_to_be_another(look: Look) -> None:
    with pytest.raises(SourceError, match=r"tells of no GPU: is this the DCGM exporter's /metrics\?"):
        look(b"<html>DCGM_FI_DEV_GPU_UTIL 5</html>")


def test_an_engine_tells_its_load_and_several_in_one_server_are_added_up(served: Exporter) -> None:
    served.pages["/metrics"] = vllm(cache=0.2) + vllm(engine=1, running=1, waiting=0, cache=0.7)
    [load] = vllm_source(f"{served.url}/metrics", Fetcher(timeout_s=5)).look().loads
    assert (load.model, load.running, load.waiting, load.cache_used) == ("Qwen/Qwen3-32B", 5, 2, 0.7)
    assert (load.prompt_tokens, load.output_tokens, load.local) == (2000, 1000, True)


def test_the_kv_cache_of_old_versions_has_another_name(served: Exporter) -> None:
    served.pages["/metrics"] = vllm(cache=0.25).replace(b"kv_cache_usage", b"gpu_cache_usage")
    [load] = vllm_source(f"{served.url}/metrics", Fetcher(timeout_s=5)).look().loads
    assert load.cache_used == 0.25


# Prometheus


def test_one_question_asks_for_everything_and_is_promql() -> None:
    promql_parser.parse(query())
    assert 'rate(vllm:generation_tokens_total[2m]), "hanok_rate", "output_rate"' in query()


def prometheus(served: Exporter, **more: Path) -> PrometheusSource:
    return PrometheusSource(url=f"{served.url}/prom/", fetcher=Fetcher(timeout_s=5), **more)


def test_prometheus_tells_of_every_node_at_once(served: Exporter) -> None:
    workload = {"exported_pod": "vllm-0", "exported_namespace": "llm", "exported_container": "vllm"}
    ours = {"pod": "nvidia-dcgm-exporter-x7", "namespace": "gpu-operator", "container": "nvidia-dcgm-exporter"}
    engine = {"model_name": "m", "pod": "vllm-0", "namespace": "llm"}
    served.pages["/prom/api/v1/query"] = answer(
        *scraped(gpu(0), **workload, **ours),
        *scraped(gpu(0, labels={"Hostname": "node-2", "UUID": "GPU-x"}), **ours),
        ("vllm:num_requests_running", engine, 3),
        ("", {**engine, "hanok_rate": "output_rate"}, 120.5),
        ("kube_node_labels", {"node": "node-2", "label_node_kubernetes_io_instance_type": "p4d.24xlarge"}, 1),
    )
    told = prometheus(served).look()
    assert [(each.node, [pod.name for pod in each.pods]) for each in told.readings] == [
        ("node-1", ["vllm-0"]),
        ("node-2", []),
    ]
    [load] = told.loads
    assert (load.running, load.output_rate, load.pod) == (3, 120.5, Pod(namespace="llm", name="vllm-0"))
    assert told.types == (("node-2", "p4d.24xlarge"),)
    [(path, _)] = served.asked
    assert parse_qs(urlsplit(path).query)["query"] == [query()]


def test_the_token_is_read_anew_each_time_and_goes_only_where_it_was_meant_to(served: Exporter, tmp_path: Path) -> None:
    token = tmp_path / "token"
    source = prometheus(served, bearer_file=token)
    with pytest.raises(SourceError, match=r"token in .* cannot be read"):
        source.look()
    served.pages["/prom/api/v1/query"] = (302, {"location": f"{served.url}/elsewhere"}, b"")
    for secret in ("one", "two"):
        token.write_text(secret + "\n")
        with pytest.raises(SourceError, match=r"sends us elsewhere \(302\): name http://127.0.0.1"):
            source.look()
    assert [(path.partition("?")[0], given) for path, given in served.asked] == [
        ("/prom/api/v1/query", "Bearer one"),
        ("/prom/api/v1/query", "Bearer two"),
    ]


def test_a_prometheus_that_knows_no_gpu_is_told_as_such(served: Exporter) -> None:
    served.pages["/prom/api/v1/query"] = answer()
    with pytest.raises(SourceError, match="does it scrape DCGM exporters"):
        prometheus(served).look()


# servers that do not behave


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (401, r"nobody in without a token that it knows \(401\)"),
        (403, r"\(403\)"),
        (404, "answers 404"),
        (503, "answers 503"),
        ((301, {"location": "http://x/\x1b[2J"}, b""), r"elsewhere \(301\): name http://x/\?\[2J"),
        ((200, {"content-length": "5000"}, b"short"), "cut short"),
        (b"#" * 200_000, "answers more than 0 MiB"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_answer_is_told(served: Exporter, page: object, told: str) -> None:
    served.pages["/metrics"] = page  # type: ignore[assignment]
    fetcher = Fetcher(timeout_s=5, limit_bytes=100_000)
    with pytest.raises(SourceError, match=told):
        dcgm_source(f"{served.url}/metrics", fetcher).look()


@pytest.mark.parametrize("path", ["/hang", "/drip"])
def test_who_does_not_answer_or_never_ends_is_given_up(served: Exporter, path: str) -> None:
    with pytest.raises(SourceError, match=r"no answer within 0.2 s"):
        dcgm_source(served.url + path, Fetcher(timeout_s=0.2)).look()


def test_nobody_there_is_told() -> None:
    with pytest.raises(SourceError, match="connection refused: nothing listens there"):
        dcgm_source(f"http://127.0.0.1:{free_port()}/metrics", Fetcher(timeout_s=5)).look()


def test_certificates_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no certificates can be read there"):
        Fetcher(timeout_s=5, ca_file=str(tmp_path / "ca.pem"))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("node-1:9400", "http://node-1:9400/metrics"),
        ("http://node-1:9400/", "http://node-1:9400/metrics"),
        ("https://[::1]:9400/gpu#x", "https://[::1]:9400/gpu"),
        ("http://p:9090/federate?match[]=up", "http://p:9090/federate?match[]=up"),
    ],
)
def test_an_address_may_be_short(text: str, url: str) -> None:
    assert as_address(text, "/metrics") == url


@pytest.mark.parametrize(
    "text", ["", "ftp://x", "http://", "http://a b", "http://x:port", "http://me:secret@x", "a\nb"]
)
def test_what_is_no_address_is_refused_and_no_password_is_told_again(text: str) -> None:
    with pytest.raises(ValueError) as told:
        as_address(text)
    assert "secret" not in str(told.value)


def test_a_source_is_called_by_its_host_and_unusual_path() -> None:
    assert [short(url) for url in ("http://n:9400/metrics", "http://n:9400/gpu")] == ["n:9400", "n:9400/gpu"]
