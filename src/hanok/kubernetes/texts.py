"""Texts that a platform file names by their path: prompts, OpenAPI documents, certificates of authorities. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.spec.nodes import Place
from hanok.spec.tree import OpenApiTool, Platform, Tool


def named_texts(platform: Platform) -> Iterator[tuple[Place, str]]:
    """The place of each, and the path as it is written."""
    for index, prompt in enumerate(platform.prompts):
        if prompt.file is not None:
            yield ("prompts", index, "file"), prompt.file
    for place, tool in all_tools(platform):
        if isinstance(tool, OpenApiTool) and "://" not in tool.spec:
            yield (*place, "spec"), tool.spec
    for index, model in enumerate(platform.models):
        for position, endpoint in enumerate(model.serve):
            if endpoint.engine == "openai" and endpoint.ca_file:
                yield ("models", index, "serve", position, "ca_file"), endpoint.ca_file


def all_tools(platform: Platform) -> Iterator[tuple[Place, Tool]]:
    """Every declared tool and its place, also those that are declared where they are used."""
    for index, tool in enumerate(platform.tools):
        yield ("tools", index), tool
    for index, agent in enumerate(platform.agents):
        for position, tool in enumerate(agent.tools):
            if not isinstance(tool, str):
                yield ("agents", index, "tools", position), tool
