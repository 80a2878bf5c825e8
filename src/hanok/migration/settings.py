"""router_settings, litellm_settings, general_settings: what becomes reliability, books, budgets, spans, the door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hanok.migration.caches import Kept, read_cache
from hanok.migration.groups import RETRY_LIMIT, Reliability
from hanok.migration.periods import as_allowance
from hanok.migration.reasons import (
    CALLBACK_REASONS,
    GENERAL,
    LITELLM,
    ROUTER,
)
from hanok.migration.redis import read_redis
from hanok.migration.routing import Routing
from hanok.migration.secrets import DATABASE_STAND_IN, Variables, take_value
from hanok.migration.source import Block

DEFAULT_COOLDOWN_S = 5.0
_NEVER = 1_000_000
_POSTGRES = ("postgresql://", "postgres://")
_SHARED = "for budgets and limits that several processes share"


@dataclass(kw_only=True)
class Rest:
    """The blocks of platform.yaml beside its models, and what they say of every model's cache."""

    kept: Kept = field(default_factory=Kept)
    gateway: dict[str, Any] = field(default_factory=dict[str, Any])
    ledger: dict[str, Any] = field(default_factory=dict[str, Any])
    telemetry: dict[str, Any] = field(default_factory=dict[str, Any])
    budgets: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    limits: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def read_reliability(router: Block, litellm: Block, routing: Routing) -> Reliability:
    """What holds for every model; router_settings win over litellm_settings, as in LiteLLM."""
    return Reliability(
        retries=_retries(router, litellm),
        timeouts=_timeouts(router, litellm),
        breaker=_breaker(router, litellm),
        enforces_rates=routing.enforces_rates,
    )


def _first(router: Block, litellm: Block, key: str) -> tuple[Block, int | None]:
    """router_settings' number, else litellm_settings'; told when both have one."""
    own, other = router.take_whole(key, least=0), litellm.take_whole(key, least=0)
    if own is not None and other is not None:
        litellm.wrong(key, f"router_settings has {key} too ({own:g}), and LiteLLM takes that")
    return (router, own) if own is not None else (litellm, other)


def _retries(router: Block, litellm: Block) -> int | None:
    block, retries = _first(router, litellm, "num_retries")
    if retries is None:
        return None
    if retries > RETRY_LIMIT:
        block.changed("num_retries", f"Hanok makes at most {RETRY_LIMIT} further attempts", "models[].retries")
    else:
        block.carried("num_retries", "models[].retries")
    return int(min(retries, RETRY_LIMIT))


def _timeouts(router: Block, litellm: Block) -> dict[str, float]:
    """LiteLLM has one timeout for whatever it waits for; Hanok one for the first byte and one for silence after it."""
    timeouts: dict[str, float] = {}
    request, whole = litellm.take_number("request_timeout", above=0), router.take_number("timeout", above=0)
    told = "how long an answer may take to begin; an unstreamed one begins when it is complete"
    if request is not None:
        timeouts["first_byte_s"] = request
        litellm.carried("request_timeout", "models[].timeouts.first_byte_s", told)
        if whole is not None:
            router.changed(
                "timeout", f"litellm_settings.request_timeout ({request:g}) holds for one attempt, as in LiteLLM"
            )
    elif whole is not None:
        timeouts["first_byte_s"] = whole
        router.carried("timeout", "models[].timeouts.first_byte_s", told)
    if (stream := router.take_number("stream_timeout", above=0)) is not None:
        timeouts["idle_s"] = stream
        router.changed("stream_timeout", "how long a begun answer may fall silent", "models[].timeouts.idle_s")
    return timeouts


def _breaker(router: Block, litellm: Block) -> dict[str, float]:
    breaker: dict[str, float] = {}
    block, fails = _first(router, litellm, "allowed_fails")
    if fails is not None:
        breaker["failures"] = int(fails) + 1
        message = f"LiteLLM counts failures in a minute, Hanok in a row: the {int(fails) + 1}th opens the circuit"
        block.changed("allowed_fails", message, "models[].breaker.failures")
    cooldown = router.take_number("cooldown_time")
    if cooldown == 0:
        message = "LiteLLM takes 0 for its default of 5 seconds, which is carried over; to never leave an endpoint "
        router.wrong("cooldown_time", f"{message}alone it has disable_cooldowns", "models[].breaker.cooldown_s")
        cooldown = DEFAULT_COOLDOWN_S
    elif cooldown is not None:
        router.carried("cooldown_time", "models[].breaker.cooldown_s", "doubles with each probe that fails")
    if cooldown is not None:
        breaker["cooldown_s"] = cooldown
    if router.take_flag("disable_cooldowns"):
        breaker["failures"] = _NEVER
        router.changed("disable_cooldowns", "a breaker that practically never opens", "models[].breaker.failures")
    return breaker


def read_rest(router: Block, litellm: Block, general: Block, variables: Variables) -> Rest:
    """Everything beside models, from the three blocks; what is left in them is told."""
    rest = Rest()
    _read_door(general, variables, rest)
    _read_database(general, variables, rest)
    _read_redis(router, general, variables, rest)
    _read_budgets(litellm, general, rest)
    _read_callbacks(litellm, general, variables, rest)
    rest.kept = read_cache(router, litellm, variables, has_redis="redis" in rest.ledger)
    router.leave_rest(ROUTER)
    litellm.leave_rest(LITELLM)
    general.leave_rest(GENERAL)
    return rest


def _read_door(general: Block, variables: Variables, rest: Rest) -> None:
    key = take_value(general, "master_key", variables, secret_as="LITELLM_MASTER_KEY")
    if key is not None and not key.startswith("${env:"):
        general.wrong("master_key", "a key that everybody knows opens LiteLLM's administration: set LITELLM_MASTER_KEY")
        key = variables.refer("LITELLM_MASTER_KEY")
    if key is not None:
        rest.gateway["admin_key"] = key
        message = "opens the admin API only, and needs 16 characters; for calls make keys: hanok keys create NAME"
        general.changed("master_key", message, "gateway.admin_key")
    for source, to in (("max_request_size_mb", "body_limit_mib"), ("max_response_size_mb", "answer_limit_mib")):
        if (size := general.take_number(source, above=0)) is not None:
            rest.gateway[to] = size
            general.carried(source, f"gateway.{to}")


def _read_database(general: Block, variables: Variables, rest: Rest) -> None:
    written = general.take("database_url")
    if isinstance(written, str) and not written.startswith((*_POSTGRES, "os.environ", "${", "$")):
        general.wrong("database_url", "LiteLLM and Hanok keep their books in PostgreSQL: postgresql://…")
        return
    url = take_value(general, "database_url", variables, secret_as="DATABASE_URL", stand_in=DATABASE_STAND_IN)
    if url is None:
        return
    rest.ledger["database"] = url
    message = "keys, teams and what was spent stay in LiteLLM's tables: Hanok makes its own beside them (or give it a "
    general.changed("database_url", f"{message}database of its own), and keys are made anew", "ledger.database")


def _read_redis(router: Block, general: Block, variables: Variables, rest: Rest) -> None:
    """LiteLLM's own Redis for counting, or the router's."""
    coordination = general.take_block("coordination_redis")
    for block, prefix in ((coordination, ""), (router, "redis_")):
        url = read_redis(block, prefix, variables, to="ledger.redis", use=_SHARED)
        if url is not None and "redis" not in rest.ledger:
            rest.ledger["redis"] = url
        elif url is not None:
            block.wrong(f"{prefix}host", "general_settings.coordination_redis names one too, and LiteLLM takes that")


def _read_budgets(litellm: Block, general: Block, rest: Rest) -> None:
    duration = litellm.take_text("budget_duration")
    if (usd := litellm.take_number("max_budget")) is not None:
        rest.budgets += as_allowance(litellm, "max_budget", usd, duration, of="key")
        message = (
            "LiteLLM's holds for all keys together; Hanok has no such budget: it is the most that each key may spend"
        )
        litellm.changed("max_budget", message, "budgets[]")
    elif duration is not None:
        litellm.wrong("budget_duration", "there is no max_budget for it")
    for key, of in (("max_user_budget", "user"), ("max_internal_user_budget", "user"), ("max_end_user_budget", "user")):
        if (usd := litellm.take_number(key)) is not None:
            span = litellm.take_text("internal_user_budget_duration") if key != "max_end_user_budget" else None
            _add(rest.budgets, as_allowance(litellm, key, usd, span, of=of), litellm, key)
    for key, of in (
        ("default_internal_user_params", "user"),
        ("default_key_generate_params", "key"),
        ("default_team_params", "team"),
    ):
        _read_defaults(litellm.take_block(key), of, rest)
    if (most := general.take_whole("max_parallel_requests")) is not None:
        _add(rest.limits, [{"of": "key", "concurrent": most}], general, "max_parallel_requests")
        general.carried("max_parallel_requests", "limits[].concurrent", "of: key")


def _read_defaults(block: Block, of: str, rest: Rest) -> None:
    """What new users, keys or teams of LiteLLM's are given: in Hanok it holds for each, new or not."""
    usd, duration = block.take_number("max_budget"), block.take_text("budget_duration")
    if usd is not None:
        _add(rest.budgets, as_allowance(block, "max_budget", usd, duration, of=of), block, "max_budget")
    limit: dict[str, Any] = {}
    for key, to in (
        ("rpm_limit", "requests_per_minute"),
        ("tpm_limit", "tokens_per_minute"),
        ("max_parallel_requests", "concurrent"),
    ):
        if (most := block.take_whole(key)) is not None:
            limit[to] = most
            block.carried(key, f"limits[].{to}", f"of: {of}")
    if limit:
        _add(rest.limits, [{"of": of, **limit}], block, "rpm_limit")
    block.leave_rest({"models": f"which models a {of} may use is set on the {of}", "user_role": "Hanok has no roles"})


def _add(these: list[dict[str, Any]], new: list[dict[str, Any]], block: Block, key: str) -> None:
    """Add what is not there yet: two of one kind and period would count twice."""
    for each in new:
        same: Mapping[str, Any] | None = next(
            (one for one in these if all(one.get(part) == each.get(part) for part in ("of", "name", "per"))), None
        )
        if same is None:
            these.append(each)
        else:
            block.changed(key, f"there is one of each {each['of']} already; the first was taken")


def _read_callbacks(litellm: Block, general: Block, variables: Variables, rest: Rest) -> None:
    exports: dict[str, dict[str, Any]] = {}
    for key in ("callbacks", "success_callback", "failure_callback"):
        for index, name in enumerate(litellm.take_names(key)):
            _read_callback(litellm, (key, index), name, variables, exports)
    if general.take_flag("otel"):
        _read_callback(general, ("otel",), "otel", variables, exports)
    silent = litellm.take_flag("turn_off_message_logging")
    if silent is not None:
        litellm.carried("turn_off_message_logging", "telemetry.content")
    if exports:
        rest.telemetry["export"] = list(exports.values())
        rest.telemetry["content"] = not silent


def _read_callback(
    block: Block, at: tuple[str | int, ...], name: str, variables: Variables, exports: dict[str, dict[str, Any]]
) -> None:
    make = _EXPORTS.get(name)
    if make is None:
        reason = CALLBACK_REASONS.get(name, "Hanok sends spans by OTLP, and runs no callbacks of LiteLLM's")
        block.left(at, f"{name}: {reason}")
        return
    export = make(variables)
    if export["to"] in exports:
        block.carried(at, "telemetry.export", f"{name}: one receiver is enough")
        return
    exports[export["to"]] = export
    message = "prompts and answers are recorded too, as LiteLLM does; telemetry.content: false keeps them out"
    block.changed(at, f"{name}: one span for each call, failed ones too; {message}", "telemetry.export")


def _langfuse(variables: Variables) -> dict[str, Any]:
    return {
        "to": "langfuse",
        "url": variables.offer("LANGFUSE_HOST", "https://cloud.langfuse.com"),
        "public_key": variables.refer("LANGFUSE_PUBLIC_KEY"),
        "secret_key": variables.refer("LANGFUSE_SECRET_KEY"),
    }


def _langsmith(variables: Variables) -> dict[str, Any]:
    return {
        "to": "langsmith",
        "url": variables.offer("LANGSMITH_BASE_URL", "https://api.smith.langchain.com"),
        "secret_key": variables.refer("LANGSMITH_API_KEY"),
        "project": variables.offer("LANGSMITH_PROJECT", "default"),
    }


def _otel(variables: Variables) -> dict[str, Any]:
    url = variables.offer("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    return {"to": "otlp", "url": url}


def _mlflow(variables: Variables) -> dict[str, Any]:
    return {"to": "mlflow", "url": variables.offer("MLFLOW_TRACKING_URI", "http://localhost:5000")}


_EXPORTS = {
    "langfuse": _langfuse,
    "langfuse_otel": _langfuse,
    "langsmith": _langsmith,
    "otel": _otel,
    "opentelemetry": _otel,
    "mlflow": _mlflow,
}
