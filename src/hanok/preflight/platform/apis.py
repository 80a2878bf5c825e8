"""Models of a platform file that a provider serves: whether they are still there, and what they are declared to cost.

The table of prices and last days is the consistency layer's, which asks the same of LiteLLM's configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from hanok.preflight.case import Case
from hanok.preflight.consistency.apis import SOON_DAYS, differs, is_direct, last_day, provider_named, successor
from hanok.preflight.consistency.load import load_apis
from hanok.preflight.findings import Finding, Rule, Severity
from hanok.preflight.manifests import Manifest, Step
from hanok.spec.tree import Endpoint, Model, Price

RETIRED = Rule(
    "HK714", "error", "a model that its provider serves no more", "name the model in the message, or another of today"
)
BELOW_PROVIDER = Rule(
    "HK715",
    "warning",
    "a price below the provider's",
    "write the provider's price, or leave it out where LiteLLM's price map knows it; budgets count too little else",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Served:
    """One endpoint that is a provider's, and the model's name there."""

    manifest: Manifest
    path: tuple[Step, ...]
    model: Model
    endpoint: Endpoint
    provider: str
    name: str

    @property
    def price(self) -> tuple[Price | None, tuple[Step, ...]]:
        """The declared price, and where it stands."""
        if self.endpoint.price:
            return self.endpoint.price, (*self.path, "price")
        return self.model.price, (*self.path[:2], "price")


def check_retired(case: Case) -> Iterator[Finding]:
    """Models past their last day, or near it."""
    for each in _served(case):
        ends = last_day(each.provider, each.name)
        left = (ends - case.facts.today).days if ends else SOON_DAYS + 1
        if left <= SOON_DAYS:
            severity: Severity = "error" if left <= 0 else "warning"
            verb = "is not served any more since" if left <= 0 else "is served until"
            message = f"{each.name} {verb} {ends}; {successor(each.provider, each.name)} takes its place"
            yield RETIRED.on(each.manifest, *each.path, "model", message=message, severity=severity)


def check_provider_prices(case: Case) -> Iterator[Finding]:
    """Declared prices lower than what the provider takes; higher ones may be meant."""
    apis = load_apis()
    for each in _served(case):
        (price, path), own = each.price, apis["prices"].get(each.provider, {}).get(each.name)
        if price is None or not own:
            continue
        if any(
            given < real and differs(given, real) for given, real in zip((price.input, price.output), own, strict=True)
        ):
            said = f"{price.input:g}/{price.output:g} USD a million tokens (input/output)"
            real = f"{own[0]:g}/{own[1]:g} by {apis['source']} of {apis['date']}"
            message = f"{each.name} is declared at {said}, and costs {real}"
            yield BELOW_PROVIDER.on(each.manifest, *path, message=message)


def _served(case: Case) -> Iterator[_Served]:
    for declared in case.platforms:
        for index, model in enumerate(declared.loaded.platform.models if declared.loaded else ()):
            for position, endpoint in enumerate(model.serve):
                if found := _provider(model, endpoint):
                    yield _Served(
                        manifest=declared.manifest, path=("models", index, "serve", position), model=model,
                        endpoint=endpoint, provider=found[0], name=found[1],
                    )  # fmt: skip


def _provider(model: Model, endpoint: Endpoint) -> tuple[str, str] | None:
    """The provider that an endpoint asks itself, and the model's name there."""
    if endpoint.engine == "litellm" and is_direct(endpoint.url or ""):
        prefix, slash, rest = endpoint.model.partition("/")
        return (prefix, rest) if slash else (provider_named(endpoint.model), endpoint.model)
    if endpoint.engine == "openai" and is_direct(urlsplit(endpoint.url).hostname or "?"):
        name = endpoint.model or model.name
        return provider_named(name), name
    return None


CHECKS = (check_retired, check_provider_prices)
