"""How LiteLLM's router picks a deployment, as `models[].routing` and the endpoints' weights and prices.

LiteLLM has one strategy for all names, and checks that narrow the choice before it; Hanok has one policy for each
model. So a check that keeps calls together wins over the strategy, as it does in LiteLLM, and a policy stands only at
models with several endpoints, where it decides anything.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hanok.migration.deployments import Deployment
from hanok.migration.reasons import (
    CHECK_REASONS,
    ROUTING_MESSAGES,
    ROUTING_POLICIES,
    STRATEGY_REASONS,
)
from hanok.migration.source import Block
from hanok.spec.checks.models import WEIGHING, quoted

DEFAULT = "least-busy"
_HIGHEST_WEIGHT = 1000.0
_STANDBY = 0.001
"""Of the greatest weight: what LiteLLM asks only while all others rest gets one call in a thousand."""
_AFFINITIES = {
    "session_affinity": (
        "session",
        "calls with a session header stay together; others go by their user, else their key",
    ),
    "deployment_affinity": (
        "session",
        "calls of a key stay together, unless they name a session or a user: then those",
    ),
    "prompt_caching": (
        "prefix",
        "prompts that begin alike go to one endpoint, whether or not they mark it for a cache",
    ),
}
_SHARES = {"weight": "weight", "rpm": "requests a minute", "tpm": "tokens a minute"}


@dataclass(frozen=True, kw_only=True)
class Routing:
    """What router_settings says of the choice among deployments. `policy` is the strategy's, in Hanok's words."""

    policy: str = DEFAULT
    affinity: str | None = None
    affinity_of: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    """By `model_name`, where the source has checks for that name alone."""
    by_tags: bool = False
    enforces_rates: bool = False
    """Whether LiteLLM refused calls beyond a deployment's rpm and tpm, or only preferred others."""

    def of(self, name: str, kind: str) -> str:
        """The policy of a model for `kind`: vectors have no prompt cache."""
        affinity = self.affinity_of.get(name, self.affinity)
        return self.policy if affinity is None or (affinity == "prefix" and kind != "chat") else affinity


def read_routing(router: Block) -> Routing:
    """The router's strategy, checks and tags."""
    strategy = router.take_text("routing_strategy")
    policy = _read_strategy(router, strategy)
    names = router.take_names("optional_pre_call_checks")
    return Routing(
        policy=policy,
        affinity=_read_checks(router, ("optional_pre_call_checks",), names),
        affinity_of=_read_checks_of_names(router.take_block("model_group_affinity_config")),
        by_tags=_read_tags(router),
        enforces_rates=strategy == "usage-based-routing-v2" or "enforce_model_rate_limits" in names,
    )


def _read_strategy(router: Block, strategy: str | None) -> str:
    policy = ROUTING_POLICIES.get(strategy or "simple-shuffle")
    if strategy is None:
        return policy or DEFAULT
    if strategy in STRATEGY_REASONS:
        router.left("routing_strategy", STRATEGY_REASONS[strategy])
    elif policy is None:
        router.wrong("routing_strategy", f"LiteLLM has no strategy {quoted(strategy)}: {', '.join(ROUTING_POLICIES)}")
    elif strategy in ROUTING_MESSAGES:
        router.changed("routing_strategy", ROUTING_MESSAGES[strategy], "models[].routing")
    else:
        router.carried("routing_strategy", "models[].routing.policy", f"{policy}, where a name has several deployments")
    return policy or DEFAULT


def _read_checks(block: Block, at: tuple[str | int, ...], names: Sequence[str]) -> str | None:
    """The policy that these checks ask for: whole sessions before beginnings of prompts."""
    asked = [_AFFINITIES[name][0] for name in names if name in _AFFINITIES]
    chosen = next((policy for policy in ("session", "prefix") if policy in asked), None)
    for index, name in enumerate(names):
        if name in _AFFINITIES and _AFFINITIES[name][0] != chosen:
            block.left((*at, index), f"{name}: one policy holds for a model, and keeps its sessions together")
        elif name in _AFFINITIES:
            policy, message = _AFFINITIES[name]
            block.changed((*at, index), f"{name}: policy {policy}, before any strategy: {message}", "models[].routing")
        elif name == "enforce_model_rate_limits":
            block.carried((*at, index), "limits[]", f"{name}: Hanok refuses calls beyond a limit with 429")
        elif name in CHECK_REASONS:
            block.left((*at, index), f"{name}: {CHECK_REASONS[name]}")
        else:
            near = difflib.get_close_matches(name, [*_AFFINITIES, *CHECK_REASONS], n=1, cutoff=0.8)
            hint = f": did you mean {quoted(near[0])}?" if near else ""
            block.wrong((*at, index), f"LiteLLM has no check {quoted(name)}{hint}")
    return chosen


def _read_checks_of_names(block: Block) -> dict[str, str | None]:
    return {name: _read_checks(block, (name,), block.take_names(name)) for name in block.keys}


def _read_tags(router: Block) -> bool:
    by_tags, any_of = router.take_flag("enable_tag_filtering"), router.take_flag("tag_filtering_match_any")
    if by_tags:
        message = (
            "callers name tags in the header x-hanok-tags, and a call whose tags no endpoint has is refused with 404; "
            "LiteLLM sends it to those with the tag `default`"
        )
        router.changed("enable_tag_filtering", message, "models[].serve[].tags")
    if by_tags and any_of is False:
        router.carried("tag_filtering_match_any", "models[].serve[].tags", "an endpoint must have all tags of a call")
    elif any_of is not None:
        router.changed("tag_filtering_match_any", "in Hanok an endpoint must have all tags that a call names")
    return bool(by_tags)


def route(members: Sequence[Deployment], routing: Routing) -> dict[str, Any]:
    """The block `routing` of the model that these deployments become; writes their weights and prices."""
    policy = routing.of(members[0].name, members[0].type) if len(members) > 1 else DEFAULT
    weighed: list[Deployment] = []
    for pool in _pools(members):
        ordinary = _ordinary(pool) if routing.by_tags else pool
        _hold_back([each for each in pool if each not in ordinary])
        if routing.policy == "weighted" and policy in WEIGHING and _weigh(ordinary):
            weighed += ordinary
    _leave_weights([each for each in members if each not in weighed], policy)
    if policy == "weighted" and not weighed:
        policy = DEFAULT
    if policy == "cost" and not _price_endpoints(members):
        policy = DEFAULT
    return {} if policy == DEFAULT else {"policy": policy}


def _pools(members: Sequence[Deployment]) -> list[list[Deployment]]:
    """Those that a call is shared among: a team's own, or those open to all."""
    pools: dict[tuple[str, ...], list[Deployment]] = {}
    for each in members:
        pools.setdefault(tuple(each.endpoint.get("teams", ())), []).append(each)
    return list(pools.values())


def _ordinary(pool: list[Deployment]) -> list[Deployment]:
    """Those that calls without tags go to: the ones tagged `default`, if there are any."""
    return [each for each in pool if "default" in each.endpoint.get("tags", ())] or pool


def _hold_back(members: Sequence[Deployment]) -> None:
    for each in members:
        each.endpoint["weight"] = 0
        message = "calls without tags go to the deployments tagged `default`; weight 0 keeps them from this one"
        each.block.changed("model_name", message, "models[].serve[].weight")


def _leave_weights(members: Sequence[Deployment], policy: str) -> None:
    for each in members:
        if each.weight is not None and policy == DEFAULT:
            each.params.left("weight", "calls go to the least busy, and not by weights")
        elif each.weight is not None and policy in WEIGHING:
            each.params.left("weight", "there is nothing to weigh: none of another weight shares its calls")
        elif each.weight is not None:
            each.params.left("weight", f"calls go by policy {policy}, which does not look at weights")


def _weigh(members: Sequence[Deployment]) -> bool:
    """Write weights where calls are not to be spread evenly: by weight, else rpm, else tpm, as LiteLLM takes them."""
    for key in _SHARES:
        values = [each.weight if key == "weight" else each.numbers.get(key) for each in members]
        if any(values):
            break
    else:
        return False
    if len(set(values)) == 1:
        return False  # an even share, which needs no weights
    greatest = max(value or 0.0 for value in values)
    scale = min(1.0, _HIGHEST_WEIGHT / greatest)
    for each, value in zip(members, values, strict=True):
        share = greatest * _STANDBY if value is None else value
        weight = float(f"{share * scale:.6g}")
        if weight != 1:
            each.endpoint["weight"] = weight
        _tell_weight(each, key, value, weight)
    return True


def _tell_weight(each: Deployment, key: str, value: float | None, weight: float) -> None:
    to = "models[].serve[].weight"
    if value is None:
        message = (
            f"has no {key} beside others that have: LiteLLM asks it only while those rest. With weight {weight:g} "
            "it gets one call for a thousand of the greatest's, and all while those are down"
        )
        each.block.changed("model_name", message, to)
    elif value == 0:
        each.params.changed(key, "LiteLLM asks it while all others rest; in Hanok it takes calls with tags only", to)
    elif key == "weight":
        each.params.carried(key, to)
    else:
        message = f"without a weight LiteLLM shares calls by {_SHARES[key]}: weight {weight:g}, policy weighted"
        each.params.changed(key, message, to)


def _price_endpoints(members: Sequence[Deployment]) -> bool:
    """Write each deployment's own price, if there is any to compare."""
    priced = [each for each in members if "input" in each.price or "output" in each.price]
    for each in priced:
        each.endpoint["price"] = dict(each.price)
    for each in members if len(priced) < len(members) else ():
        if each not in priced:
            message = "for cost-based-routing LiteLLM looks the price up in its own table: write serve[].price"
            each.block.changed("model_name", message, "models[].serve[].price")
    return bool(priced)
