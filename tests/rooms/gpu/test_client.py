"""A model's config.json from a hub: a real server on this machine plays it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hanok.errors import PlanError
from hanok.gpu import load_model
from hanok.gpu.client import fetch_config
from tests.conftest import free_port
from tests.exporters import exporter
from tests.journeys.test_hanok_up import hanok
from tests.rooms.gpu.test_anatomy import DENSE

FILES = {
    "/acme/plain/resolve/main/config.json": json.dumps(DENSE),
    "/acme/packed/resolve/main/config.json": json.dumps(DENSE),
    "/acme/packed/resolve/main/hf_quant_config.json": json.dumps({"quantization": {"quant_algo": "FP8"}}),
    "/acme/page/resolve/main/config.json": "<html>",
    "/acme/list/resolve/main/config.json": "[]",
    "/acme/huge/resolve/main/config.json": " " * (5 * 1024 * 1024),
    "/acme/cut/resolve/main/config.json": None,
}


class Hub(BaseHTTPRequestHandler):
    """Shows FILES; `gated` only to who has the token."""

    def do_GET(self) -> None:
        if "/gated/" in self.path and self.headers.get("authorization") != "Bearer hf_good":
            self.send_error(401)
        elif "/broken/" in self.path:
            self.send_error(500)
        elif self.path not in FILES and "/gated/" not in self.path:
            self.send_error(404)
        else:
            text = FILES.get(self.path, json.dumps(DENSE))
            self.send_response(200)
            self.send_header("content-length", str(len(text) if text else 100))
            self.end_headers()
            self.wfile.write((text or "{").encode())

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_model_of_the_hub_is_planned_from_its_config(hub: str) -> None:
    found = load_model("acme/plain", folder=Path("/nowhere"), fetch=lambda name: fetch_config(name, hub=hub))
    assert (found.name, found.layers, found.packing.format) == ("acme/plain", 2, "bf16")


def test_the_command_asks_the_hub_that_it_is_given(hub: str, tmp_path: Path) -> None:
    arguments = ("plan", "--model", "acme/plain", "--context", "256", "--hub", hub, "--json")
    done = hanok(tmp_path, *arguments, env={**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)})
    assert (done.returncode, json.loads(done.stdout)["plans"][0]["weights"]) == (0, "acme/plain")


def test_a_quantization_file_beside_the_config_counts(hub: str) -> None:
    found = load_model("acme/packed", folder=Path("/nowhere"), fetch=lambda name: fetch_config(name, hub=hub))
    assert found.packing.format == "fp8"


def test_a_token_opens_what_is_gated(hub: str) -> None:
    assert fetch_config("acme/gated", hub=hub, token="hf_good").config["num_hidden_layers"] == 2
    with pytest.raises(PlanError) as refused:
        fetch_config("acme/gated", hub=hub, token="hf_bad")
    assert "HF_TOKEN" in (refused.value.hint or "")
    assert "hf_bad" not in str(refused.value)


@pytest.mark.parametrize(("moved_to", "given"), [("127.0.0.1", "Bearer hf_good"), ("localhost", None)])
def test_a_token_follows_a_model_that_moved_within_the_hub_and_not_elsewhere(moved_to: str, given: str | None) -> None:
    with exporter({}) as hub:
        other = hub.url.replace("127.0.0.1", moved_to)
        moved = (307, {"location": f"{other}/acme/new/resolve/main/config.json"}, b"")
        hub.pages["/acme/old/resolve/main/config.json"] = moved
        hub.pages["/acme/new/resolve/main/config.json"] = json.dumps(DENSE | {"quantization_config": {}}).encode()
        fetch_config("acme/old", hub=hub.url, token="hf_good")
        assert [token for _, token in hub.asked] == ["Bearer hf_good", given]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("acme/none", "has no config.json"),
        ("acme/page", "is not JSON"),
        ("acme/list", "is not a JSON object"),
        ("acme/huge", "is larger than 4 MiB"),
        ("acme/broken", "answered 500"),
        ("acme/cut", "cannot be reached"),
    ],
)
def test_what_the_hub_cannot_give_is_told(model: str, said: str, hub: str) -> None:
    with pytest.raises(PlanError, match=said):
        fetch_config(model, hub=hub)


def test_a_hub_that_does_not_answer_is_told_with_another_way() -> None:
    with pytest.raises(PlanError, match="cannot be reached") as refused:
        fetch_config("acme/plain", hub=f"http://127.0.0.1:{free_port()}")
    assert "name the folder" in (refused.value.hint or "")


@pytest.mark.parametrize("hub", ["ftp://x", "file:///etc", "x"])
def test_an_address_that_is_no_hub_is_refused(hub: str) -> None:
    with pytest.raises(PlanError):
        fetch_config("acme/plain", hub=hub)


def test_a_folder_or_a_file_is_read_before_any_hub(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(DENSE))
    (folder / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "NVFP4"}}))
    assert load_model("mine", folder=tmp_path, fetch=None).packing.format == "nvfp4"
    assert load_model(str(folder / "config.json"), folder=Path("/nowhere"), fetch=None).layers == 2
    (folder / "config.json").write_bytes(b"\xff\xfe")
    with pytest.raises(PlanError, match="is not JSON"):
        load_model("mine", folder=tmp_path, fetch=None)
