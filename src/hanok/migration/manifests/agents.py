"""kagent's Agents (v1alpha2, and v1alpha1 as it really was) as agents of the platform.

What the sketch in articles calls an Agent of v1alpha1 is read by `sketches`.
"""

from __future__ import annotations

from hanok.migration.manifests.agent_models import Configs
from hanok.migration.manifests.agent_tools import Servers
from hanok.migration.manifests.keys import Keys
from hanok.migration.manifests.sketches import is_sketch, read_sketch
from hanok.migration.manifests.told import Block, Draft, Path, Told, as_word
from hanok.preflight import Case, Manifest
from hanok.preflight.manifests import Body, mapping_at, mappings_at, text_at, texts_at, whole_at
from hanok.spec.checks import quoted

_KINDS = ("Agent", "SandboxAgent")
_REASONS = {
    "a2aConfig": "what it can do is told of Hanok's agents by their description",
    "executeCodeBlocks": "code that the model writes is a tool of its own: {type: code}, in a sandbox",
    "context": "Hanok sums up histories by itself: agents[].memory.context_tokens",
    "promptTemplate": "Hanok's prompts have no templates: write the text out",
    "deployment": "Hanok's agents are no pods of their own",
    "stream": "Hanok streams where the caller asks for it",
    "runtime": "Hanok runs agents itself",
    "skills": "Hanok has no skills in images",
    "allowedNamespaces": "who may ask an agent is said by keys and teams",
    "sandbox": "code runs in Hanok's sandbox by itself",
}
_KNOWN = "systemMessage systemMessageFrom modelConfig tools memory description type declarative"
_DAY_S = 86_400


def read_agents(case: Case, draft: Draft, told: Told, keys: Keys) -> None:
    """Every Agent of the cluster."""
    agents = list(case.cluster.of(*_KINDS, group="kagent.dev"))
    readable = [each for each in agents if _is_readable(each, told)]
    names = {(each.namespace, each.name): name for each, name in _named(readable)}
    configs, servers = Configs(case, draft, told, keys), Servers(case, draft, told, keys)
    for manifest in readable:
        told.take(manifest)
        name = names[(manifest.namespace, manifest.name)]
        if is_sketch(manifest):
            block = read_sketch(manifest, draft, told, configs, keys)
        else:
            block = _Reader(case, manifest, told, configs, servers, names).read(keys)
        draft.add("agents", {"name": name, **block}, manifest, ("spec",))
        told.carried(manifest, ("metadata", "name"), f"agents[{name}]", f"asked as model `agent/{name}`")


def _named(agents: list[Manifest]) -> list[tuple[Manifest, str]]:
    """Each with a name of its own; two of one name are told apart by their namespaces."""
    found: list[tuple[Manifest, str]] = []
    for each in agents:
        name = as_word(each.name, "agent")
        if any(name == other for _, other in found):
            name = as_word(f"{each.namespace}-{each.name}", "agent")
        number, wanted = 2, name
        while any(name == other for _, other in found):
            name, number = f"{wanted[:60]}-{number}", number + 1
        found.append((each, name))
    return found


def _is_readable(manifest: Manifest, told: Told) -> bool:
    spec = mapping_at(manifest.body, "spec")
    if text_at(spec, "type") == "BYO" or (mapping_at(spec, "byo") and not mapping_at(spec, "declarative")):
        message = "an agent in an image of its own: it goes on running, and may ask Hanok as it asked its gateway"
        told.left(manifest, ("spec", "byo"), message)
        return False
    return True


class _Reader:
    """One Agent. v1alpha1 has in `spec` what v1alpha2 has in `spec.declarative`."""

    def __init__(
        self, case: Case, manifest: Manifest, told: Told, configs: Configs, servers: Servers,
        names: dict[tuple[str, str], str],
    ) -> None:  # fmt: skip
        self._case, self._manifest, self._told = case, manifest, told
        self._configs, self._servers, self._names = configs, servers, names
        inner = mapping_at(manifest.body, "spec", "declarative")
        self._path: Path = ("spec", "declarative") if inner else ("spec",)
        self._body: Body = inner or mapping_at(manifest.body, "spec")

    def read(self, keys: Keys) -> Block:
        manifest, told = self._manifest, self._told
        block: Block = {}
        if description := text_at(manifest.body, "spec", "description"):
            block["description"] = description[:2000]
        chosen = self._configs.of(text_at(self._body, "modelConfig"), manifest, (*self._path, "modelConfig"))
        if chosen.model is not None:
            block["model"] = chosen.model
            told.carried(manifest, (*self._path, "modelConfig"), "agents[].model")
        if (prompt := self._prompt(keys)) is not None:
            block["system_prompt"] = prompt
        given = {"temperature": chosen.temperature, "max_tokens": chosen.max_tokens}
        block |= {key: value for key, value in given.items() if value is not None}
        block |= self._tools()
        if memory := self._memory():
            block["memory"] = memory
        replicas = whole_at(self._body, "deployment", "replicas")
        if replicas and replicas > 1:
            block["scale"] = {"min": replicas, "max": replicas}
            told.carried(manifest, (*self._path, "deployment", "replicas"), "agents[].scale")
        told.leave_rest(manifest, self._path, self._body, _REASONS, known=_KNOWN)
        if self._path != ("spec",):
            told.leave_rest(manifest, ("spec",), mapping_at(manifest.body, "spec"), _REASONS, known=_KNOWN)
        return block

    def _prompt(self, keys: Keys) -> str | None:
        here: Path = (*self._path, "systemMessage")
        if text := text_at(self._body, "systemMessage"):
            if mapping_at(self._body, "promptTemplate") and "{{" in text:
                self._told.changed(self._manifest, here, "a template that is not filled in here: write it out", _PROMPT)
            else:
                self._told.carried(self._manifest, here, _PROMPT)
            return text
        held = mapping_at(self._body, "systemMessageFrom")
        here = (*self._path, "systemMessageFrom")
        name, key = text_at(held, "name"), text_at(held, "key")
        if text_at(held, "type") == "Secret":
            shown = keys.of_secret(name, key, f"{self._manifest.name}_prompt")
            self._told.changed(self._manifest, here, f"set {shown[6:-1]} to what the Secret holds", _PROMPT)
            return shown
        config = self._case.cluster.find("ConfigMap", name, self._manifest.namespace) if held else None
        text = text_at(config.body, "data", key) if config is not None else ""
        if config is not None and text:
            self._told.take(config)
            self._told.carried(config, ("data", key), _PROMPT)
        elif held:
            self._told.wrong(self._manifest, here, f"ConfigMap {quoted(name)} with {quoted(key)} is not in these files")
        return text or None

    def _tools(self) -> Block:
        tools: list[str] = []
        team: list[str] = []
        approvals: list[str] = []
        for index, each in enumerate(mappings_at(self._body, "tools")):
            here: Path = (*self._path, "tools", index)
            if agent := mapping_at(each, "agent"):
                team += self._member(agent, (*here, "agent"))
            elif server := mapping_at(each, "mcpServer"):
                name = self._servers.tool(self._manifest, (*here, "mcpServer"), server)
                asked = texts_at(server, "requireApproval")
                tools += [name] if name is not None else []
                approvals += asked if name is not None else []
                if asked and name is not None:
                    self._told.carried(self._manifest, (*here, "mcpServer", "requireApproval"), "agents[].approvals")
            else:
                self._told.wrong(self._manifest, here, "kagent knows tools of type McpServer and Agent: left out")
            if mappings_at(each, "headersFrom"):
                message = "headers of one agent's calls: write them as tools[].headers"
                self._told.left(self._manifest, (*here, "headersFrom"), message)
        found = {"tools": tools, "team": team, "approvals": approvals}
        return {key: list(dict.fromkeys(value)) for key, value in found.items() if value}

    def _member(self, agent: Body, path: Path) -> list[str]:
        space, _, name = (text_at(agent, "name") or text_at(agent, "ref")).rpartition("/")
        key = (text_at(agent, "namespace") or space or self._manifest.namespace, name)
        member = self._names.get(key)
        if member is None:
            self._told.wrong(self._manifest, path, f"agent {quoted(name)} is not among those carried over: left out")
            return []
        self._told.carried(self._manifest, path, "agents[].team", member)
        return [member]

    def _memory(self) -> Block:
        body, here = mapping_at(self._body, "memory"), (*self._path, "memory")
        if not body:
            return {}
        embed = self._configs.of(text_at(body, "modelConfig"), self._manifest, here, type_="embedding").model
        if embed is None:
            self._told.left(self._manifest, here, "nothing is remembered: no model makes vectors for it")
            return {}
        days = whole_at(body, "ttlDays")
        self._told.carried(self._manifest, here, "agents[].memory.long_term")
        return {"long_term": {"embed": embed} | ({"ttl_s": days * _DAY_S} if days and days > 0 else {})}


_PROMPT = "agents[].system_prompt"
