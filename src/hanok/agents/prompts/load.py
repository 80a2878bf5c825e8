"""The texts of declared prompts in."""

from __future__ import annotations

from hanok.errors import AgentError
from hanok.spec import Loaded
from hanok.spec.prompts_load import NoText, load_prompt


def declared_prompts(loaded: Loaded) -> dict[str, str]:
    """The declared prompts' texts by their names. Raises `AgentError` where a file gives none."""
    return {prompt.name: _text(loaded, index) for index, prompt in enumerate(loaded.platform.prompts)}


def declared_prompt(loaded: Loaded, name: str) -> str | None:
    """The text of one, or None where none of that name is declared. Raises `AgentError`."""
    index = next((index for index, each in enumerate(loaded.platform.prompts) if each.name == name), None)
    return None if index is None else _text(loaded, index)


def _text(loaded: Loaded, index: int) -> str:
    try:
        return load_prompt(loaded.platform.prompts[index], loaded.folder)
    except NoText as error:
        raise AgentError(f"prompts[{index}].file: {error.message}", hint=error.hint) from error
