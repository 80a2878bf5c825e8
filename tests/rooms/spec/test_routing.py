"""What of `routing` and of endpoints' terms cannot hold together is told with its place, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hanok.errors import SpecError
from hanok.spec import Routing, load

ECHO = {"engine": "echo"}
VLLM = {"engine": "openai", "url": "http://127.0.0.1:1/v1"}


def read(tmp_path: Path, *serve: dict[str, Any], **more: Any) -> Any:
    file = tmp_path / "platform.yaml"
    teams = more.pop("teams", [])
    file.write_text(yaml.safe_dump({"teams": teams, "models": [{"name": "m", "serve": list(serve), **more}]}))
    return load(file, {}).platform.models[0]


def problems(tmp_path: Path, *serve: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as told:
        read(tmp_path, *serve, **more)
    return [(each.path, each.message) for each in told.value.problems]


def test_a_policy_alone_is_a_routing_with_its_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, ECHO, routing="session").routing == Routing(policy="session")
    assert read(tmp_path, ECHO).routing.policy == "least-busy"


@pytest.mark.parametrize(
    ("serve", "more", "path", "said"),
    [
        ([ECHO], {"routing": "sticky"}, "routing.policy", "must be 'least-busy'"),
        ([ECHO], {"routing": {"headers": [{"name": "a b", "tags": ["x"]}]}}, "routing.headers[0].name", ""),
        ([ECHO], {"routing": {"explore_every": -1}}, "routing.explore_every", "at least 0"),
        ([ECHO, ECHO], {"routing": "cost"}, "routing.policy", "no endpoint has a price"),
        (
            [{**ECHO, "tags": ["a"]}, {**ECHO, "tags": ["b"]}],
            {"routing": {"headers": [{"name": "x", "tags": ["a", "b"]}]}},
            "routing.headers[0].tags",
            "no endpoint of 'm' has the tags a, b",
        ),
        ([{**ECHO, "weight": 0}], {}, "serve[0].weight", "nobody answers its calls"),
        ([{**ECHO, "weight": 2}, ECHO], {"routing": "latency"}, "serve[0].weight", "does not look at weights"),
        ([{**ECHO, "teams": ["red"]}], {"teams": [{"name": "rad"}]}, "serve[0].teams[0]", "no team is called 'red'"),
        ([{**ECHO, "role": "decode"}, ECHO], {}, "serve[0].role", "cannot hand prompts on"),
        ([{**VLLM, "role": "prefill"}], {}, "serve[0].role", "every endpoint of 'm' has the role 'prefill'"),
        ([{**VLLM, "role": "decode"}], {}, "serve[0].role", "every endpoint of 'm' has the role 'decode'"),
        ([VLLM, VLLM], {"type": "embedding", "routing": "prefix"}, "routing.policy", "vectors have no prompt cache"),
    ],
)
def test_what_cannot_be_is_told(
    tmp_path: Path, serve: list[dict[str, Any]], more: dict[str, Any], path: str, said: str
) -> None:
    told = problems(tmp_path, *serve, **more)
    assert [each for each in told if each[0] == f"models[0].{path}" and said in each[1]], told
