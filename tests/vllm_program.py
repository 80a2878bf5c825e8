"""A program in the place of `vllm`: a real engine process that answers, and tells of its calls as vLLM does.

While the file named by HOLD is there, it begins no answer.
"""

from __future__ import annotations

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
running = [0]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        lines = [f"vllm:num_requests_running {running[0]}", "vllm:num_requests_waiting 0", "vllm:kv_cache_usage_perc 0"]
        self._say("\n".join([*lines, ""]).encode() if self.path == "/metrics" else b'{"data":[]}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        running[0] += 1
        while Path(environ["HOLD"]).exists():
            time.sleep(0.01)
        running[0] -= 1
        self._say(ANSWER)

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """It says nothing."""


if __name__ == "__main__":
    port = int(sys.argv[sys.argv.index("--port") + 1])
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
