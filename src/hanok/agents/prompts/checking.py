"""Versions of prompts that agents name and that there are not: known before a run asks for one."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.agents.prompts.load import declared_prompts
from hanok.agents.prompts.store import LATEST, Prompts, hash_of
from hanok.errors import AgentError, Problem
from hanok.spec import Loaded, problems_of
from hanok.spec.checks import Finding


def unset_prompts(loaded: Loaded, prompts: Prompts) -> list[Problem]:
    """Each with its line. What platform.yaml declares counts as recorded. Raises `AgentError` for a file that cannot be
    read, `StoreError`."""
    return problems_of(loaded, list(_unset(loaded, prompts))) if loaded.platform.prompts else []


def _unset(loaded: Loaded, prompts: Prompts) -> Iterator[Finding]:
    declared = declared_prompts(loaded)
    for index, agent in enumerate(loaded.platform.agents):
        name, _, which = (agent.prompt or "").partition("@")
        if which in ("", LATEST) or name not in declared or hash_of(declared[name]).startswith(which):
            continue
        try:
            prompts.resolve(f"{name}@{which}")
        except AgentError as error:
            message = f"no version of {name!r} is called {which!r}: its runs are refused"
            known = bool(prompts.versions(name))
            hint = error.hint if known else f"`hanok up` records it; then `hanok prompts label {name} {which}`"
            yield Finding(place=("agents", index, "prompt"), message=message, hint=hint)
