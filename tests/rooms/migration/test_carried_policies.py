"""Routing, tags, teams, caches, types and prices of LiteLLM's configuration, and the platform that comes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hanok.migration import translate
from tests.rooms.migration.test_litellm import made, one, told


def several(*params: dict[str, Any], infos: Any = None, **blocks: Any) -> str:
    """A configuration whose deployments share the name `m`; each is on a server of its own."""
    listed = [
        {
            "model_name": "m",
            "litellm_params": {"model": "openai/x", "api_base": f"http://h{number}/v1", **each},
            "model_info": (infos or {}).get(number, {}),
        }
        for number, each in enumerate(params)
    ]
    return yaml.safe_dump({"model_list": listed, **blocks})


def strategy(name: str, **router: Any) -> dict[str, Any]:
    return {"routing_strategy": name, **router}


@pytest.mark.parametrize(
    ("params", "policy", "weights"),
    [
        (({"weight": 9}, {"weight": 1}), "weighted", [9, 1]),
        (({"weight": 2, "rpm": 1}, {"weight": 1, "rpm": 9}), "weighted", [2, 1]),
        (({"rpm": 600}, {"rpm": 200}), "weighted", [600, 200]),
        (({"tpm": 100_000}, {"tpm": 25_000}), "weighted", [1000, 250]),
        (({"weight": 3}, {"weight": 3}), "least-busy", [1, 1]),
        (({"weight": 3}, {}), "weighted", [3, 0.003]),
        (({"weight": 3}, {"weight": 0}), "weighted", [3, 0]),
        (({"weight": 0}, {"weight": 0}), "least-busy", [1, 1]),
        (({"weight": 1e300}, {"weight": 1e-300}), "weighted", [1000, 0]),
        (({}, {}), "least-busy", [1, 1]),
        (({"weight": 5},), "least-busy", [1]),
    ],
)
@pytest.mark.parametrize("router", [{}, strategy("simple-shuffle")])
def test_a_shuffle_is_weighted_as_litellm_weighs_it(
    params: Any, policy: str, weights: list[float], router: dict[str, Any]
) -> None:
    model = made(several(*params, router_settings=router)).platform.models[0]
    assert (model.routing.policy, [each.weight for each in model.serve]) == (policy, weights)


def test_a_deployment_without_a_weight_beside_weighted_ones_is_told_of() -> None:
    changed = told(several({"weight": 3}, {}), "changed")
    assert any("while those rest" in message for message in changed.values())


@pytest.mark.parametrize(
    ("name", "policy", "kind"),
    [
        ("least-busy", "least-busy", "carried"),
        ("latency-based-routing", "latency", "carried"),
        ("usage-based-routing", "least-busy", "changed"),
        ("usage-based-routing-v2", "least-busy", "changed"),
        ("provider-budget-routing", "least-busy", "left"),
        ("fastest", "least-busy", "wrong"),
    ],
)
def test_a_strategy_becomes_the_policy_nearest_to_it(name: str, policy: str, kind: str) -> None:
    text = several({"weight": 2}, {"weight": 1}, router_settings=strategy(name))
    model = made(text).platform.models[0]
    assert model.routing.policy == policy
    assert [each.weight for each in model.serve] == [1, 1], "LiteLLM looks at weights under simple-shuffle only"
    assert any("routing_strategy" in place for place in told(text, kind))
    assert sum("weights" in message for message in told(text, "left").values()) == 2


def test_the_cheapest_is_looked_for_where_there_are_prices_alone() -> None:
    priced = several(
        {"input_cost_per_token": 1e-6},
        {"input_cost_per_token": 3e-6},
        {},
        router_settings=strategy("cost-based-routing"),
    )
    model = made(priced).platform.models[0]
    assert model.routing.policy == "cost"
    assert [each.price and each.price.input for each in model.serve] == [1, 3, None]
    assert model.price is not None
    assert model.price.input == 3
    assert any("its own table" in message for message in told(priced, "changed").values())
    free = several({}, {}, router_settings=strategy("cost-based-routing"))
    assert made(free).platform.models[0].routing.policy == "least-busy"
    assert any("its own table" in message for message in told(free, "changed").values())


@pytest.mark.parametrize(
    ("checks", "policy"),
    [
        (["session_affinity"], "session"),
        (["deployment_affinity"], "session"),
        (["prompt_caching"], "prefix"),
        (["prompt_caching", "session_affinity"], "session"),
        (["responses_api_deployment_check"], "latency"),
        (["enforce_model_rate_limits"], "latency"),
    ],
)
def test_a_check_that_keeps_calls_together_goes_before_the_strategy(checks: list[str], policy: str) -> None:
    text = several({}, {}, router_settings=strategy("latency-based-routing", optional_pre_call_checks=checks))
    assert made(text).platform.models[0].routing.policy == policy


def test_shares_of_sessions_are_weights_too() -> None:
    router = {"optional_pre_call_checks": ["session_affinity"]}
    model = made(several({"weight": 2}, {"weight": 1}, router_settings=router)).platform.models[0]
    assert (model.routing.policy, [each.weight for each in model.serve]) == ("session", [2, 1])


def test_checks_of_one_name_hold_for_it_alone_and_instead_of_those_of_all() -> None:
    router = {
        "optional_pre_call_checks": ["session_affinity"],
        "model_group_affinity_config": {"m": ["prompt_caching", "promt_cachin"]},
    }
    text = several({}, {}, router_settings=router)
    assert made(text).platform.models[0].routing.policy == "prefix"
    assert any("did you mean 'prompt_caching'" in message for message in told(text, "wrong").values())


def test_vectors_have_no_prompt_cache_so_their_model_keeps_the_strategy() -> None:
    infos = {0: {"mode": "embedding"}, 1: {"mode": "embedding"}}
    router = strategy("latency-based-routing", optional_pre_call_checks=["prompt_caching"])
    assert made(several({}, {}, infos=infos, router_settings=router)).platform.models[0].routing.policy == "latency"


def test_tags_are_carried_over_where_litellm_routes_by_them() -> None:
    params = ({"tags": ["default"]}, {"tags": ["eu", "a b", "!"]}, {})
    text = several(*params, router_settings={"enable_tag_filtering": True})
    model = made(text).platform.models[0]
    assert [(each.tags, each.weight) for each in model.serve] == [(["default"], 1), (["eu", "a-b"], 0), ([], 0)]
    without = made(several(*params)).platform.models[0]
    assert [(each.tags, each.weight) for each in without.serve] == [([], 1), ([], 1), ([], 1)]
    assert any("enable_tag_filtering only" in message for message in told(several(*params), "left").values())


def test_the_default_deployment_of_weight_0_still_answers_calls_without_tags() -> None:
    params = ({"tags": ["default"], "weight": 0}, {"tags": ["eu"], "weight": 2})
    model = made(several(*params, router_settings={"enable_tag_filtering": True})).platform.models[0]
    assert [each.weight for each in model.serve] == [1, 0]


def test_weights_are_shares_among_those_that_a_call_may_go_to() -> None:
    params = ({"tags": ["default"], "rpm": 900}, {"tags": ["default"], "rpm": 300}, {"weight": 5}, {"weight": 3}, {})
    infos = {3: {"team_id": "t"}, 4: {"team_id": "t"}}
    text = several(*params, infos=infos, router_settings={"enable_tag_filtering": True})
    model = made(text).platform.models[0]
    assert model.routing.policy == "weighted"
    assert [each.weight for each in model.serve] == [900, 300, 0, 3, 0.003]


def test_more_tags_than_an_endpoint_has_are_told() -> None:
    text = several({"tags": [f"t{number}" for number in range(20)]}, router_settings={"enable_tag_filtering": True})
    assert len(made(text).platform.models[0].serve[0].tags) == 16
    assert sum("16 tags at most" in message for message in told(text, "left").values()) == 4


def test_a_teams_deployment_stays_its_own_under_the_name_its_callers_use() -> None:
    infos = {1: {"team_id": "Team A"}, 2: {"team_id": "Team-A"}}
    listed = yaml.safe_load(several({}, {}, {}, infos=infos))
    listed["model_list"][1]["model_name"] = "m_internal_1"
    listed["model_list"][1]["model_info"]["team_public_model_name"] = "m"
    platform = made(yaml.safe_dump(listed)).platform
    assert [model.name for model in platform.models] == ["m"]
    assert [each.teams for each in platform.models[0].serve] == [[], ["Team-A"], ["Team-A-2"]]
    assert [team.name for team in platform.teams] == ["Team-A", "Team-A-2"]


@pytest.mark.parametrize("mode", ["embedding", "rerank", "moderation"])
@pytest.mark.parametrize("model", ["openai/x", "cohere/x"])
def test_what_a_model_does_is_carried_over_for_every_engine(mode: str, model: str) -> None:
    text = yaml.safe_dump(
        {"model_list": [{"model_name": "m", "litellm_params": {"model": model}, "model_info": {"mode": mode}}]}
    )
    found = made(text).platform.models[0]
    assert (found.type, found.serve[0].engine) == (mode, "litellm" if model == "cohere/x" else "openai")


def test_prices_of_caches_and_batches_are_carried_over() -> None:
    text = one(
        model="anthropic/x", input_cost_per_token=3e-6, output_cost_per_token=15e-6, cache_read_input_token_cost=3e-7,
        cache_creation_input_token_cost=3.75e-6, input_cost_per_token_batches=1.5e-6,
        output_cost_per_token_batches=9e-6,
    )  # fmt: skip
    price = made(text).platform.models[0].price
    assert price is not None
    assert (price.input, price.output, price.cached_input, price.cache_write, price.batch) == (3, 15, 0.3, 3.75, 0.6)
    assert any("charges those in full" in message for message in told(text, "changed").values())


@pytest.mark.parametrize(
    ("prices", "share"),
    [
        ({"input_cost_per_token_batches": 1e-6}, 1),
        ({"input_cost_per_token": 0, "input_cost_per_token_batches": 1e-6}, 1),
        ({"input_cost_per_token": 1e-6, "input_cost_per_token_batches": 2e-6}, 1),
        ({"input_cost_per_token": 1e305, "input_cost_per_token_batches": 1e-300}, 0),
    ],
)
def test_a_share_for_batches_is_never_more_than_the_whole(prices: Any, share: float) -> None:
    price = made(one(model="ollama/x", **prices)).platform.models[0].price
    assert (price.batch if price else 1) == share


def test_lines_of_batches_cost_the_whole_price_where_one_deployment_has_no_other() -> None:
    prices = {"input_cost_per_token": 2e-6}
    model = made(several({**prices, "input_cost_per_token_batches": 1e-6}, prices)).platform.models[0]
    assert model.price is not None
    assert model.price.batch == 1


def cached(litellm: dict[str, Any] | None = None, router: dict[str, Any] | None = None, **params: Any) -> str:
    """A model for chat and one for vectors, with LiteLLM's cache on."""
    chat = {"model_name": "m", "litellm_params": {"model": "ollama/x"}}
    vectors = {"model_name": "my v", "litellm_params": {"model": "ollama/v"}, "model_info": {"mode": "embedding"}}
    settings = {"cache": True, "cache_params": params} if litellm is None else litellm
    return yaml.safe_dump(
        {"model_list": [chat, vectors], "litellm_settings": settings, "router_settings": router or {}}
    )


def redis_of(text: str) -> str | None:
    redis = made(text).platform.cache.redis
    return redis and redis.get_secret_value()


def test_a_cache_in_memory_is_carried_over_for_all_models() -> None:
    text = cached(type="local", ttl=60, namespace="mine", max_messages=8)
    cache = made(text).platform.cache
    assert (cache.all_models, cache.store, cache.ttl_s, cache.share) == (True, "memory", 60, "tenant")
    left = " ".join(told(text, "left"))
    assert "cache_params.namespace" in left
    assert "cache_params.max_messages" in left
    assert any("share: platform" in message for message in told(text, "changed").values())


@pytest.mark.parametrize(
    ("params", "store", "redis", "ttl_s"),
    [
        ({"type": "redis", "host": "r", "port": 6380}, "redis", "redis://r:6380", 60),
        ({"type": "redis", "host": "r", "password": "hunter2", "ssl": True}, "redis", "rediss://:stand-in", 60),
        ({"type": "redis", "url": "rediss://r/1", "ttl": 5}, "redis", "rediss://r/1", 5),
        ({"type": "redis"}, "redis", "redis://127.0.0.1:6379", 60),
        ({}, "redis", "redis://127.0.0.1:6379", 60),
        ({"ttl": 7}, "memory", None, 7),
        ({"type": "local", "default_in_memory_ttl": 9}, "memory", None, 9),
        ({"type": "redis", "host": "r", "default_in_redis_ttl": 8}, "redis", "redis://r:6379", 8),
        ({"type": "redis", "host": "not a host"}, "memory", None, 60),
        ({"type": "redis", "redis_startup_nodes": [{"host": "a"}]}, "memory", None, 60),
        ({"type": "s3", "s3_bucket_name": "b", "s3_aws_secret_access_key": "hunter2"}, "memory", None, 3600),
        ({"type": "disk", "ttl": 1e12}, "memory", None, 31_536_000),
    ],
)
def test_a_cache_is_kept_where_hanok_can_keep_it(
    params: dict[str, Any], store: str, redis: str | None, ttl_s: float
) -> None:
    text = cached(**params)
    cache = made(text).platform.cache
    assert (cache.all_models, cache.store, cache.ttl_s) == (True, store, ttl_s)
    assert (redis_of(text) or "").startswith(redis or "")
    assert (redis_of(text) is None) == (redis is None)
    assert "hunter2" not in str(translate(text, Path("config.yaml")))


def test_a_cache_without_a_server_of_its_own_is_at_the_ledgers() -> None:
    text = cached(router={"redis_host": "shared"}, type="redis", ttl=60)
    platform = made(text).platform
    assert (platform.cache.store, platform.cache.redis) == ("redis", None)
    assert platform.ledger.redis is not None


@pytest.mark.parametrize(
    "litellm",
    [{"cache": False, "cache_params": {"type": "local"}}, {"cache": True, "cache_params": {"type": "rediss"}}, {}],
)
def test_a_cache_that_litellm_does_not_have_is_not_made_up(litellm: dict[str, Any]) -> None:
    platform = made(cached(litellm)).platform
    assert not platform.cache.all_models
    assert [model.cache for model in platform.models] == [None, None]


def test_a_cache_of_the_router_alone_is_a_cache() -> None:
    cache = made(cached({}, {"cache_responses": True})).platform.cache
    assert (cache.all_models, cache.store) == (True, "memory")


@pytest.mark.parametrize(
    ("calls", "everything", "models"),
    [
        (["acompletion", "completion"], False, [True, None]),
        (["aembedding"], False, [None, True]),
        (["acompletion", "aembedding", "atranscription"], True, [None, None]),
        (["atranscription"], False, [None, None]),
        ([], False, [None, None]),
    ],
)
def test_only_models_whose_calls_litellm_keeps_have_a_cache(
    calls: list[str], everything: bool, models: list[bool | None]
) -> None:
    platform = made(cached(type="local", supported_call_types=calls)).platform
    assert platform.cache.all_models == everything
    assert [model.cache and model.cache.use for model in platform.models] == models


def test_a_cache_that_calls_must_ask_for_is_on_for_no_model() -> None:
    text = cached(type="local", mode="default_off", ttl=60)
    platform = made(text).platform
    assert (platform.cache.all_models, platform.cache.ttl_s) == (False, 60)
    assert any("use-cache" in message for message in told(text, "changed").values())


@pytest.mark.parametrize(("given", "threshold"), [(0.8, 0.8), (0.1, 0.5), (1.5, 1), (None, 0.92)])
def test_questions_are_compared_by_the_model_that_litellm_compares_them_with(
    given: float | None, threshold: float
) -> None:
    text = cached(
        type="redis-semantic", host="r", redis_semantic_cache_embedding_model="my v", similarity_threshold=given
    )
    platform = made(text).platform
    assert platform.cache.store == "redis"
    chat, vectors = platform.models
    assert chat.cache is not None
    assert chat.cache.semantic is not None
    assert (chat.cache.semantic.embedder, chat.cache.semantic.threshold) == ("my-v", threshold)
    assert vectors.cache is None


def test_questions_are_not_compared_without_a_model_for_vectors() -> None:
    text = cached(type="qdrant-semantic", similarity_threshold=0.8, qdrant_semantic_cache_embedding_model="m")
    assert [model.cache for model in made(text).platform.models] == [None, None]
    assert any("no model for embedding called 'm'" in message for message in told(text, "left").values())


def test_an_auto_router_is_left_out_and_told_what_to_write() -> None:
    config = {"tiers": {"SIMPLE": "m", "MEDIUM": "m", "COMPLEX": "big", "REASONING": "big"}}
    listed = yaml.safe_load(several({}))
    params = {"model": "auto_router/complexity_router", "complexity_router_config": config}
    listed["model_list"].append({"model_name": "auto", "litellm_params": params})
    text = yaml.safe_dump(listed)
    assert [model.name for model in made(text).platform.models] == ["m"]
    message = told(text, "left")[next(place for place in told(text, "left") if place.endswith("litellm_params.model"))]
    assert "docs/tiers.md" in message
    assert "{name: auto, simple: m, moderate: m, complex: big}" in message
