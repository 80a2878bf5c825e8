"""USD as tables show them."""

from __future__ import annotations


def usd(value: float) -> str:
    """An amount without its sign: cents up to a thousand, then whole dollars."""
    return f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"


def usd_range(low: float, high: float) -> str:
    """`$1.20–3.40`, or one amount where both read alike."""
    first, last = usd(low), usd(high)
    return f"${first}" if first == last else f"${first}–{last}"
