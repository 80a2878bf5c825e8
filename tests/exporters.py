"""Exporters on real sockets: pages as the DCGM exporter and vLLM write them, Prometheus' answers, and worse."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HELD = {
    "DCGM_FI_DEV_GPU_UTIL": 97,
    "DCGM_FI_DEV_MEM_COPY_UTIL": 40,
    "DCGM_FI_DEV_FB_USED": 36000,
    "DCGM_FI_DEV_FB_FREE": 4300,
    "DCGM_FI_DEV_FB_RESERVED": 600,
    "DCGM_FI_DEV_GPU_TEMP": 61,
    "DCGM_FI_DEV_POWER_USAGE": 301.5,
    "DCGM_FI_DEV_SM_CLOCK": 1410,
    "DCGM_FI_DEV_XID_ERRORS": 0,
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": 0.931,
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": 0.52,
    "DCGM_FI_PROF_DRAM_ACTIVE": 0.44,
}
"""A busy A100 on which all is well."""


def gpu(number: int = 0, *, labels: Mapping[str, str] | None = None, **figures: float) -> tuple[dict[str, str], dict]:
    """One GPU of a page: its labels, and its figures by the metric's name without `DCGM_FI_DEV_`."""
    told = {
        "gpu": str(number), "UUID": f"GPU-{number:08d}-cafe", "pci_bus_id": f"00000000:{number:02X}:00.0",
        "device": f"nvidia{number}", "modelName": "NVIDIA A100-SXM4-40GB", "Hostname": "node-1",
        "DCGM_FI_DRIVER_VERSION": "570.86.15",
    }  # fmt: skip
    names = {name: name if name.startswith("DCGM_") else f"DCGM_FI_DEV_{name}" for name in figures}
    return told | dict(labels or {}), HELD | {names[name]: value for name, value in figures.items()}


def dcgm(*gpus: tuple[Mapping[str, str], Mapping[str, float | str | None]]) -> bytes:
    """A page of dcgm-exporter 4: metric by metric, one line a GPU. A figure that is None is not on the page."""
    lines: list[str] = []
    for name in dict.fromkeys(name for _, figures in gpus for name in figures):
        lines += [f"# HELP {name} Some words (in units).", f"# TYPE {name} gauge"]
        for labels, figures in gpus:
            if figures.get(name) is not None:
                told = ",".join(f'{key}="{text}"' for key, text in labels.items())
                lines.append(f"{name}{{{told}}} {figures[name]}")
    return ("\n".join(lines) + "\n").encode()


def vllm(
    model: str = "Qwen/Qwen3-32B", *, running: int = 4, waiting: int = 2, cache: float = 0.5, prompt: int = 1000,
    output: int = 500, engine: int = 0,
) -> bytes:  # fmt: skip
    """The lines of vLLM 0.32's page that matter, among some that do not."""
    labels = f'{{engine="{engine}",model_name="{model}"}}'
    return (
        "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
        "# TYPE vllm:num_requests_running gauge\n"
        f"vllm:num_requests_running{labels} {running}.0\n"
        f"vllm:num_requests_waiting{labels} {waiting}.0\n"
        f"vllm:num_requests_waiting_by_reason{labels} {waiting}.0\n"
        f"vllm:kv_cache_usage_perc{labels} {cache}\n"
        f"vllm:prompt_tokens_total{labels} {prompt}.0\n"
        f"vllm:prompt_tokens_created{labels} 1.7e+09\n"
        f"vllm:generation_tokens_total{labels} {output}.0\n"
        f'vllm:e2e_request_latency_seconds_bucket{{engine="0",le="0.3",model_name="{model}"}} 12.0\n'
        "process_resident_memory_bytes 1.2e+09\n"
    ).encode()


def answer(*series: tuple[str, Mapping[str, str], float | str]) -> bytes:
    """Prometheus' answer to an instant query: names, labels, values."""
    result = [
        {"metric": {"__name__": name, **labels} if name else dict(labels), "value": [1763800000.123, str(value)]}
        for name, labels, value in series
    ]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


def scraped(*gpus: tuple[Mapping[str, str], Mapping[str, float]], **more: str) -> list[tuple[str, dict, float]]:
    """The same GPUs as Prometheus holds them, with the labels that it adds."""
    return [(name, {**labels, **more}, value) for labels, figures in gpus for name, value in figures.items()]


Page = bytes | Callable[[], bytes] | int | tuple[int, Mapping[str, str], bytes]


@dataclass
class Exporter:
    """A server that answers each path with its page: a body, what makes one, a status, or all of an answer."""

    url: str
    pages: dict[str, Page]
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Paths with their queries, and the authorization that came along."""
    leave: threading.Event = field(default_factory=threading.Event)
    """Whoever hangs may go now."""


@contextlib.contextmanager
def exporter(pages: dict[str, Page]) -> Iterator[Exporter]:
    """Such a server on a free port. The page `/hang` never comes, `/drip` comes a byte at a time without end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.asked.append((self.path, self.headers.get("authorization")))
            path = self.path.partition("?")[0]
            if path == "/hang":
                known.leave.wait(30)
                return
            if path == "/drip":
                self._drip()
                return
            page: Any = known.pages.get(path, 404)
            page = page() if callable(page) else page
            status, headers, body = (page, {}, b"") if isinstance(page, int) else (200, {}, page)
            if isinstance(page, tuple):
                status, headers, body = page
            self.send_response(status)
            for name, text in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, text)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

        def _drip(self) -> None:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                while not known.leave.wait(0.02):
                    self.wfile.write(b"#")

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    known = Exporter(f"http://127.0.0.1:{server.server_port}", pages)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield known
    finally:
        known.leave.set()
        server.shutdown()
        server.server_close()
        thread.join()
