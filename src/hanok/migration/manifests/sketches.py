"""The Agent that articles show as `kagent.dev/v1alpha1`: `llm`, `systemPrompt`, tools written out, `memory`.

kagent never had it. It says plainly what was meant, and Hanok has a place for nearly all of it.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from hanok.migration.manifests.agent_models import Chosen, Configs, number, whole
from hanok.migration.manifests.agent_tools import is_inside
from hanok.migration.manifests.keys import Keys
from hanok.migration.manifests.knowledge import base_for
from hanok.migration.manifests.scales import agent_scale
from hanok.migration.manifests.told import Block, Draft, Path, Told, as_model, as_tool
from hanok.migration.secrets import sounds_secret
from hanok.preflight import Manifest
from hanok.preflight.manifests import Body, mapping_at, mappings_at, text_at
from hanok.spec.checks import quoted

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_MILVUS = ("milvus", "knowledge", "vector", "rag", "retrieval")
_NEEDLESS = ("content-type", "accept", "content-length", "host")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_NEVER = ("llm", "systemPrompt", "replicas", "autoscaling")
"""What kagent would refuse; tools and memories of other kinds are told one by one."""
_KNOWN = "llm systemPrompt systemMessage tools memory autoscaling replicas description"


def is_sketch(manifest: Manifest) -> bool:
    """Whether an Agent has what kagent's never had."""
    spec = mapping_at(manifest.body, "spec")
    if mapping_at(spec, "declarative"):
        return False
    return any(key in spec for key in ("llm", "systemPrompt", "autoscaling")) or any(
        text_at(each, "type") not in ("", "McpServer", "Agent") for each in mappings_at(spec, "tools")
    )


def read_sketch(manifest: Manifest, draft: Draft, told: Told, configs: Configs, keys: Keys) -> Block:
    """The agent that it describes, without its name."""
    spec = mapping_at(manifest.body, "spec")
    block: Block = {}
    if description := text_at(spec, "description"):
        block["description"] = description[:2000]
    chosen = _model(manifest, spec, draft, told, configs)
    given = {"model": chosen.model, "temperature": chosen.temperature, "max_tokens": chosen.max_tokens}
    block |= {key: value for key, value in given.items() if value is not None}
    for key in ("systemPrompt", "systemMessage"):
        if text := text_at(spec, key):
            block.setdefault("system_prompt", text)
            told.carried(manifest, ("spec", key), "agents[].system_prompt")
    tools = [_Tool(manifest, index, draft, told, keys).read() for index in range(len(mappings_at(spec, "tools")))]
    if names := [each for each in tools if each is not None]:
        block["tools"] = names
    if memory := _memory(manifest, spec, told):
        block["memory"] = memory
    if scale := agent_scale(spec):
        block["scale"] = scale
        for key in ("replicas", "autoscaling"):
            if key in spec:
                told.carried(manifest, ("spec", key), "agents[].scale")
    for key in (each for each in _NEVER if each in spec):
        told.wrong(manifest, ("spec", key), f"kagent's Agent has no `{key}`: what was meant was carried over")
    told.leave_rest(manifest, ("spec",), spec, {"resources": "Hanok's agents are no pods of their own"}, known=_KNOWN)
    return block


def _model(manifest: Manifest, spec: Body, draft: Draft, told: Told, configs: Configs) -> Chosen:
    llm, here = mapping_at(spec, "llm"), ("spec", "llm")
    model, url = text_at(llm, "model"), text_at(llm, "endpoint") or text_at(llm, "baseUrl")
    chosen = Chosen(temperature=number(llm.get("temperature")), max_tokens=whole(llm.get("maxTokens")))
    for key, to in (("temperature", chosen.temperature), ("maxTokens", chosen.max_tokens)):
        if to is not None:
            told.carried(manifest, (*here, key), f"agents[].{'temperature' if key == 'temperature' else 'max_tokens'}")
    if not model:
        return chosen
    name = configs.there(url, model, manifest.namespace) or as_model(model)
    if name not in draft.models:
        endpoint: Block = {"engine": "openai", "url": url or "https://api.openai.com/v1", "model": model}
        name = draft.add("models", {"name": as_model(model), "serve": endpoint}, manifest, (*here, "model"))
    message = "Hanok asks its endpoints itself, without a gateway between" if url else ""
    told.carried(manifest, (*here, "model"), "agents[].model", message)
    return Chosen(model=name, temperature=chosen.temperature, max_tokens=chosen.max_tokens)


def _memory(manifest: Manifest, spec: Body, told: Told) -> Block:
    body, here = mapping_at(spec, "memory"), ("spec", "memory")
    if not body:
        return {}
    ttl = number(mapping_at(body, "config").get("ttl", body.get("ttl")))
    told.wrong(
        manifest, here, f"kagent has no memory of type {quoted(text_at(body, 'type'))}: it was carried over as meant"
    )
    message = "threads are kept with the runs (runs.database), not on a server of their own"
    told.changed(manifest, (*here, "type"), message, "agents[].memory")
    if not ttl:
        return {}
    told.carried(manifest, (*here, "config", "ttl"), "agents[].memory.ttl_s")
    return {"ttl_s": ttl}


class _Tool:
    """One tool that is written out in the Agent."""

    def __init__(self, manifest: Manifest, index: int, draft: Draft, told: Told, keys: Keys) -> None:
        self._manifest, self._draft, self._told, self._keys = manifest, draft, told, keys
        self._path: Path = ("spec", "tools", index)
        self._body = mapping_at(manifest.body, *self._path)
        self._name = as_tool(text_at(self._body, "name"), f"tool-{index + 1}")
        self._spec = mapping_at(self._body, "spec") or mapping_at(self._body, "config")

    def read(self) -> str | None:
        """The name of the tool that it becomes; None where Hanok has nothing like it."""
        type_ = text_at(self._body, "type").lower()
        block = self._block(type_)
        if block is None:
            return None
        description = text_at(self._body, "description") or text_at(self._spec, "description") or self._said()
        described = {"description": description[:4000]} if description else {}
        tool: Block = {"name": self._name, "type": block.pop("type")} | described | block
        same = self._draft.tools.get(self._name)
        if same == tool:
            return self._name
        name = self._draft.add("tools", tool, self._manifest, self._path)
        self._told.carried(self._manifest, (*self._path, "name"), f"tools[{name}]")
        return name

    def _said(self) -> str:
        """What the agent's prompt says of the tool, in a line as `- NAME: …`."""
        prompt = text_at(self._manifest.body, "spec", "systemPrompt")
        said = re.search(rf"^\s*[-*]\s*`?{re.escape(self._name)}`?\s*[:：-]\s*(\S.*)$", prompt, re.MULTILINE)
        return said[1].strip() if said else ""

    def _block(self, type_: str) -> Block | None:
        if type_ in ("http", "rest", "api"):
            return self._http()
        if type_ in _MILVUS:
            return self._search()
        if type_ in ("python", "code", "function") and text_at(self._spec, "code"):
            message = "runs in Hanok's sandbox: no files, no network, no processes"
            self._told.changed(self._manifest, (*self._path, "spec", "code"), message, f"tools[{self._name}].code")
            return {"type": "python", "code": text_at(self._spec, "code")}
        self._told.left(self._manifest, (*self._path, "type"), f"Hanok has no tools of type {quoted(type_)}")
        return None

    def _http(self) -> Block | None:
        url = text_at(self._spec, "url") or text_at(self._spec, "endpoint")
        if not urlsplit_host(url):
            self._told.wrong(self._manifest, (*self._path, "spec"), "a tool of type http without a `url`: left out")
            return None
        method = text_at(self._spec, "method").upper()
        block: Block = {"type": "http", "url": url} | ({"method": method} if method in _METHODS[1:] else {})
        if not _PLACEHOLDER.search(url):
            block["parameters"] = {"query": "string"}
            message = "nothing says which arguments it takes: one text, `query`, was assumed"
            self._told.changed(self._manifest, (*self._path, "spec"), message, f"tools[{self._name}].parameters")
        if headers := self._headers():
            block["headers"] = headers
        if is_inside(url):
            block["private"] = True
            message = "an address in the cluster: private: true lets the tool ask there"
            self._told.changed(self._manifest, (*self._path, "spec", "url"), message, f"tools[{self._name}].private")
        return block

    def _headers(self) -> dict[str, str]:
        """Headers, without those that Hanok sends by itself, and without secrets."""
        found: dict[str, str] = {}
        for key, value in mapping_at(self._spec, "headers").items():
            here: Path = (*self._path, "spec", "headers", key)
            if key.lower() in _NEEDLESS:
                self._told.carried(self._manifest, here, f"tools[{self._name}]", "Hanok sends it by itself")
            elif sounds_secret(key):
                wanted, to = f"{self._name}_{key}", f"tools[{self._name}].headers"
                found[key] = self._keys.hide(str(value), wanted, self._told, self._manifest, here, to=to)
            else:
                found[key] = str(value)
        return found

    def _search(self) -> Block:
        collection = text_at(self._spec, "collection") or text_at(self._spec, "index") or self._name
        base = base_for(collection, self._draft, self._told, self._manifest, self._path)
        k = whole(self._spec.get("topK", self._spec.get("top_k")))
        message = "a search in the knowledge base, which asks Milvus itself"
        self._told.changed(self._manifest, (*self._path, "spec"), message, f"tools[{self._name}].base")
        return {"type": "knowledge", "base": base} | ({"k": min(k, 100)} if k else {})


def urlsplit_host(url: str) -> str:
    """The host of an http(s) address; empty where it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return (parts.hostname or "") if parts.scheme in ("http", "https") else ""
