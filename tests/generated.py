"""Pages that are written from the code: `make docs` writes them; `tests/docs/test_pages.py` fails when they differ."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import typer
import yaml
from typer.testing import CliRunner

from hanok.cli import app
from hanok.preflight import Rule, layer_of, rules
from hanok.spec.reference import reference

ROOT = Path(__file__).parents[1]
RENDERED = ROOT / "examples" / "12-render-eks"
READ = ROOT / "tests" / "rooms" / "kubernetes" / "read.yaml"
RENDERING = (
    ["render", "--target", "eks", "--out", "deploy"],
    ["preflight", "deploy", "--skip", "HK107", "--certificate", "certificate.json"],
)
"""What makes the example's tree and its certificate. Schemas of custom kinds (HK107) are others'."""

_HEAD = """\
# The `hanok` command

Generated from the code by `make docs`; do not edit. Data goes to stdout, talk to stderr. `--json` prints one JSON
object. `NO_COLOR=1` turns colours off. Shell completion: `hanok --install-completion`.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | could not be done |
| 2 | the command line, or platform.yaml, is wrong |
| 3, 4 | `hanok agents`: the run has reached a limit; it waits for a person |
| 130 | interrupted |
"""

_PAGES = "../src/hanok/preflight/pages"
_RULES_HEAD = """\
# Rules

What [`hanok preflight`](preflight.md) looks for. Generated from the code by `make docs`; do not edit. Each rule's page
says why it is there, with a bad and a good example; `hanok rules show HK002` prints it.
"""


_CHARTS_HEAD = """\
# Charts, and what of them was read

Helm leaves out without a word what it does not know, so every key of values that Hanok writes was looked up in the
chart before. This says where. Generated from `tests/rooms/kubernetes/read.yaml` by `make docs`; do not edit. A test
fails where a tree has a key that is not in that book, and where a pin is newer than it. No chart was installed.

| chart | rendered | read |
|---|---|---|
{charts}
Custom kinds are held to their schemas by preflight. Of these none was at hand; their fields were looked up alike:

| kind | read |
|---|---|
{kinds}
Images of others run as users that they have, none of them root:

| image | rendered | user | read |
|---|---|---|---|
{images}"""


def pages() -> dict[Path, str]:
    """Every generated page, and what it should say."""
    docs = ROOT / "docs"
    return {
        docs / "platform-yaml.md": reference(),
        docs / "cli.md": cli(),
        docs / "rules.md": all_rules(),
        docs / "components" / "charts.md": charts(),
    }


def charts() -> str:
    """docs/components/charts.md"""
    book: dict[str, dict[str, Any]] = yaml.safe_load(READ.read_text("utf-8"))
    pinned = (f"| `{name}` | {each['pinned']} | {each['read']} |\n" for name, each in book["charts"].items())
    users = (
        f"| {name} | {each['pinned']} | {each['user']} | {each['read']} |\n" for name, each in book["images"].items()
    )
    return _CHARTS_HEAD.format(
        charts="".join(pinned),
        kinds="".join(f"| `{name}` | {each['read']} |\n" for name, each in book["kinds"].items()),
        images="".join(users),
    )


def all_rules() -> str:
    """docs/rules.md"""
    sections: dict[str, list[Rule]] = {}
    for rule in rules().values():
        sections.setdefault(layer_of(rule), []).append(rule)
    return _RULES_HEAD + "".join(_rules(layer, found) for layer, found in sections.items())


def _rules(layer: str, found: list[Rule]) -> str:
    rows = "".join(
        f"| [{each.id}]({_PAGES}/{each.id}.md) | {_severity(each)} | {_cell(each.title)} | {_cell(each.hint)} |\n"
        for each in found
    )
    return f"\n## {layer.capitalize()}\n\n| rule | | finds | what to do |\n|---|---|---|---|\n{rows}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _severity(rule: Rule) -> str:
    return "open" if rule.open else rule.severity


def cli() -> str:
    """docs/cli.md"""
    return _HEAD + "".join(_command(name, command) for name, command in commands())


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name."""
    yield from _walk("hanok", typer.main.get_command(app))


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield name, command
        return
    for child, below in children.items():
        yield from _walk(f"{name} {child}", below)


def _command(name: str, command: Any) -> str:
    rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
    table = "\n| | takes | default | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n" if rows else ""
    return f"\n## {name}\n\n{(command.help or '').strip()}\n{table}"


def _row(parameter: Any) -> str:
    argument = parameter.param_type_name == "argument"
    names = f"`{str(parameter.name).upper()}`" if argument else ", ".join(f"`{name}`" for name in parameter.opts)
    if parameter.secondary_opts:
        names += ", " + ", ".join(f"`{name}`" for name in parameter.secondary_opts)
    takes = "flag" if getattr(parameter, "is_flag", False) else _takes(parameter.type_descriptor.annotation)
    default = "**required**" if parameter.required else _default(parameter.default)
    return f"| {names} | {takes} | {default} | {(parameter.help or '').strip()} |"


def _takes(kind: type) -> str:
    inner = get_args(kind)[0] if get_args(kind) else kind
    if issubclass(inner, Enum):
        return " or ".join(f"`{each.value}`" for each in inner) + ("" if inner is kind else ", may repeat")
    return {
        str: "text",
        int: "number",
        float: "number",
        Path: "file",
        list[str]: "text, may repeat",
        list[Path]: "files",
    }[kind]


def _default(value: Any) -> str:
    return "–" if value in (None, False) else f"`{getattr(value, 'value', value)}`"


def write() -> None:
    """Write every generated page, and the tree of the example."""
    for path, text in pages().items():
        path.write_text(text, "utf-8")
        print("wrote", path.relative_to(ROOT))
    with contextlib.chdir(RENDERED):
        for words in RENDERING:
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 0, result.output
    print("wrote", RENDERED.relative_to(ROOT))


if __name__ == "__main__":
    write()
