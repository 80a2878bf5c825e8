"""Agents as resources of kagent: told whole where that is possible, else led by Hanok."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from hanok.errors import SpecError
from hanok.kubernetes.load import shipped
from hanok.kubernetes.lock import Lock
from tests.rooms.kubernetes.rendering import Made, faults, made

AGENTS = """\
name: acme
models:
  - {name: gpt, serve: {engine: openai, url: "https://api.openai.com/v1", key: "${env:OPENAI_API_KEY}"}}
  - {name: embed, type: embedding, serve: {engine: openai, url: "https://embed.example.com/v1"}}
knowledge: [{name: docs, sources: {uri: "s3://acme/docs"}, on_start: false}]
tools:
  - {name: tracker, type: mcp, url: "https://mcp.example.com/mcp", headers: {Authorization: "Bearer ${env:TRACKER}"}}
  - {name: files, type: mcp, command: [npx, -y, "@modelcontextprotocol/server-filesystem", /tmp]}
  - {name: sum, type: python, code: "def sum(a: int) -> int: return a"}
agents:
  - {name: Clerk, description: Looks things up., system_prompt: Be kind., temperature: 0.2, knowledge: docs,
     tools: [tracker, files], approvals: [search_docs], scale: {min: 2, max: 4, target_cpu: 60}}
  - {name: counter, tools: [sum]}
  - {name: planner, pattern: plan-execute, scale: {min: 3, max: 3}}
  - {name: lead, pattern: supervisor, team: [Clerk]}
cluster: {target: kubernetes, kagent: {enabled: true}, entry: {expose: none}, observe: {collector: false}}
"""


@cache
def tree() -> Made:
    return made(AGENTS)


def test_preflight_finds_nothing_in_it(tmp_path: Path) -> None:
    assert faults(tree(), tmp_path) == []


def test_an_agent_that_kagent_can_be_told_is_told_whole() -> None:
    told = tree().one("Agent", "clerk")["spec"]["declarative"]
    assert told["systemMessage"] == "Be kind."
    own, tracker, files = (each["mcpServer"] for each in told["tools"])
    assert (own["name"], own["toolNames"], own["requireApproval"]) == ("hanok", ["search_docs"], ["search_docs"])
    assert (tracker["kind"], files["kind"]) == ("RemoteMCPServer", "MCPServer")
    model = tree().one("ModelConfig", "clerk")["spec"]
    assert (model["model"], model["openAI"]["baseUrl"]) == ("gpt", "http://hanok.hanok.svc:4242/v1")
    assert model["openAI"]["temperature"] == "0.2"


def test_the_number_of_an_agents_pods_follows_their_load_and_kagent_is_told_none_beside_it() -> None:
    deployments = {
        name: tree().one("Agent", name)["spec"]["declarative"]["deployment"] for name in ("clerk", "planner")
    }
    assert "replicas" not in deployments["clerk"]
    assert deployments["planner"]["replicas"] == 3
    scaler = tree().one("HorizontalPodAutoscaler", "clerk")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "clerk"}
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 4)
    assert scaler["metrics"][0]["resource"]["target"]["averageUtilization"] == 60
    assert tree().one("HorizontalPodAutoscaler", "hanok")["spec"]["minReplicas"] == 3, "Hanok leads the planner's runs"


def test_an_agent_that_it_cannot_be_told_is_led_by_hanok() -> None:
    for name in ("counter", "planner"):
        assert tree().one("ModelConfig", name)["spec"]["model"] == f"agent/{name}"
        assert "tools" not in tree().one("Agent", name)["spec"]["declarative"]
    told = [note.message for note in tree().rendered.notes if note.component == "kagent"]
    assert any(each.startswith("counter: kagent has no word for tool sum (python)") for each in told)
    assert any(each.startswith("planner: kagent has no word for pattern plan-execute") for each in told)


def test_a_team_is_agents_as_tools() -> None:
    [tool] = tree().one("Agent", "lead")["spec"]["declarative"]["tools"]
    assert (tool["type"], tool["agent"]["name"]) == ("Agent", "clerk")


def test_headers_and_keys_come_from_the_store_alone() -> None:
    assert "Bearer ${env" not in "".join(text for path, text in tree().files.items() if path.startswith("apps/kagent"))
    secret = tree().one("ExternalSecret", "tracker")["spec"]
    assert secret["target"]["template"]["data"] == {"authorization": "Bearer {{ .TRACKER }}"}
    assert secret["data"] == [{"secretKey": "TRACKER", "remoteRef": {"key": "platform", "property": "TRACKER"}}]
    [header] = tree().one("RemoteMCPServer", "tracker")["spec"]["headersFrom"]
    assert header["valueFrom"] == {"type": "Secret", "name": "tracker", "key": "authorization"}


def test_the_next_api_is_refused_in_words() -> None:
    pins = dict(shipped().pins)
    pins["kagent"] = pins["kagent"].model_copy(update={"api": "v1alpha3"})
    with pytest.raises(SpecError, match="Agent Substrate"):
        made(AGENTS, lock=Lock(pins=pins, source="platform.lock"))


def test_patterns_of_no_agent_are_refused_by_their_line() -> None:
    with pytest.raises(SpecError) as refused:
        made(AGENTS.replace("kagent: {enabled: true}", "kagent: {enabled: true, agents: [nobody]}"))
    [problem] = refused.value.problems
    assert (problem.line, problem.path) == (16, "cluster.kagent.agents")
