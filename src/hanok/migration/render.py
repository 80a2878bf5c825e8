"""A translation as the text of platform.yaml: the platform, with a comment where something needs attention."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import yaml

from hanok.migration.litellm import Translation
from hanok.migration.notes import Note

_WIDTH = 116
_MODEL = re.compile(r"models\[([^\]]+)\]")


class _Dumper(yaml.SafeDumper):
    """No anchors: an alias's endpoints are written out."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's form
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML's form
        super().increase_indent(flow, False)


def _as_text(dumper: _Dumper, text: str) -> Any:
    """Texts of several lines are written as people write them."""
    made: Any = dumper
    return made.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _as_text)


def render(translation: Translation, *, source: str, command: str = "litellm") -> str:
    """The file's text, as `hanok import COMMAND` makes it. `source` is what the configuration is called in it."""
    told = [note for note in translation.notes if note.kind in ("changed", "wrong", "left")]
    if len({note.file for note in translation.notes}) == 1:
        told = [replace(note, file="") for note in told]  # its name stands in the first line
    lines = [*_head(translation, source, told, command)]
    for key, block in translation.platform.items():
        lines.append("")
        lines += _comments(_about_block(told, key), "")
        if key == "models":
            about = _by_model(told)
            lines.append("models:")
            for model in cast("Sequence[Mapping[str, Any]]", block):
                lines += _comments(about.get(str(model["name"]), []), "  ")
                lines += [f"  {line}" if line else "" for line in _dumped([model])]
        else:
            lines += _dumped({key: block})
    return "\n".join(lines) + "\n"


def _head(translation: Translation, source: str, told: Sequence[Note], command: str) -> list[str]:
    lines = [
        f"# Made from {_one_line(source)} by `hanok import {command}`. Next: `hanok check`, then `hanok up`.",
    ]
    if command == "litellm":
        lines.append(
            "# LiteLLM listens on port 4000 of every interface; Hanok on 127.0.0.1:4242 (gateway.host, gateway.port)."
        )
    if names := [each.name for each in translation.variables]:
        lines += _wrapped(f"Variables it needs: {', '.join(names)}", "")
    if left := sum(note.kind == "left" for note in told):
        lines.append(f"# Things that were not carried over: {left}. The command's report says which, and why.")
    if command != "litellm" and (wrong := sum(note.kind == "wrong" for note in told)):
        lines.append(f"# Mistakes in the source: {wrong}. The command's report says where.")
    return lines


def _about_block(notes: Sequence[Note], key: str) -> list[Note]:
    return [
        note for note in notes if note.to and not note.about and note.to.startswith(key) and not _MODEL.match(note.to)
    ]


def _by_model(notes: Sequence[Note]) -> dict[str, list[Note]]:
    """What needs attention; what LiteLLM merely knows of a model (`model_info`) needs none."""
    found: dict[str, list[Note]] = {}
    for note in notes:
        match = _MODEL.match(note.to or "")
        name = note.about or (match.group(1) if match else None)
        if name is not None and (note.kind != "left" or ".model_info." not in note.path):
            found.setdefault(name, []).append(note)
    return found


def _comments(notes: Sequence[Note], indent: str) -> list[str]:
    texts = [f"{_where(note)}, {note.path.rpartition('.')[2]}: {note.message}" for note in notes]
    return [line for text in dict.fromkeys(texts) for line in _wrapped(_one_line(text), indent)]


def _where(note: Note) -> str:
    return f"{note.file}:{note.line}" if note.file else f"line {note.line}"


def _wrapped(text: str, indent: str) -> list[str]:
    return [f"{indent}# {line}" for line in textwrap.wrap(text, _WIDTH, subsequent_indent="  ", break_long_words=False)]


def _one_line(text: str) -> str:
    """A comment must not end early, whatever the source's names hold."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _tidy(value: Any) -> Any:
    """Whole numbers without a point."""
    if isinstance(value, Mapping):
        return {key: _tidy(item) for key, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [_tidy(item) for item in cast("list[Any]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _dumped(value: Any) -> list[str]:
    return yaml.dump(_tidy(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH).splitlines()
