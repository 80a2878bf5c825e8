"""What is declared under two names and would be one object in the cluster, is refused; every other name will do."""

from __future__ import annotations

from collections import Counter

import pytest

from hanok.errors import SpecError
from tests.rooms.kubernetes.rendering import made

ODD = ["hanok", "redis", "weights", "kustomization", "on", "null", "1e3", "0x10", "A.B/c:d", "x" * 128]
DEPLOY = "deploy: {weights: Qwen/Qwen3-8B, gpu: ['g6e.*'], context_tokens: 8192, load: {requests_per_s: 1}}"


def _platform(kind: str, *names: str) -> str:
    """A platform with things of that kind called so, each on a line of its own."""
    text = "name: acme\nmodels:\n"
    if kind != "models":
        text += f"  - {{name: c, serve: {{engine: echo}}}}\n{kind}:\n"
    more = {"models": f"serve: {{engine: vllm, model: Qwen/Qwen3-8B}}, {DEPLOY}", "teams": "",
            "agents": "description: x, model: c, system_prompt: x"}[kind]  # fmt: skip
    return text + "".join(f"  - {{name: {name!r}, {more}}}\n" for name in names)


@pytest.mark.parametrize("kind", ["models", "teams"])
@pytest.mark.parametrize("names", [("a/b", "a-b"), ("Team.X", "team-x")])
def test_names_that_a_cluster_cannot_tell_apart_are_refused_by_line(kind: str, names: tuple[str, str]) -> None:
    with pytest.raises(SpecError) as refused:
        made(_platform(kind, *names))
    [problem] = refused.value.problems
    assert (problem.line, problem.path) == (4 if kind == "models" else 6, f"{kind}[1].name")


def test_an_object_that_is_there_twice_for_another_reason_is_refused_too() -> None:
    """An engine called as one of the parts of another."""
    serve = "serve: [{engine: vllm, model: Qwen/Qwen3-8B}, {engine: vllm, model: Qwen/Qwen3-8B}]"
    text = _platform("models", "a-1") + f"  - {{name: a, {serve}, {DEPLOY}}}\n"
    with pytest.raises(SpecError, match=r"platform.yaml:4:\d+ models\[1\].name"):
        made(text)


def test_every_other_name_gives_objects_that_are_there_once() -> None:
    text = _platform("models", *ODD) + _platform("teams", *ODD).partition("teams:")[2].join(["teams:", ""])
    found = [
        (body["apiVersion"], body["kind"], body["metadata"].get("namespace"), body["metadata"]["name"])
        for _, body in made(text).objects()
    ]
    assert [key for key, count in Counter(found).items() if count > 1] == []
    assert all(isinstance(name, str) for *_, name in found)
