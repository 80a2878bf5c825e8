"""What of `scale` nobody could keep is told with its place, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hanok.errors import SpecError
from hanok.spec import load

LLAMA = {"engine": "llamacpp"}
URL = {"engine": "openai", "url": "http://127.0.0.1:1/v1"}


def read(tmp_path: Path, serve: list[dict[str, Any]], scale: dict[str, Any], **more: Any) -> Any:
    file = tmp_path / "platform.yaml"
    file.write_text(yaml.safe_dump({"models": [{"name": "m", "serve": serve, "scale": scale, **more}]}))
    return load(file, {}).platform.models[0].scale


def test_replicas_are_kept_where_hanok_or_a_cluster_starts_the_engine(tmp_path: Path) -> None:
    scale = read(tmp_path, [LLAMA, URL], {"max": 2})
    assert (scale.min, scale.running, scale.waiting, scale.kv_cache) == (1, 16, 1, 0.7)
    assert (scale.up.stable_s, scale.up.replicas, scale.down.stable_s, scale.down.percent) == (0, 4, 300, 100)
    deploy = {"weights": "Qwen/Qwen3-8B"}
    assert read(tmp_path, [URL], {"max": 2, "kv_cache": None}, deploy=deploy).kv_cache is None


@pytest.mark.parametrize(
    ("serve", "scale", "path", "said"),
    [
        ([LLAMA], {}, "scale.max", "missing"),
        ([LLAMA], {"min": 3, "max": 2}, "scale", "`min` must be at most `max`"),
        ([LLAMA], {"max": 0}, "scale.max", "at least 1"),
        ([LLAMA], {"max": 2, "kv_cache": 70}, "scale.kv_cache", "at most 1"),
        ([LLAMA], {"max": 2, "running": None, "waiting": None, "kv_cache": None}, "scale", "must look at one of"),
        ([LLAMA], {"min": 0, "max": 2, "waiting": None}, "scale", "with `min: 0` must look at `waiting`"),
        ([LLAMA], {"max": 2, "down": {"percent": None}}, "scale.down", "must have `replicas` or `percent`"),
        ([LLAMA], {"max": 2, "down": {"stable_s": 3601}}, "scale.down.stable_s", "at most 3600"),
        ([URL], {"max": 2}, "scale", "its engine is started by others"),
        ([LLAMA, URL, LLAMA], {"max": 2}, "serve[2]", "has 2 engines to start"),
    ],
)
def test_what_cannot_be_kept_is_told(
    tmp_path: Path, serve: list[dict[str, Any]], scale: dict[str, Any], path: str, said: str
) -> None:
    with pytest.raises(SpecError) as told:
        read(tmp_path, serve, scale)
    problem = told.value.problems[0]
    assert problem.path == f"models[0].{path}"
    assert said in problem.message
