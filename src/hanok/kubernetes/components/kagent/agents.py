"""kagent's objects in its API v1alpha2, for each agent: an Agent, its ModelConfig, and the servers of its tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from hanok.kubernetes.autoscaler import by_processors
from hanok.kubernetes.component import Body
from hanok.kubernetes.components.kagent.expressing import (
    chosen,
    colleagues,
    inexpressible,
    searches,
    servers,
)
from hanok.kubernetes.external import external_secret
from hanok.kubernetes.filled import filled_secret
from hanok.kubernetes.objects import given, label, labels, thing
from hanok.kubernetes.places import GATEWAY, KAGENT
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.texts import all_tools
from hanok.spec.tree import Agent, McpTool

NAME = "kagent"
API, TOOLS_API = "kagent.dev/v1alpha2", "kagent.dev/v1alpha1"
KEY, KEY_VARIABLE = "hanok-key", "HANOK_KAGENT_KEY"
"""The Secret with kagent's key for Hanok's door, and its name in the store."""
HANOK_SERVER = "hanok"
USER = 1001
MCP_PORT = 3000


def objects(plan: ClusterPlan) -> Iterator[Body]:
    """Everything that stands for agents, each object once."""
    agents = chosen(plan)
    whole = [each for each in agents if not inexpressible(plan, each)]
    yield _key(plan)
    if any(searches(plan.platform, each) for each in whole):
        yield _own_server()
    found = {tool.name: tool for each in whole for tool in servers(plan.platform, each)}
    for name in sorted(found):
        yield from _server(plan, found[name])
    for each in agents:
        yield _model(plan, each, whole=each in whole)
        yield _agent(plan, each, whole=each in whole)
        if follows(each):
            yield _autoscaler(each)


def _key(plan: ClusterPlan) -> Body:
    """As a key, and as the header that MCP servers are shown."""
    data = {"key": "{{ .key }}", "authorization": "Bearer {{ .key }}"}
    return _templated(external_secret(plan, KEY, KAGENT, {"key": KEY_VARIABLE}, component=NAME), data)


def _templated(body: Body, data: Mapping[str, str]) -> Body:
    body["spec"]["target"]["template"] = {"engineVersion": "v2", "data": dict(data)}
    return body


# --- Agents -----------------------------------------------------------------------------------------------------------


def _model(plan: ClusterPlan, agent: Agent, *, whole: bool) -> Body:
    """Always Hanok's door: calls are routed, charged and traced there; the model is the agent's, or the agent."""
    first = plan.platform.first("chat")
    model = (agent.model or (first.name if first else "")) if whole else f"agent/{agent.name}"
    options = given(
        baseUrl=f"{GATEWAY}/v1",
        temperature=None if agent.temperature is None or not whole else f"{agent.temperature:g}",
        maxTokens=agent.max_tokens if whole else None,
    )
    spec = {"provider": "OpenAI", "model": model, "apiKeySecret": KEY, "apiKeySecretKey": "key", "openAI": options}
    return thing(API, "ModelConfig", label(agent.name), KAGENT, labels=labels(label(agent.name), NAME), spec=spec)


def _agent(plan: ClusterPlan, agent: Agent, *, whole: bool) -> Body:
    name = label(agent.name)
    declarative = given(
        modelConfig=name,
        systemMessage=_prompt(plan, agent) if whole else None,
        stream=True,
        tools=(list(_tools(plan, agent)) or None) if whole else None,
        deployment=_deployment(agent),
    )
    spec = given(type="Declarative", description=agent.description or None, declarative=declarative)
    return thing(API, "Agent", name, KAGENT, labels=labels(name, NAME), spec=spec)


def _prompt(plan: ClusterPlan, agent: Agent) -> str | None:
    if agent.prompt is None:
        return agent.system_prompt
    name = agent.prompt.partition("@")[0]
    prompt = next(each for each in plan.platform.prompts if each.name == name)
    return prompt.text if prompt.text is not None else plan.texts.get((prompt.file or "").removeprefix("./"))


def _deployment(agent: Agent) -> Body:
    """Where the number follows the load, none is said: kagent then leaves it to the autoscaler."""
    return given(
        replicas=None if follows(agent) else agent.scale.min,
        resources={"requests": {"cpu": "100m", "memory": "384Mi"}, "limits": {"memory": "1Gi"}},
        podSecurityContext={
            "runAsNonRoot": True,
            "runAsUser": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        securityContext={"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    )


def follows(agent: Agent) -> bool:
    """Whether the number of its pods follows their load."""
    return agent.scale.max > agent.scale.min


def _autoscaler(agent: Agent) -> Body:
    """Of the Deployment that kagent makes, which has the agent's name."""
    name, scale = label(agent.name), agent.scale
    return by_processors(
        ("Deployment", name), KAGENT,
        fewest=scale.min, most=scale.max, percent=scale.target_cpu, labels=labels(name, NAME),
    )  # fmt: skip


def _tools(plan: ClusterPlan, agent: Agent) -> Iterator[Body]:
    names = [f"search_{base}" for base in searches(plan.platform, agent)]
    if names:
        asked = [name for name in names if any(fnmatchcase(name, one) for one in agent.approvals)]
        server = given(**_reference("RemoteMCPServer", HANOK_SERVER), toolNames=names, requireApproval=asked or None)
        yield {"type": "McpServer", "mcpServer": server}
    for tool in servers(plan.platform, agent):
        kind = "MCPServer" if tool.url is None else "RemoteMCPServer"
        yield {"type": "McpServer", "mcpServer": _reference(kind, label(tool.name))}
    for each in colleagues(plan.platform, agent):
        yield {"type": "Agent", "agent": _reference("Agent", label(each))}


def _reference(kind: str, name: str) -> Body:
    return {"apiGroup": "kagent.dev", "kind": kind, "name": name}


# --- Servers of tools -------------------------------------------------------------------------------------------------


def _own_server() -> Body:
    """Hanok's own: searches in knowledge, for whatever the key opens."""
    return _remote(
        HANOK_SERVER, f"{GATEWAY}/mcp", "Searches in Hanok's knowledge", KEY, {"Authorization": "authorization"}
    )


def _server(plan: ClusterPlan, tool: McpTool) -> Iterator[Body]:
    name = label(tool.name)
    about = tool.description or f"Tools of {tool.name}"
    if tool.url is None:
        yield _started(name, tool)
        return
    written = {each: _written(plan, tool, each) for each in sorted(tool.headers)}
    if written:
        yield _headers(plan, name, written)
    yield _remote(name, str(tool.url), about, name, {each: label(each) for each in written}, tool.timeout_s)


def _remote(name: str, url: str, about: str, secret: str, headers: Mapping[str, str], timeout_s: float = 30.0) -> Body:
    """`headers` are keys of the secret by the header's name."""
    taken = [
        {"name": header, "valueFrom": {"type": "Secret", "name": secret, "key": headers[header]}} for header in headers
    ]
    spec = given(
        url=url, description=about, protocol="STREAMABLE_HTTP", timeout=f"{timeout_s:g}s", headersFrom=taken or None
    )
    return thing(API, "RemoteMCPServer", name, KAGENT, labels=labels(name, NAME), spec=spec)


def _written(plan: ClusterPlan, tool: McpTool, header: str) -> str:
    """The header as it stands in the file, variables unfilled."""
    place = next(place for place, each in all_tools(plan.platform) if each is tool)
    return str(plan.written.at((*place, "headers", header)))


def _headers(plan: ClusterPlan, name: str, written: Mapping[str, str]) -> Body:
    """A Secret with each header whole, its variables filled by External Secrets."""
    return filled_secret(plan, name, KAGENT, {label(each): text for each, text in written.items()}, component=NAME)


def _started(name: str, tool: McpTool) -> Body:
    """kmcp knows images for `npx` and `uvx`."""
    command: Sequence[str] = tool.command
    deployment = {
        "cmd": command[0],
        "args": list(command[1:]),
        "port": MCP_PORT,
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
    }
    spec = {"transportType": "stdio", "stdioTransport": {}, "timeout": f"{tool.timeout_s:g}s", "deployment": deployment}
    return thing(TOOLS_API, "MCPServer", name, KAGENT, labels=labels(name, NAME), spec=spec)
