"""The models of a platform file: whether GPUs can serve them, whether their price pays for that, who stands in."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.gpu import GIB, Option, Plan, api_million
from hanok.preflight.case import Case
from hanok.preflight.declared import Declared
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.platform.planned import Planned, declared_million
from hanok.spec.tree import Model, Platform, Price

NOWHERE = Rule("HK702", "error", "a model that fits nowhere", "`hanok plan` shows every machine, and why it cannot")
UNKNOWN = Rule(
    "HK703",
    "warning",
    "a model that is not known",
    "name a folder with its config.json, or one of `hanok catalog models`",
    open=True,
)
TIGHT = Rule(
    "HK704",
    "warning",
    "a model that hardly fits",
    "take a machine with more memory, shorter calls, or `kv_dtype: fp8`; `hanok plan` shows what else there is",
)
BELOW_COST = Rule(
    "HK705", "warning", "a price below its cost", "raise `price`, or fill its GPUs better: more load on fewer machines"
)
FREE = Rule(
    "HK706",
    "warning",
    "budgets that never run out",
    "give the model a `price`: what a token of it costs is not known otherwise",
)
ALONE = Rule(
    "HK707",
    "info",
    "a model that nothing stands in for",
    "add another endpoint to `serve`, or a model to `fallbacks`",
)
SMALLER = Rule(
    "HK708",
    "warning",
    "a fallback that takes shorter calls",
    "name a model with a longer context, or raise its `context_tokens`",
)
API_CHEAPER = Rule(
    "HK709",
    "info",
    "dearer than an API of its class",
    "worth it where data must stay at home; else more load on the same machines, or the API",
)
_STAND_INS = ("echo", "script")


def check_plans(case: Case) -> Iterator[Finding]:
    """Models that no machine serves, that are not known, or that hardly fit."""
    for each in case.planned:
        path = ("models", each.index, "deploy")
        manifest, plan = each.declared.manifest, each.plan
        if each.refusal is not None:
            rule = NOWHERE if each.known else UNKNOWN
            message = f"{each.model.name}: {each.refusal.message}"
            yield rule.on(manifest, *path, message=message, hint=each.refusal.hint)
        elif plan is not None and not plan.fits:
            yield NOWHERE.on(manifest, *path, message=_nowhere(each.model.name, plan), hint=_remedies(plan))
        elif each.best is not None and each.best.tight:
            left = f"{each.best.fit.kv / GIB:.1f} GiB a GPU are left for the KV cache"
            message = f"{each.model.name} on {_said(each.best)}: {left}, within the error of the estimate"
            yield TIGHT.on(manifest, *path, message=message)


def _nowhere(name: str, plan: Plan) -> str:
    near = [f"{each.instance}: {'; '.join(each.way.reasons)}" for each in plan.misses if each.way.fit][:2]
    return (
        f"no machine of the catalogue serves {name}; nearest: {', '.join(near)}" if near else f"nothing serves {name}"
    )


def _remedies(plan: Plan) -> str | None:
    told = [f"{words}: {_said(option)}" for words, option in plan.remedies[:3]]
    return f"it would fit with {', or '.join(told)}" if told else None


def _said(option: Option) -> str:
    what = f"{option.machine.profile} of {option.instance}" if option.machine.profile else option.instance
    return f"{option.count}× {what}" + (f" (${option.cost.hour:,.2f}/h)" if option.cost else "")


def check_prices(case: Case) -> Iterator[Finding]:
    """Declared prices that do not pay for the GPUs: at the declared load, else even where they are always full."""
    for each in case.planned:
        price, million = _price(each.model), _cost_of_million(each)
        if price is None or million is None or each.plan is None or each.best is None:
            continue
        charged = declared_million(price, each.plan.wanted.shape)
        if 0 < charged < million:
            load = each.deploy.load.requests_per_s
            when = f"at {load:g} calls a second" if load else "even when always full"
            message = f"{each.model.name} is charged ${charged:.2f} per million tokens, and costs ${million:.2f} {when}"
            message += f" on {_said(each.best)}"
            yield BELOW_COST.on(each.declared.manifest, "models", each.index, "price", message=message)


def _price(model: Model) -> Price | None:
    return next((each.price for each in model.serve if each.engine == "vllm" and each.price), model.price)


def _cost_of_million(planned: Planned) -> float | None:
    """USD per million tokens on the cheapest machines: at the declared load, else at the fullest."""
    cost = planned.best.cost if planned.best else None
    if cost is None:
        return None
    million = cost.million_load if planned.deploy.load.requests_per_s else cost.million_full
    return cost.spot(million)[0] if planned.deploy.spot else million


def check_budgets(case: Case) -> Iterator[Finding]:
    """Budgets in dollars, and an engine of one's own whose tokens have no price."""
    for each in case.planned:
        assert each.declared.loaded is not None
        in_usd = any(budget.usd is not None for budget in each.declared.loaded.platform.budgets)
        own = all(endpoint.engine == "vllm" and endpoint.price is None for endpoint in each.model.serve)
        if in_usd and own and each.model.price is None:
            message = f"budgets are in dollars, but tokens of {each.model.name} cost nothing as declared"
            yield FREE.on(each.declared.manifest, "models", each.index, "name", message=message)


def check_apis(case: Case) -> Iterator[Finding]:
    for each in case.planned:
        million = _cost_of_million(each)
        if million is None or each.plan is None or each.plan.api is None:
            continue
        api = api_million(each.plan.api, each.plan.wanted.shape)
        if million > api:
            message = f"{each.model.name} costs ${million:.2f} per million tokens; APIs take about ${api:.2f} for "
            message += f"{each.plan.api.model} ({case.facts.catalog.apis.date:%B %Y})"
            yield API_CHEAPER.on(each.declared.manifest, "models", each.index, "deploy", message=message)


def check_stand_ins(case: Case) -> Iterator[Finding]:
    for declared, index, model in _models(case):
        if len(model.serve) == 1 and not model.fallbacks.error and model.serve[0].engine not in _STAND_INS:
            message = f"calls of {model.name} fail while its one endpoint does"
            yield ALONE.on(declared.manifest, "models", index, "serve", message=message)


def check_windows(case: Case) -> Iterator[Finding]:
    """Fallbacks for prompts that are too long, whose own window is no longer."""
    for declared, index, model in _models(case):
        assert declared.loaded is not None
        own = _window(model)
        for position, name in enumerate(model.fallbacks.context_window):
            other = declared.loaded.platform.model(name)
            window = _window(other) if other else None
            if own is not None and window is not None and window <= own:
                path = ("models", index, "fallbacks", "context_window", position)
                message = (
                    f"{name} takes {window:,} tokens, {model.name} itself {own:,}: it cannot take what is too long"
                )
                yield SMALLER.on(declared.manifest, *path, message=message)


def _window(model: Model) -> int | None:
    """Tokens of one call, where the file says."""
    if model.deploy and "context_tokens" in model.deploy.model_fields_set:
        return model.deploy.context_tokens
    found: list[int] = []
    for each in model.serve:
        length = each.flags.get("max-model-len") if each.engine == "vllm" else None
        length = each.context_tokens if each.engine == "llamacpp" else length
        if isinstance(length, bool) or not isinstance(length, int):
            return None
        found.append(length)
    return min(found)


def _models(case: Case) -> Iterator[tuple[Declared, int, Model]]:
    for declared in case.platforms:
        platform: Platform | None = declared.loaded.platform if declared.loaded else None
        for index, model in enumerate(platform.models if platform else ()):
            yield declared, index, model


CHECKS = (check_plans, check_prices, check_budgets, check_apis, check_stand_ins, check_windows)
