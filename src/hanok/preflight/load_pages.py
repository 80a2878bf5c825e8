"""Files in: the pages about rules, which ship beside this code."""

from __future__ import annotations

from importlib import resources


def page(rule: str) -> str:
    """The page about a rule, in Markdown. Raises `FileNotFoundError`."""
    return resources.files("hanok.preflight").joinpath(f"pages/{rule}.md").read_text("utf-8")
