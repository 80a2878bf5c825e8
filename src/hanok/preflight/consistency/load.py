"""Files in: the tables that consistency is checked against, which ship beside this code."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Table = Mapping[str, Any]


def load_figures() -> Table:
    """Sizes of vectors, settings, health paths, images: `figures.yaml`."""
    return _table("figures.yaml")


def load_metrics() -> Table:
    """Names of metrics by component: `metrics.yaml`."""
    return _table("metrics.yaml")


def load_apis() -> Table:
    """Prices and last days of models behind APIs: `apis.yaml`."""
    return _table("apis.yaml")


@cache
def _table(name: str) -> Table:
    text = resources.files("hanok.preflight.consistency").joinpath(name).read_text("utf-8")
    return MappingProxyType(yaml.load(text, Loader=_Loader))  # noqa: S506 - a safe loader, and our own file
