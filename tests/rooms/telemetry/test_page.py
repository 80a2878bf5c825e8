"""docs/telemetry.md is true: its blocks load, and every attribute that is sent has its place there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hanok.spec import load
from hanok.telemetry.spans import _PARAMETERS
from tests.rooms.telemetry.given import caller, charge, chat
from tests.rooms.telemetry.test_deeds import run, said, search, tool
from tests.rooms.telemetry.test_spans import told

PAGE = (Path(__file__).parents[3] / "docs" / "telemetry.md").read_text("utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
KEYS = {"LANGFUSE_PUBLIC": "pk", "LANGFUSE_SECRET": "sk", "LANGSMITH_API_KEY": "ls"}


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_the_page_is_two_lines_that_load(block: str, tmp_path: Path) -> None:
    assert len(block.splitlines()) == 2
    file = tmp_path / "platform.yaml"
    file.write_text(f"{block}models: [{{name: m, serve: {{engine: echo}}}}]\n", "utf-8")
    (export,) = load(file, KEYS).platform.telemetry.export
    assert f"| `{export.to}` |" in PAGE


def test_every_kind_of_receiver_has_its_block() -> None:
    assert len(BLOCKS) == 4


def test_every_attribute_has_its_place_in_the_page() -> None:
    who = caller(session="s", user="u", run="r", request_id="q")
    asked = chat(
        who, stream=False, messages=[], temperature=1, top_p=1, top_k=1, frequency_penalty=1, presence_penalty=1,
        max_tokens=1, seed=1, n=1, stop="x", dimensions=1, encoding_format="float",
    )  # fmt: skip
    assert {*asked.fields, "messages", "max_completion_tokens"} == {*_PARAMETERS, "messages"}
    choice = {"message": {"content": "hi"}, "finish_reason": "stop"}
    full = charge(cached_tokens=1, cost_nano_usd=1, estimated=True, team="t", error="e")
    names = {
        *told(full, asked, json.dumps({"id": "x", "choices": [choice]}).encode(), content=True),
        *told(full, chat(stream=True)),
    }
    for deed in (run(), tool(), search()):
        names |= said(deed, content=True).keys()
    assert [name for name in sorted(names) if f"`{name}`" not in PAGE] == []
