"""A program in the place of `vllm`: a real engine process that answers, and tells of its calls as vLLM does.

What it does is decided by files beside the one named by HOLD. While HOLD is there, it begins no answer; while one
called like a prompt is there, it does not end the answer to that prompt. While there is `loading`, it does not listen,
unless there is `pids/PROCESS_ID.go`; with `broken`, it ends at once; with `stubborn`, it ignores SIGTERM. It leaves a
file `pids/PROCESS_ID`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import environ
from pathlib import Path

ANSWER = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"hello"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3}}'
)
PIECE = (
    'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    '"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":%s}]}\n\n'
)
running = [0]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        lines = [f"vllm:num_requests_running {running[0]}", "vllm:num_requests_waiting 0", "vllm:kv_cache_usage_perc 0"]
        self._say("\n".join([*lines, ""]).encode() if self.path == "/metrics" else b'{"data":[]}')

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        running[0] += 1
        try:
            wait_while(Path(environ["HOLD"]))
            self._stream(asked) if asked.get("stream") else self._say(ANSWER)
        finally:
            running[0] -= 1

    def _stream(self, asked: dict[str, list[dict[str, str]]]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self._send(PIECE % ("one", "null"))
        wait_while(Path(environ["HOLD"]).with_name(asked["messages"][0]["content"]))
        self._send(PIECE % ("two", '"stop"') + "data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, text: str) -> None:
        self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """It says nothing."""


def wait_while(file: Path) -> None:
    while file.exists():
        time.sleep(0.01)


def main() -> None:
    hold = Path(environ["HOLD"])
    pids = hold.with_name("pids")
    pids.mkdir(exist_ok=True)
    (pids / str(os.getpid())).touch()
    if hold.with_name("stubborn").exists():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if hold.with_name("broken").exists():
        sys.exit("no room on the GPU")
    while hold.with_name("loading").exists() and not (pids / f"{os.getpid()}.go").exists():
        time.sleep(0.01)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()


if __name__ == "__main__":
    main()
