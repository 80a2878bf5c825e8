"""MCP servers as kagent knows them (RemoteMCPServer, kmcp's MCPServer, v1alpha1's ToolServer), as tools of agents."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hanok.migration.manifests.agent_models import host_of
from hanok.migration.manifests.keys import Keys
from hanok.migration.manifests.told import Block, Draft, Path, Told, as_tool
from hanok.migration.secrets import plain, sounds_secret
from hanok.preflight import Case, Manifest
from hanok.preflight.manifests import Body, mapping_at, mappings_at, text_at, texts_at, whole_at
from hanok.spec.checks import quoted

_SERVERS = ("RemoteMCPServer", "MCPServer", "ToolServer", "Service")
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Servers:
    """The MCP servers of the cluster. One server of which agents take different tools becomes several tools."""

    def __init__(self, case: Case, draft: Draft, told: Told, keys: Keys) -> None:
        self._case, self._draft, self._told, self._keys = case, draft, told, keys
        self._names: dict[tuple[int, tuple[str, ...]], str] = {}

    def tool(self, agent: Manifest, path: Path, reference: Body) -> str | None:
        """The tool that an agent's reference to a server becomes; None where it cannot be reached."""
        named = text_at(reference, "name") or text_at(reference, "toolServer")
        space, _, name = named.rpartition("/")
        space = text_at(reference, "namespace") or space or agent.namespace
        kind = text_at(reference, "kind")
        kinds = (kind,) if kind in _SERVERS else _SERVERS
        server = next((found for each in kinds if (found := self._case.cluster.find(each, name, space))), None)
        if server is None:
            self._told.wrong(agent, path, f"{kind or 'the MCP server'} {quoted(name)} is not in these files: left out")
            return None
        self._told.take(server)
        only = tuple(texts_at(reference, "toolNames"))
        key = (id(server), only)
        if key not in self._names:
            block = self._block(server)
            if block is None:
                return None
            self._names[key] = self._add(server, block, only, agent, path)
        return self._names[key]

    def _add(self, server: Manifest, block: Block, only: Sequence[str], agent: Manifest, path: Path) -> str:
        description = text_at(server.body, "spec", "description")
        tool: Block = {"name": as_tool(server.name), "type": "mcp"}
        tool |= {"description": plain(description)[:4000]} if description else {}
        tool |= block | ({"include": list(only)} if only else {}) | {"prefix": False}
        name = self._draft.add("tools", tool, server, ("spec",))
        self._told.carried(server, ("spec",), f"tools[{name}]", "its tools keep their names: prefix: false")
        if only:
            self._told.carried(agent, (*path, "toolNames"), f"tools[{name}].include")
        return name

    def _block(self, server: Manifest) -> Block | None:
        match server.kind:
            case "RemoteMCPServer":
                return self._remote(server, ("spec",), text_at(server.body, "spec", "protocol"))
            case "ToolServer":
                return self._tool_server(server)
            case "MCPServer":
                return self._kmcp(server)
            case _:
                return self._service(server)

    def _remote(self, server: Manifest, path: Path, protocol: str) -> Block | None:
        body = mapping_at(server.body, *path)
        url = text_at(body, "url")
        if protocol.upper() == "SSE":
            message = "SSE, which MCP has given up: Hanok speaks streamable HTTP. Give the server's address for that"
            self._told.left(server, (*path, "protocol"), message)
            return None
        block: Block = {"url": url} | ({"private": True} if is_inside(url) else {})
        if (seconds := read_seconds(body.get("timeout"))) is not None:
            block["timeout_s"] = min(seconds, 3600.0)
        if headers := self._headers(server, path):
            block["headers"] = headers
        self._told.leave_rest(server, path, body, {}, known="url description protocol timeout headersFrom headers")
        return block

    def _arguments(self, server: Manifest, path: Path) -> Iterator[str]:
        """Arguments, without secrets: `--api-key VALUE`, `--token=VALUE`."""
        secret = False
        for index, word in enumerate(texts_at(server.body, *path)):
            flag, equals, value = word.partition("=")
            here: Path = (*path, index)
            if secret and not word.startswith("-"):
                yield self._keys.hide(word, f"{server.name}_key", self._told, server, here, to="tools[].command")
            elif equals and sounds_secret(flag):
                shown = self._keys.hide(value, f"{server.name}_key", self._told, server, here, to="tools[].command")
                yield f"{plain(flag)}={shown}"
            else:
                yield plain(word)
            secret = word.startswith("-") and not equals and sounds_secret(flag)

    def _plain_env(self, server: Manifest, path: Path) -> dict[str, str]:
        """Variables that are written out."""
        found: dict[str, str] = {}
        for name, value in mapping_at(server.body, *path, "env").items():
            here: Path = (*path, "env", name)
            if sounds_secret(name):
                found[name] = self._keys.hide(str(value), name, self._told, server, here, to="tools[].env")
            else:
                found[name] = plain(str(value))
                self._told.carried(server, here, "tools[].env")
        return found

    def _headers(
        self, server: Manifest, path: Path, key: str = "headersFrom", target: str = "headers"
    ) -> dict[str, str]:
        to = f"tools[].{target}"
        found: dict[str, str] = {}
        for index, each in enumerate(mappings_at(server.body, *path, key)):
            here: Path = (*path, key, index)
            name, value, held = text_at(each, "name"), text_at(each, "value"), mapping_at(each, "valueFrom")
            secret = text_at(held, "name") or text_at(held, "valueRef")
            if held and text_at(held, "type") == "ConfigMap":
                self._told.left(server, here, "from a ConfigMap: write it into platform.yaml")
            elif held and name:
                wanted = f"{server.name}_{name}"
                found[name] = self._keys.of_secret(secret or "?", text_at(held, "key") or "?", wanted)
                self._told.carried(server, here, to, f"set {found[name][6:-1]}")
            elif name and value:
                wanted = f"{server.name}_{name}"
                found[name] = self._keys.hide(value, wanted, self._told, server, here, to=to)
        return found

    def _tool_server(self, server: Manifest) -> Block | None:
        """kagent's v1alpha1 kind."""
        config: Path = ("spec", "config")
        body = mapping_at(server.body, *config)
        if mapping_at(body, "streamableHttp"):
            return self._remote(server, (*config, "streamableHttp"), "")
        stdio = mapping_at(body, "stdio")
        if text_at(stdio, "command"):
            here: Path = (*config, "stdio")
            self._told.changed(server, here, "started beside Hanok, and not in a pod", "tools[].command")
            env = self._headers(server, here, "envFrom", "env") | self._plain_env(server, here)
            command = [plain(text_at(stdio, "command")), *self._arguments(server, (*here, "args"))]
            return {"command": command} | ({"env": env} if env else {})
        return self._remote(server, (*config, "sse"), "SSE")

    def _kmcp(self, server: Manifest) -> Block:
        """kmcp serves what it starts at `/mcp` of a Service of its name, also servers that speak over their streams."""
        port = whole_at(server.body, "spec", "httpTransport", "targetPort")
        port = port or whole_at(server.body, "spec", "deployment", "port") or 3000
        path = text_at(server.body, "spec", "httpTransport", "path") or "/mcp"
        self._told.changed(
            server, ("spec", "deployment"), "kmcp goes on running it; Hanok asks it there", "tools[].url"
        )
        return {"url": f"http://{server.name}.{server.namespace}:{port}/{path.lstrip('/')}", "private": True}

    def _service(self, server: Manifest) -> Block:
        """A Service with kagent's annotations."""
        notes = server.annotations
        ports = mappings_at(server.body, "spec", "ports")
        port = notes.get("kagent.dev/mcp-service-port") or (whole_at(ports[0], "port") if ports else None) or 80
        path = notes.get("kagent.dev/mcp-service-path") or "/mcp"
        return {"url": f"http://{server.name}.{server.namespace}:{port}/{path.lstrip('/')}", "private": True}


def read_seconds(value: object) -> float | None:
    """Seconds of a duration as Go writes it: `30s`, `5m`, `1h30m`; None for others."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    parts = re.findall(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)?", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) or None


def is_inside(url: str) -> bool:
    """Whether an address lies in the cluster: a name of one or two parts, or one of the cluster's DNS."""
    host = host_of(url)
    return (host.count(".") <= 1 and not re.search(r"\.[a-z]{2,3}$", host)) or ".svc" in host
