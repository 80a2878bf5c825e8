"""Objects as text: the same dict gives the same bytes. Keys stay in the order in which they were put in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import yaml
from yaml.nodes import MappingNode, ScalarNode

from hanok.kubernetes.component import Body

HEADER = "# Rendered by Hanok from platform.yaml. Change that file, not this one.\n"
MARKDOWN_HEADER = f"<!-- {HEADER.strip(chr(35)).strip()} -->\n"
WIDTH = 120
_NUMBERS = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+|0o[0-7]+")
"""Texts that Kubernetes' reader of YAML takes for numbers and PyYAML's writer does not: `1e+06`, a digest's `12e34`."""
ACCEPTS = "hanok.dev/accepts-"
"""Annotations with a rule of preflight and the reason why the object is right all the same."""


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """libyaml's where it is there; texts of several lines as blocks, and no aliases.

    Made for many small values: each goes to its writer by its type, and mappings are always blocks.
    """

    def represent_data(self, data: Any) -> Any:
        return cast("Any", self).yaml_representers[type(data)](self, data)


def _text(_: Any, text: str) -> Any:
    style = "|" if "\n" in text else "'" if _NUMBERS.fullmatch(text) else None
    return ScalarNode("tag:yaml.org,2002:str", text, style=style)


def _mapping(dumper: Any, mapping: Mapping[str, Any]) -> Any:
    write = dumper.represent_data
    pairs = [(write(key), write(value)) for key, value in mapping.items()]
    return MappingNode("tag:yaml.org,2002:map", pairs, flow_style=False)


cast("Any", _Dumper).add_representer(str, _text)
cast("Any", _Dumper).add_representer(dict, _mapping)


def as_yaml(value: Any) -> str:
    """A value as YAML 1.1, as Kubernetes reads it."""
    return yaml.dump(value, Dumper=_Dumper, width=WIDTH, sort_keys=False, allow_unicode=True)


def as_file(body: Body) -> str:
    """One object as a file of the tree, with the findings of preflight that it accepts."""
    return HEADER + "".join(_accepted(body)) + as_yaml(body)


def _accepted(body: Body) -> Iterator[str]:
    for name, reason in body.get("metadata", {}).get("annotations", {}).items():
        if name.startswith(ACCEPTS):
            yield f"# hanok: ignore {name.removeprefix(ACCEPTS)} {reason}\n"
