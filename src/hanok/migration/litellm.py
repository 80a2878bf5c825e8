"""LiteLLM's proxy configuration in, a platform in Hanok's form and a note for each thing of it out.

Text in, values out: nothing is opened here. Every key of the source is taken by one rule; what no rule took is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from hanok.errors import HanokError
from hanok.migration.caches import Kept, cache_of, find_embedder
from hanok.migration.deployments import Defaults, read_deployments
from hanok.migration.fallbacks import link, read_chains
from hanok.migration.groups import Group, group
from hanok.migration.names import LENGTH, as_name
from hanok.migration.notes import Note, Variable, in_order
from hanok.migration.reasons import TOP
from hanok.migration.routing import read_routing
from hanok.migration.secrets import Variables
from hanok.migration.settings import Rest, read_reliability, read_rest
from hanok.migration.source import Block, open_source
from hanok.spec.checks import quoted

_BLOCKS = ("model_list", "router_settings", "litellm_settings", "general_settings", "credential_list")


@dataclass(frozen=True, kw_only=True)
class Translation:
    """What came of a configuration: the platform as plain values, the variables it names, and every note."""

    platform: Mapping[str, Any]
    variables: Sequence[Variable]
    notes: Sequence[Note]


class NothingToCarryOver(HanokError):
    """No model of the configuration can be served by Hanok. `notes` say why."""

    def __init__(self, notes: Sequence[Note]) -> None:
        super().__init__("no model could be carried over, and a platform needs one", hint="the notes above say why")
        self.notes = notes


def translate(text: str, file: Path, variables: Variables | None = None) -> Translation:
    """Turn LiteLLM's configuration into a platform. `variables` are those that other configurations named already.

    Raises `SpecError` when the text is no YAML mapping, `NothingToCarryOver` when no model is left.
    """
    root, variables = open_source(text, file), variables or Variables()
    router, litellm, general = (
        root.take_block(key) for key in ("router_settings", "litellm_settings", "general_settings")
    )
    declared, routing = _declared(root), read_routing(router)
    deployments = read_deployments(root, _defaults(root, litellm, by_tags=routing.by_tags), variables)
    groups = group(deployments, read_reliability(router, litellm, routing), routing)
    groups += _aliases(router.take_block("model_group_alias"), groups)
    fallbacks = link(
        read_chains(router, litellm), {each.name: each.type for each in groups if not each.instead}, declared
    )
    rest = read_rest(router, litellm, general, variables)
    kept = find_embedder(rest.kept, {each.name: each.type for each in groups})
    root.leave_rest(TOP, known=_BLOCKS)
    if not groups:
        raise NothingToCarryOver(in_order(root.sheet.notes))
    names = _names(groups, root)
    platform = _platform(groups, fallbacks, rest, kept, names)
    notes = [replace(note, about=names.get(note.about or "", note.about)) for note in in_order(root.sheet.notes)]
    return Translation(platform=platform, variables=_used(variables, platform), notes=notes)


def _used(variables: Variables, platform: Mapping[str, Any]) -> list[Variable]:
    """Those that the platform names; others belonged to what was left out."""
    text = str(platform)
    return [each for each in variables.all() if re.search(rf"\$\{{env:{each.name}[:}}]", text)]


def _declared(root: Block) -> list[str]:
    """Every name of model_list, patterns among them."""
    entries = root.take("model_list")
    if not isinstance(entries, list):
        return []
    blocks = [cast("dict[str, Any]", each) for each in cast("list[Any]", entries) if isinstance(each, dict)]
    return [name for block in blocks if isinstance(name := block.get("model_name"), str)]


def _defaults(root: Block, litellm: Block, *, by_tags: bool) -> Defaults:
    credentials: dict[str, dict[str, Any]] = {}
    for each in [*root.take_blocks("credential_list"), *litellm.take_blocks("credential_list")]:
        name, values = each.take_text("credential_name"), each.take("credential_values")
        if name is not None and isinstance(values, dict):
            credentials[name] = values
            each.carried("credential_name", "models[].serve[]", "written at the endpoints that name it")
        each.take("credential_info")
        each.leave_rest({})
    drop = litellm.take_flag("drop_params")
    if drop is not None:
        litellm.carried("drop_params", "models[].serve[].options.drop_params", "for engine litellm")
    return Defaults(credentials=credentials, drop_params=drop, by_tags=by_tags)


def _aliases(block: Block, groups: Sequence[Group]) -> list[Group]:
    """An alias becomes a model with the same endpoints."""
    by_name = {each.name: each for each in groups if not each.instead}
    found: list[Group] = []
    for alias in block.keys:
        item = block.take(alias)
        target: Any = cast("dict[str, Any]", item).get("model") if isinstance(item, dict) else item
        if not isinstance(target, str) or target not in by_name:
            block.wrong(alias, f"stands for {quoted(str(target))}, which is no model that was carried over: left out")
        elif alias in by_name:
            block.wrong(alias, "is a model of model_list as well: left out")
        else:
            found.append(_copy(by_name[target], alias))
            message = (
                "Hanok has no aliases: a model of its own with the same endpoints, that counts its calls for itself"
            )
            block.changed(alias, message, f"models[{alias}]")
    return found


def _copy(original: Group, alias: str) -> Group:
    limits, budgets = ([{**each, "name": alias} for each in these] for these in (original.limits, original.budgets))
    return Group(
        name=alias, type=original.type, model={**original.model, "name": alias}, limits=limits, budgets=budgets
    )


def _names(groups: Iterable[Group], root: Block) -> dict[str, str]:
    """Each name as Hanok allows it."""
    names: dict[str, str] = {}
    for each in groups:
        plain = as_name(each.name, "model")
        wanted, number = plain, 2
        while wanted in names.values() or (wanted != each.name and any(wanted == other.name for other in groups)):
            wanted, number = f"{plain[: LENGTH - 4]}-{number}", number + 1
        names[each.name] = wanted
        if wanted != each.name:
            message = (
                f"{quoted(each.name)} is called {quoted(wanted)}: Hanok's names have letters, digits and . _ : / - only"
            )
            root.sheet.note("changed", ("model_list",), message, to=f"models[{wanted}].name", about=each.name)
    return names


def _platform(
    groups: Sequence[Group],
    fallbacks: Mapping[str, Mapping[str, Sequence[str]]],
    rest: Rest,
    kept: Kept,
    names: Mapping[str, str],
) -> dict[str, Any]:
    models: list[dict[str, Any]] = []
    for each in groups:
        later = [other.name for other in groups if other.instead == each.name]
        kinds = {kind: [*targets] for kind, targets in fallbacks.get(each.name, {}).items()}
        if later:
            kinds["error"] = [*later, *kinds.get("error", [])]
        model = {**each.model, "name": names[each.name]}
        if kinds:
            model["fallbacks"] = {kind: [names[target] for target in targets] for kind, targets in kinds.items()}
        if (cache := cache_of(each.type, kept, names)) is not None:
            model["cache"] = cache
        models.append(model)
    limits = [{**each, "name": names[each["name"]]} for one in groups for each in one.limits]
    budgets = [{**each, "name": names[each["name"]]} for one in groups for each in one.budgets]
    blocks: dict[str, Any] = {
        "gateway": rest.gateway,
        "ledger": rest.ledger,
        "telemetry": rest.telemetry,
        "cache": kept.block,
        "models": models,
        "teams": _teams(models),
        "budgets": [*rest.budgets, *budgets],
        "limits": [*rest.limits, *limits],
    }
    return {key: block for key, block in blocks.items() if block}


def _teams(models: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The teams that endpoints are kept for."""
    teams: dict[str, None] = {}
    for model in models:
        serve: Any = model["serve"]
        endpoints = cast("list[dict[str, Any]]", serve if isinstance(serve, list) else [serve])
        teams |= dict.fromkeys(team for each in endpoints for team in each.get("teams", ()))
    return [{"name": team} for team in teams]
