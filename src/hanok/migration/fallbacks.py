"""LiteLLM's fallbacks in every shape that people write them, LiteLLM's own among them.

LiteLLM takes `[{"model": ["other", …]}, …]`, each item with exactly one key, and refuses to start with other shapes of
`fallbacks` and `content_policy_fallbacks`; of `context_window_fallbacks` it looks at nothing. What was meant is carried
over either way. Hanok refuses fallbacks that go in a circle, so the link that closes one is left out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, cast

from hanok.migration.source import Block
from hanok.spec.checks import quoted
from hanok.spec.nodes import Place

KINDS = {
    "fallbacks": "error",
    "context_window_fallbacks": "context_window",
    "content_policy_fallbacks": "content_policy",
}
_NAMES = ("model", "model_name", "name", "model_group", "primary", "from")
_TARGETS = ("fallback_models", "fallbacks", "fallback", "models", "to", "targets")
_MEANT = "Carried over as it was meant"
_SHAPE = "each item is `{model: [other, …]}` with exactly one key"


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Models to try instead of `name`, with the place of each in the source; `name` is `*` for every other model."""

    kind: str
    name: str
    block: Block
    at: Place
    targets: Sequence[tuple[str, Place]]


@dataclass(kw_only=True)
class Links:
    """Which model falls back to which, of one kind; never a circle."""

    after: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def add(self, name: str, target: str) -> bool:
        """Whether the link could be added."""
        if target == name or name in self._beyond(target):
            return False
        self.after.setdefault(name, []).append(target)
        return True

    def _beyond(self, name: str) -> set[str]:
        found, waiting = set[str](), [name]
        while waiting:
            each = waiting.pop()
            if each not in found:
                found.add(each)
                waiting += self.after.get(each, [])
        return found


def read_chains(router: Block, litellm: Block) -> list[Chain]:
    """Every chain of the file: those of router_settings win over those of litellm_settings, as in LiteLLM."""
    chains: list[Chain] = []
    for key, kind in KINDS.items():
        blocks = [block for block in (router, litellm) if key in block]
        for block in blocks[1:]:
            block.take(key)
            block.wrong(key, f"router_settings has {key} too, and LiteLLM takes those")
        for block in blocks[:1]:
            chains += _read(block, key, kind)
    for block in (router, litellm):
        if names := block.take_names("default_fallbacks"):
            at: Place = ("default_fallbacks",)
            targets = [(name, (*at, index)) for index, name in enumerate(names)]
            chains.append(Chain(kind="error", name="*", block=block, at=at, targets=targets))
    return chains


def _read(block: Block, key: str, kind: str) -> list[Chain]:
    """The chains under one key, whatever their shape."""
    value = block.take(key)
    refuses = "LiteLLM refuses to start with this" if kind != "context_window" else "LiteLLM finds nothing in this"
    if isinstance(value, dict):
        block.wrong(key, f"{refuses}: it must be a list, where {_SHAPE}. {_MEANT}")
        return [_chain(block, kind, name, (key, name), given) for name, given in cast("dict[str, Any]", value).items()]
    if not isinstance(value, list):
        block.wrong(key, f"{refuses}: it must be a list, where {_SHAPE}")
        return []
    items = enumerate(cast("list[Any]", value))
    return [chain for index, item in items for chain in _read_item(block, kind, (key, index), item, refuses)]


def _read_item(block: Block, kind: str, at: Place, item: Any, refuses: str) -> Iterator[Chain]:
    if isinstance(item, str):
        block.wrong(at, f"{refuses}: {_SHAPE}. Carried over as a fallback of every model")
        yield Chain(kind=kind, name="*", block=block, at=at, targets=[(item, at)])
        return
    if not isinstance(item, dict) or not item:
        block.wrong(at, f"{refuses}: {_SHAPE}")
        return
    pairs = cast("dict[str, Any]", item)
    if (named := _spelled_out(pairs)) is not None:
        name, given, under = named
        targets = cast("list[Any]", given) if isinstance(given, list) else [given]
        shown = f"{{{name}: [{', '.join(str(target) for target in targets)}]}}"
        message = f"{refuses}: it has {len(pairs)} keys where {_SHAPE}. {_MEANT}: {shown}"
        block.wrong(at, message, f"models[{name}].fallbacks.{kind}")
        yield _chain(block, kind, name, (*at, under), given, source=at)
        return
    if len(pairs) > 1:
        block.wrong(at, f"{refuses}: it has {len(pairs)} keys where {_SHAPE}. {_MEANT}")
    for name, given in pairs.items():
        yield _chain(block, kind, name, (*at, name), given)


def _spelled_out(pairs: Mapping[str, Any]) -> tuple[str, Any, str] | None:
    """`{model: a, fallback_models: [b]}`: the model, what to try instead, and the key that holds it."""
    name = next((key for key in _NAMES if isinstance(pairs.get(key), str)), None)
    under = next((key for key in _TARGETS if key in pairs), None)
    return (pairs[name], pairs[under], under) if name and under and len(pairs) > 1 else None


def _chain(block: Block, kind: str, name: str, at: Place, given: Any, source: Place | None = None) -> Chain:
    if isinstance(given, str):
        block.wrong(at, "LiteLLM takes this text for a list of letters: write a list")
    items = cast("list[Any]", given) if isinstance(given, list) else [given]
    targets: list[tuple[str, Place]] = []
    for index, item in enumerate(items):
        place = (*at, index) if isinstance(given, list) else at
        target = cast("dict[str, Any]", item).get("model") if isinstance(item, dict) else item
        if isinstance(target, str):
            targets.append((target, place))
        else:
            block.wrong(place, "is no name of a model")
        if isinstance(item, dict) and isinstance(target, str):
            block.changed(place, "only the model is carried over: Hanok sends the same call to a fallback")
    return Chain(kind=kind, name=name, block=block, at=source or at, targets=targets)


def link(chains: Iterable[Chain], models: Mapping[str, str], left: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Fallbacks by model and kind.

    `models` are the names that were carried over, with their types; `left` those that were not, patterns among them.
    """
    left = tuple(left)
    found: dict[str, dict[str, list[str]]] = {}
    for kind in KINDS.values():
        links, own = Links(), [chain for chain in chains if chain.kind == kind]
        specific = [chain for chain in own if chain.name != "*"]
        named = {chain.name for chain in specific}
        for chain in specific:
            if chain.name in models:
                _link(chain, chain.name, models, left, links, tell=True)
            else:
                _tell_absent(chain, chain.name, chain.at, models, left)
        for chain in (chain for chain in own if chain.name == "*"):
            for index, name in enumerate(name for name in models if name not in named):
                _link(chain, name, models, left, links, tell=index == 0)
        for name, targets in links.after.items():
            found.setdefault(name, {})[kind] = targets
    return found


def _link(chain: Chain, name: str, models: Mapping[str, str], left: Sequence[str], links: Links, *, tell: bool) -> None:
    for target, at in chain.targets:
        if target not in models:
            if tell:
                _tell_absent(chain, target, at, models, left)
        elif models[target] != models[name]:
            if chain.name != "*":
                message = (
                    f"{quoted(target)} is a model for {models[target]}, {quoted(name)} for {models[name]}: left out"
                )
                chain.block.wrong(at, message)
        elif target in links.after.get(name, ()):
            continue
        elif not links.add(name, target):
            if target != name or chain.name != "*":
                chain.block.changed(at, f"left out: from {quoted(target)} the fallbacks lead back to {quoted(name)}")
        elif tell or chain.name != "*":
            to = f"models[{name}].fallbacks.{chain.kind}" if chain.name != "*" else f"models[].fallbacks.{chain.kind}"
            chain.block.carried(at, to, "for every model that has none of its own" if chain.name == "*" else "")


def _tell_absent(chain: Chain, name: str, at: Place, models: Mapping[str, str], left: Sequence[str]) -> None:
    if pattern := next((each for each in left if fnmatchcase(name, each)), None):
        why = "that model is not carried over" if pattern == name else f"it comes from {quoted(pattern)}: declare it"
        chain.block.left(at, f"{quoted(name)}: {why}{_near(name, models)}")
    else:
        chain.block.wrong(at, f"no model is called {quoted(name)}{_near(name, models)}: left out")


def _near(name: str, models: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(name, models, n=1)
    return f": did you mean {quoted(near[0])}?" if near else ""
