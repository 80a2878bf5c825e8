"""Knowledge must name models that do what it needs, teams that there are, and an index that its engine can build."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from hanok.spec.checks.findings import Finding, duplicates, quoted, unknown
from hanok.spec.tree import Knowledge, Platform, Recipe

Place = tuple[str | int, ...]
EMBEDDED_INDEXES = ("FLAT", "IVF_FLAT", "HNSW")
"""What Milvus Lite 3.2 builds; others it takes without a word and then looks at every vector."""


def check_knowledge(platform: Platform) -> Iterator[Finding]:
    """Knowledge bases, and the template of vector stores."""
    yield from duplicates("knowledge", platform.knowledge, "give one of them another name")
    for index, base in enumerate(platform.knowledge):
        yield from _unfit_base(platform, base, ("knowledge", index))
    yield from _unfit_recipe(platform, platform.vector_stores, ("vector_stores",))


def _unfit_base(platform: Platform, base: Knowledge, place: Place) -> Iterator[Finding]:
    if base.embed.model is None and platform.first("embedding") is None:
        message = "needs a model that makes vectors, and none is declared"
        hint = "declare one: {name: embed, type: embedding, serve: {engine: sentence-encoder}}"
        yield Finding(place=place, message=message, hint=hint)
    yield from _unfit_recipe(platform, base, place)
    yield from _unfit_model(platform, base.answer.model, ("chat",), (*place, "answer", "model"))
    if (taken := f"knowledge/{base.name}") in platform.names():
        message = f"a model is called {quoted(taken)}, which is how this knowledge base is asked"
        yield Finding(place=(*place, "name"), message=message, hint="give one of them another name")
    yield from _unknown_teams(platform, base, place)
    yield from _unfit_schedule(base, place)


def _unfit_schedule(base: Knowledge, place: Place) -> Iterator[Finding]:
    """Times that there are not, as far as the extra that reads them is installed."""
    if base.schedule is None or base.schedule.startswith("@") or importlib.util.find_spec("cronsim") is None:
        return
    cronsim: Any = importlib.import_module("cronsim")
    try:
        cronsim.CronSim(base.schedule, datetime(2026, 1, 1, tzinfo=UTC))
    except cronsim.CronSimError as error:
        message = f"{quoted(base.schedule)} is no schedule: {error}"
        hint = 'minute, hour, day of the month, month, day of the week, as "0 3 * * *" for three in the morning (UTC)'
        yield Finding(place=(*place, "schedule"), message=message, hint=hint)


def _unfit_recipe(platform: Platform, recipe: Recipe, place: Place) -> Iterator[Finding]:
    yield from _unfit_model(platform, recipe.embed.model, ("embedding",), (*place, "embed", "model"))
    yield from _unfit_model(platform, recipe.retrieve.rerank, ("rerank", "chat"), (*place, "retrieve", "rerank"))
    yield from _unfit_model(platform, recipe.retrieve.rewrite, ("chat",), (*place, "retrieve", "rewrite"))
    if platform.milvus.uri is None and recipe.index.type not in EMBEDDED_INDEXES:
        message = f"Milvus Lite cannot build {recipe.index.type}"
        hint = f"use one of {', '.join(EMBEDDED_INDEXES)}, or a Milvus server: `milvus: {{uri: http://…:19530}}`"
        yield Finding(place=(*place, "index", "type"), message=message, hint=hint)


def _unfit_model(platform: Platform, name: str | None, kinds: tuple[str, ...], place: Place) -> Iterator[Finding]:
    if name is None:
        return
    model = platform.model(name)
    if model is not None and model.type not in kinds:
        message = f"{quoted(name)} is a model for {model.type}"
        yield Finding(place=place, message=message, hint=f"name a model for {' or '.join(kinds)}")
    elif model is None and not ("chat" in kinds and any(name == auto.name for auto in platform.tiers)):
        yield unknown("model", name, [each.name for each in platform.models if each.type in kinds], place)


def _unknown_teams(platform: Platform, base: Knowledge, place: Place) -> Iterator[Finding]:
    teams = [team.name for team in platform.teams]
    for index, source in enumerate(base.sources):
        if source.team is not None and source.team not in teams:
            yield unknown("team", source.team, teams, (*place, "sources", index, "team"))


def unknown_in_scopes(platform: Platform) -> Iterator[Finding]:
    """Scopes that name no knowledge base."""
    names = [base.name for base in platform.knowledge]
    for block, named in (("teams", platform.teams), ("users", platform.users)):
        for index, each in enumerate(named):
            for position, pattern in enumerate(each.knowledge):
                if pattern != "*" and not any(fnmatchcase(name, pattern) for name in names):
                    yield unknown("knowledge base", pattern, names, (block, index, "knowledge", position))
