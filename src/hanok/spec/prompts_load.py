"""Texts that platform.yaml names by files: prompts. And whether the files are there that it names for tools."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hanok.spec.checks import Finding, quoted
from hanok.spec.tree import OpenApiTool, Platform, Prompt, Tool

LIMIT = 200_000
"""Longest prompt, in characters."""


class NoText(ValueError):
    """Why a file gives no text, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def load_prompt(prompt: Prompt, folder: Path) -> str:
    """What a prompt says; a file is looked for from `folder`. Raises `NoText`."""
    return prompt.text if prompt.text is not None else _read(folder / str(prompt.file))


def _read(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as handle:
            text = handle.read(LIMIT + 1)
    except FileNotFoundError:
        raise NoText(f"there is no file {file}", "files are looked for from the folder of platform.yaml") from None
    except UnicodeDecodeError:
        raise NoText(f"{file} is not UTF-8", "save the file as UTF-8") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise NoText(f"{file} cannot be read: {reason}", "check its name and its permissions") from None
    if len(text) > LIMIT:
        raise NoText(f"{file} is longer than {LIMIT:,} characters", "put what is looked up into a knowledge base")
    if not text.strip():
        raise NoText(f"{file} is empty", "write the prompt into it")
    return text


def check_files(platform: Platform, folder: Path) -> Iterator[Finding]:
    """Files of prompts and of tools that are not there, or cannot be read."""
    for index, prompt in enumerate(platform.prompts):
        try:
            load_prompt(prompt, folder)
        except NoText as error:
            yield Finding(place=("prompts", index, "file"), message=error.message, hint=error.hint)
    for place, tool in _tools(platform):
        if isinstance(tool, OpenApiTool) and "://" not in tool.spec and not (folder / tool.spec).is_file():
            message = f"there is no file {quoted(str(folder / tool.spec))}"
            yield Finding(place=(*place, "spec"), message=message, hint="name a file beside platform.yaml, or a URL")


def _tools(platform: Platform) -> Iterator[tuple[tuple[str | int, ...], Tool]]:
    for index, tool in enumerate(platform.tools):
        yield ("tools", index), tool
    for index, agent in enumerate(platform.agents):
        for position, tool in enumerate(agent.tools):
            if not isinstance(tool, str):
                yield ("agents", index, "tools", position), tool
