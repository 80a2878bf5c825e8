"""Models behind APIs: what a gateway says they cost, and whether they are still there.

Only routes that go to the provider itself are looked at: another address has prices and models of its own.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence

from hanok.preflight.case import Case
from hanok.preflight.consistency.gateways import Route, gateways
from hanok.preflight.consistency.load import load_apis
from hanok.preflight.findings import Finding, Rule, Severity
from hanok.preflight.manifests import at

OTHER_PRICE = Rule(
    "HK541",
    "warning",
    "a price that is not the provider's",
    "take the figures out, so that LiteLLM uses its own map; or write down that yours are agreed",
)
RETIRED = Rule(
    "HK542",
    "error",
    "a model that its provider has retired",
    "take the model in the message, or another that is served",
)
OLD_MODEL = Rule(
    "HK543", "info", "open weights of generations ago", "measure a current model of the same size beside it"
)

SOON_DAYS = 90
"""A model that ends within so many days is a warning."""
_PROVIDERS = (
    ("openai", re.compile(r"^(gpt-|o[134](-|$)|chatgpt-|text-(embedding|davinci)|davinci|babbage|code-davinci)")),
    ("anthropic", re.compile(r"^claude-")),
)
"""Providers whose models LiteLLM knows without a prefix."""
_OWN_HOSTS = (
    "api.openai.com",
    "api.anthropic.com",
    "generativelanguage.googleapis.com",
    "api.deepseek.com",
    "api.mistral.ai",
)
_OLD = re.compile(
    r"(?:^|/)(?:Meta-)?Llama-(?:2|3)-(?P<size>\d+)b|(?:^|/)Mistral-7B|(?:^|/)vicuna|(?:^|/)falcon-", re.IGNORECASE
)
_TOLERANCE = 0.02
"""Prices that differ by less are the same, rounded."""


def check_prices(case: Case) -> Iterator[Finding]:
    """Prices of tokens in a route, against the provider's."""
    apis = load_apis()
    for route, provider in _direct(case):
        price: Sequence[float] | None = apis["prices"].get(provider, {}).get(route.name)
        for place in ("litellm_params", "model_info"):
            given = [_usd_a_million(at(route.body, place, f"{side}_cost_per_token")) for side in ("input", "output")]
            if price and any(each is not None and differs(each, own) for each, own in zip(given, price, strict=True)):
                key = next(
                    f"{side}_cost_per_token"
                    for side, each, own in zip(("input", "output"), given, price, strict=True)
                    if each is not None and differs(each, own)
                )
                message = (
                    f"{route.name} is entered at {_said(given)} USD a million tokens (input/output), and costs "
                    f"{_said(price)} by {apis['source']} of {apis['date']}"
                )
                yield route.config.finding(OTHER_PRICE, *route.path, place, key, message=message)


def _usd_a_million(value: object) -> float | None:
    return float(value) * 1e6 if isinstance(value, int | float) and not isinstance(value, bool) else None


def differs(given: float, own: float) -> bool:
    """Whether two prices are not the same, rounded."""
    return abs(given - own) > _TOLERANCE * max(own, 0.001)


def _said(prices: Sequence[float | None]) -> str:
    return "/".join("?" if each is None else f"{each:.4g}" for each in prices)


def check_retired(case: Case) -> Iterator[Finding]:
    """Models past their last day, or near it."""
    for route, provider in _direct(case):
        ends = last_day(provider, route.name)
        left = (ends - case.facts.today).days if ends else None
        if ends and left is not None and left <= SOON_DAYS:
            severity: Severity = "error" if left <= 0 else "warning"
            verb = "is not served any more since" if left <= 0 else "is served until"
            message = f"{route.name} {verb} {ends}; {successor(provider, route.name)} takes its place"
            yield route.config.finding(
                RETIRED, *route.path, "litellm_params", "model", message=message, severity=severity
            )


def last_day(provider: str, name: str) -> datetime.date | None:
    """The day from which a provider serves a model no more, where one is known."""
    text = load_apis()["retired"].get(provider, {}).get(name)
    return datetime.date.fromisoformat(text) if text else None


def successor(provider: str, name: str) -> str:
    """What takes the place of a model that is served no more."""
    for pattern, successor in load_apis()["successors"].get(provider, ()):
        if re.search(pattern, name):
            return str(successor)
    return "another model"


def _direct(case: Case) -> Iterator[tuple[Route, str]]:
    """Routes that go to the provider itself, and which that is."""
    for gateway in gateways(case):
        for route in gateway.routes:
            if is_direct(route.base):
                yield route, route.provider or provider_named(route.model)


def is_direct(base: str) -> bool:
    """Whether an address is the provider's own; none is, too."""
    return not base or any(host in base for host in _OWN_HOSTS)


def provider_named(model: str) -> str:
    """The provider of a model that LiteLLM knows without a prefix; empty for others."""
    return next((name for name, pattern in _PROVIDERS if pattern.search(model)), "")


def check_generations(case: Case) -> Iterator[Finding]:
    """Open models that the field has left behind; one finding an engine."""
    for engine in case.engines:
        if _OLD.search(engine.model):
            message = f"{engine.model} is two generations of models old and more"
            yield OLD_MODEL.on(engine.workload.manifest, *engine.container.path, message=message)


CHECKS = (check_prices, check_retired, check_generations)
