"""LiteLLM's price map in: read as a file from the installed package, without importing it (its import is slow)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, cast

import msgspec

from hanok.ledger.prices import Rate

_FILE = "model_prices_and_context_window_backup.json"


def load_known_rates() -> dict[str, Rate]:
    """Rates by LiteLLM's model names; empty where LiteLLM is not installed or its map cannot be read.

    Format: a JSON object of models with `input_cost_per_token`, `output_cost_per_token`,
    `cache_read_input_token_cost` and `cache_creation_input_token_cost` in USD (LiteLLM 1.109, MIT).
    """
    spec = importlib.util.find_spec("litellm")
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        try:
            data: dict[str, Any] = msgspec.json.decode((Path(folder) / _FILE).read_bytes())
        except (OSError, msgspec.DecodeError):
            continue
        return {name: rate for name, entry in data.items() if (rate := _rate(entry))}
    return {}


def _rate(entry: Any) -> Rate | None:
    if not isinstance(entry, dict):
        return None
    entry = cast("dict[str, object]", entry)
    input_usd, output_usd = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    if not isinstance(input_usd, int | float):
        return None
    cached, written = entry.get("cache_read_input_token_cost"), entry.get("cache_creation_input_token_cost")
    return Rate(
        input=float(input_usd),
        output=float(output_usd) if isinstance(output_usd, int | float) else 0.0,
        cached_input=float(cached) if isinstance(cached, int | float) else float(input_usd),
        cache_write=float(written) if isinstance(written, int | float) else None,
        source="litellm",
    )
