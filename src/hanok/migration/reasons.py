"""LiteLLM's keys that Hanok has nothing for, each with the reason, and its routing strategies in Hanok's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ROUTING_POLICIES = {
    "simple-shuffle": "weighted",
    "least-busy": "least-busy",
    "usage-based-routing": "least-busy",
    "usage-based-routing-v2": "least-busy",
    "latency-based-routing": "latency",
    "cost-based-routing": "cost",
}
_NO_USAGE = "Hanok does not count an endpoint's tokens a minute; the nearest is its default: calls go to the least busy"
ROUTING_MESSAGES = {
    "simple-shuffle": (
        "policy weighted where deployments of a name differ in weight, rpm or tpm; else calls go to the least busy, "
        "and not to any by chance"
    ),
    "usage-based-routing": _NO_USAGE,
    "usage-based-routing-v2": _NO_USAGE,
}
"""What differs, for the strategies whose policy is not quite the same."""
STRATEGY_REASONS = {
    "provider-budget-routing": "Hanok has no budgets of providers: calls go to the least busy",
    "lar1": "Hanok does not route by what a call says of its confidence: calls go to the least busy",
}
CHECK_REASONS = {
    "router_budget_limiting": "Hanok has budgets of keys, teams, users, models, sessions and runs, not of providers",
    "responses_api_deployment_check": "Hanok keeps responses itself, so that any endpoint can go on from one",
    "encrypted_content_affinity": "policy `session` keeps the calls of a session at one endpoint",
    "forward_client_headers_by_model_group": "Hanok passes no headers of callers on, but those of tracing",
    "enforce_model_rate_limits": "",
}


def _each(reason: str, keys: str) -> dict[str, str]:
    return dict.fromkeys(keys.split(), reason)


def _merged(*tables: Mapping[str, str]) -> dict[str, str]:
    return {key: reason for table in tables for key, reason in table.items()}


def known(*tables: Iterable[str]) -> list[str]:
    return [key for table in tables for key in table]


CALL_PARAMETERS = frozenset(
    (
        "temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "n", "stop", "seed",
        "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "tools", "tool_choice",
        "parallel_tool_calls", "response_format", "reasoning_effort", "user", "stream", "stream_options",
        "extra_body", "thinking", "repetition_penalty", "dimensions", "encoding_format", "input_type", "keep_alive",
        "num_ctx", "num_predict", "system", "metadata", "api_version",
    )
)  # fmt: skip

PARAMS = _merged(
    _each(
        "the price of something other than tokens: Hanok charges tokens",
        "input_cost_per_second output_cost_per_second input_cost_per_character output_cost_per_character "
        "input_cost_per_pixel output_cost_per_pixel input_cost_per_image output_cost_per_image "
        "cost_per_second input_cost_per_audio_token output_cost_per_audio_token",
    ),
    _each(
        "Hanok has one price for prompt tokens, and one for those read from or written to a cache",
        "cache_creation_input_token_cost_above_1hr cache_creation_input_token_cost_above_200k_tokens "
        "cache_read_input_token_cost_above_200k_tokens input_cost_per_token_above_128k_tokens "
        "output_cost_per_token_above_128k_tokens input_cost_per_token_above_200k_tokens "
        "output_cost_per_token_above_200k_tokens output_cost_per_reasoning_token tiered_pricing "
        "input_cost_per_token_priority output_cost_per_token_priority input_cost_per_token_flex "
        "output_cost_per_token_flex",
    ),
    _each(
        "LiteLLM routes by tags with router_settings.enable_tag_filtering only, and so tags would do nothing here",
        "tags",
    ),
    _each(
        "Hanok knows tags by their name: write rules as models[].routing.headers",
        "tag_regex",
    ),
    _each(
        "callers cannot change an endpoint's address or key in Hanok",
        "configurable_clientside_auth_params",
    ),
    _each(
        "Hanok has limits for keys, set on the key or with `of: key`",
        "default_api_key_tpm_limit default_api_key_rpm_limit",
    ),
    _each(
        "Hanok counts prompt and answer together",
        "itpm otpm",
    ),
    _each(
        "Hanok has one timeout for every service tier",
        "timeout_by_service_tier stream_timeout_by_service_tier",
    ),
    _each(
        "Hanok has no pass-through of other APIs",
        "use_in_pass_through use_litellm_proxy use_chat_completions_api",
    ),
    _each(
        "Hanok chooses models by what a prompt asks with `tiers`: see docs/tiers.md",
        "auto_router_config_path auto_router_config auto_router_default_model auto_router_embedding_model "
        "complexity_router_config complexity_router_default_model adaptive_router_config "
        "quality_router_config",
    ),
    _each(
        "Hanok keeps silent streams open for every model: gateway.keep_alive_s",
        "keepalive_seconds",
    ),
    _each(
        "Hanok leaves an answer's fields as they are",
        "merge_reasoning_content_in_choices",
    ),
    _each(
        "Hanok refuses calls by limits before they reach an engine",
        "max_file_size_mb",
    ),
    _each(
        "budgets of a deployment need max_budget beside it",
        "budget_duration",
    ),
)

MODEL_INFO = _merged(
    PARAMS,
    _each(
        "Hanok names endpoints itself: model#1, model#2",
        "id",
    ),
    _each(
        "Hanok takes a price from `price`, or from the model's own name",
        "base_model",
    ),
    _each(
        "Hanok asks the engine, and does not keep a table of what models can do",
        "max_tokens max_input_tokens max_output_tokens supports_vision supports_function_calling "
        "supports_parallel_function_calling supports_system_messages supports_response_schema "
        "supports_tool_choice supports_prompt_caching supports_reasoning supports_pdf_input "
        "supports_audio_input supports_audio_output supports_web_search supports_assistant_prefill "
        "supports_native_streaming output_vector_size supported_openai_params supported_environments "
        "litellm_provider mode tier version description source",
    ),
    _each(
        "which key may use a model is set on the key, its team or its user: `models`",
        "team_public_model_name access_groups access_windows",
    ),
    _each(
        "tags are asked of every call alike",
        "enable_tag_filtering allow_fail_open",
    ),
    _each(
        "Hanok looks at every endpoint's health",
        "health_check_model health_check_timeout disable_background_health_check health_check_voice",
    ),
    _each(
        "Hanok has no dashboard of models",
        "discoverable db_model blocked created_at created_by updated_at updated_by",
    ),
)

ROUTER = _merged(
    _each(
        "Hanok pauses between attempts by itself: from a short while to longer ones, with chance",
        "retry_after",
    ),
    _each(
        "Hanok decides by the answer's status whether another attempt may help",
        "retry_policy model_group_retry_policy allowed_fails_policy max_retries",
    ),
    _each(
        "Hanok tries each fallback once, and has no other bound",
        "max_fallbacks",
    ),
    _each(
        "Hanok leaves prompts that do not fit to the engine, and has fallbacks.context_window",
        "enable_pre_call_checks",
    ),
    _each(
        "tags come in a header of their own, x-hanok-tags",
        "tag_routing_prefix",
    ),
    _each(
        "nothing is remembered that could run out: a session's endpoint follows from its name",
        "deployment_affinity_ttl_seconds session_affinity_repin_on_failover",
    ),
    _each(
        "Hanok has budgets of keys, teams, users, models, sessions and runs, not of providers",
        "provider_budget_config",
    ),
    _each(
        "each model has a policy and options of its own: models[].routing",
        "routing_groups routing_strategy_args weights",
    ),
    _each(
        "Hanok keeps connections as long as they serve",
        "client_ttl",
    ),
    _each(
        "Hanok has no priorities among calls: teams have weights",
        "default_priority polling_interval",
    ),
    _each(
        "a call is kept for the model that was asked: see `cache` and models[].cache",
        "cache_kwargs caching_groups",
    ),
    _each(
        "Hanok has no plug-ins there",
        "plugins alerting_config router_general_settings",
    ),
    _each(
        "Hanok adds nothing to a call",
        "default_litellm_params",
    ),
    _each(
        "Hanok looks at every endpoint's health by itself: gateway.health_every_s",
        "enable_health_check_routing health_check_staleness_threshold health_check_ignore_transient_errors "
        "ignore_invalid_deployments",
    ),
    _each(
        "Hanok writes one log line for each call",
        "set_verbose debug_level",
    ),
    _each(
        "Hanok has no such API",
        "assistants_config search_tools guardrail_list",
    ),
    _each(
        "Hanok asks every other endpoint of a model before its fallbacks",
        "enable_weighted_failover",
    ),
)

LITELLM = _merged(
    _each(
        "every field of a call counts in Hanok's cache, but those of docs/caches.md",
        "enable_caching_on_provider_specific_optional_params caching_with_models",
    ),
    _each(
        "nothing is kept for so long in Hanok: see `cache`",
        "default_in_memory_ttl default_redis_ttl default_redis_batch_cache_expiry",
    ),
    _each(
        "LiteLLM reads it within cache_params only, and cache: true there",
        "caching supported_call_types",
    ),
    _each(
        "Hanok tries each fallback once, and has no other bound",
        "max_fallbacks",
    ),
    _each(
        "Hanok has no guardrails",
        "guardrails blocked_user_list banned_keywords_list llamaguard_model_name "
        "openai_moderations_model_name google_moderation_confidence_threshold presidio_ad_hoc_recognizers "
        "output_parse_pii llm_guard_mode guardrail_name_config_map pre_call_rules post_call_rules",
    ),
    _each(
        "Hanok exports the spans of all calls to the same receivers: telemetry.export",
        "default_team_settings langfuse_default_tags audit_log_callbacks service_callback input_callback "
        "callback_settings",
    ),
    _each(
        "who may make which keys is not Hanok's to say: only the admin key makes keys",
        "upperbound_key_generate_params key_generation_settings default_key_max_budget_alert_emails "
        "key_alias_pattern max_ui_session_budget",
    ),
    _each(
        "Hanok writes one log line for each call, in JSON or as text",
        "set_verbose json_logs log_raw_request_response redact_messages_in_exceptions "
        "redact_user_api_key_info suppress_debug_info debug",
    ),
    _each(
        "prompts and answers are recorded only with telemetry.content",
        "standard_logging_payload_excluded_fields",
    ),
    _each(
        "Hanok's metrics are at /metrics, under names of its own",
        "prometheus_metrics_config prometheus_initialize_budget_metrics custom_prometheus_metadata_labels "
        "custom_prometheus_tags require_auth_for_metrics_endpoint "
        "enable_end_user_cost_tracking_prometheus_only disable_end_user_cost_tracking "
        "disable_end_user_cost_tracking_prometheus_only",
    ),
    _each(
        "Hanok's client is its own",
        "ssl_verify ssl_certificate ssl_security_level force_ipv4 use_aiohttp_transport "
        "disable_aiohttp_transport aiohttp_trust_env http2 network_mock",
    ),
    _each(
        "Hanok has no such price rules: write models[].price",
        "cost_discount_config cost_margin_config model_cost_map_url",
    ),
    _each(
        "Hanok has budgets of keys, teams, users, models, sessions and runs, not of tags",
        "tag_budget_config priority_reservation priority_reservation_settings",
    ),
    _each(
        "Hanok passes a call's and an answer's fields on as they are",
        "modify_params add_function_to_prompt return_response_headers include_cost_in_streaming_usage "
        "custom_prompt_dict enable_json_schema_validation merge_reasoning_content_in_choices",
    ),
    _each(
        "code of LiteLLM's cannot run in Hanok",
        "custom_provider_map",
    ),
    _each(
        "Hanok has no such call",
        "mcp_aliases mcp_servers public_mcp_servers vector_store_registry search_tools responses files_settings",
    ),
    _each(
        "Hanok keeps who may see which models on keys, teams and users",
        "public_model_groups model_group_settings public_model_groups_links",
    ),
    _each(
        "a provider's key belongs to its endpoint: models[].serve[].key",
        "api_key openai_key azure_key anthropic_key groq_key cohere_key replicate_key huggingface_key openrouter_key",
    ),
    _each(
        "the soft line is part of each budget: budgets[].soft",
        "default_soft_budget",
    ),
    _each(
        "declare the alias as router_settings.model_group_alias, or a model of that name",
        "model_alias_map",
    ),
    _each(
        "LiteLLM's budgets of users need its database",
        "internal_user_budget_duration budget_rollover budget_reset_time max_end_user_budget_id",
    ),
    _each(
        "Hanok sends traceparent to engines",
        "forward_traceparent_to_llm_provider",
    ),
    _each(
        "Hanok has no such switch",
        "telemetry enable_preview_features request_correlation_in_logs",
    ),
    _each(
        "credentials are written at their endpoint",
        "credential_list",
    ),
    _each(
        "Hanok keeps an audit log of every change: hanok audit",
        "store_audit_logs",
    ),
)

CACHE_PARAMS = _merged(
    _each(
        "Hanok knows its own answers on a server that others use too",
        "namespace",
    ),
    _each(
        "Hanok's cache keeps calls of any length",
        "max_messages",
    ),
    _each(
        "Hanok keeps answers in memory or on one Redis or Valkey server",
        "s3_bucket_name s3_region_name s3_api_version s3_use_ssl s3_verify s3_endpoint_url s3_aws_access_key_id "
        "s3_aws_secret_access_key s3_aws_session_token s3_config s3_path gcs_bucket_name gcs_path_service_account "
        "gcs_path azure_account_url azure_blob_container disk_cache_dir qdrant_api_base qdrant_api_key "
        "qdrant_collection_name qdrant_quantization_config qdrant_semantic_cache_vector_size "
        "redis_startup_nodes sentinel_nodes sentinel_password service_name",
    ),
    _each(
        "Hanok's connection to its cache has no such setting",
        "redis_flush_size max_connections socket_timeout socket_connect_timeout gcp_service_account "
        "gcp_ssl_ca_certs ssl_cert_reqs ssl_check_hostname ssl_ca_certs health_check_interval decode_responses",
    ),
    _each(
        "only a semantic cache compares questions",
        "similarity_threshold redis_semantic_cache_embedding_model valkey_semantic_cache_embedding_model "
        "qdrant_semantic_cache_embedding_model",
    ),
    _each(
        "Hanok keeps vectors in the process, of the last models[].cache.semantic.entries questions",
        "redis_semantic_cache_index_name valkey_semantic_cache_index_name semantic_cache_scope "
        "semantic_cache_embedding_max_input_tokens semantic_cache_embedding_timeout",
    ),
    _each(
        "another setting of a time comes first, or the store has none",
        "default_in_memory_ttl default_in_redis_ttl default_redis_ttl",
    ),
    _each(
        "no calls are kept",
        "supported_call_types",
    ),
)

GENERAL = _merged(
    _each(
        "Hanok shows keys once and keeps their hashes",
        "litellm_key_header_name disable_master_key_return",
    ),
    _each(
        "Hanok reads platform.yaml, and no models from a database",
        "store_model_in_db supported_db_objects proxy_config_reload_interval_seconds",
    ),
    _each(
        "Hanok looks at every endpoint's health by itself: gateway.health_every_s",
        "background_health_checks health_check_interval health_check_concurrency health_check_details "
        "use_shared_health_check enable_health_check_routing health_check_staleness_threshold "
        "background_health_check_model_groups",
    ),
    _each(
        "Hanok has no alerts: watch /metrics",
        "alerting alert_types alert_to_webhook_url alerting_args alerting_threshold spend_report_frequency",
    ),
    _each(
        "Hanok has no pass-through of other APIs",
        "pass_through_endpoints pass_through_request_timeout",
    ),
    _each(
        "Hanok knows callers by its own keys",
        "custom_auth custom_sso enable_jwt_auth litellm_jwtauth custom_key_generate custom_key_update "
        "enable_oauth2_auth enable_oauth2_proxy_auth oauth2_config_mappings allow_user_auth enforce_rbac "
        "role_permissions user_header_name user_header_mappings custom_ui_sso_sign_in_handler",
    ),
    _each(
        "Hanok has no dashboard",
        "ui_access_mode disable_env_credential_login hide_default_credentials_hint enable_public_model_hub plugins",
    ),
    _each(
        "variables come from the environment: have your secret manager set them",
        "key_management_system key_management_settings use_google_kms use_azure_key_vault",
    ),
    _each(
        "Hanok's database connection has no such setting",
        "database_connection_pool_limit database_connection_timeout database_connect_timeout "
        "database_socket_timeout database_type database_args database_extra_connection_params "
        "database_disable_prepared_statements allow_requests_on_db_unavailable use_redis_transaction_buffer "
        "proxy_batch_write_at disable_prisma_schema_update database_max_idle_connection_lifetime",
    ),
    _each(
        "Hanok's ledger keeps every charge",
        "disable_spend_logs disable_spend_updates maximum_spend_logs_retention_period "
        "maximum_spend_logs_retention_interval disable_error_logs store_prompts_in_spend_logs "
        "disable_reset_budget",
    ),
    _each(
        "Hanok limits calls at once for keys, teams, users, models and endpoints, not for the whole",
        "global_max_parallel_requests max_in_flight_requests_per_worker max_queued_requests_per_worker "
        "admission_queue_timeout_seconds",
    ),
    _each(
        "what a key may do is set on the key",
        "allowed_routes public_routes admin_only_routes allowed_ips enforced_params enforce_user_param "
        "reject_clientside_metadata_tags",
    ),
    _each(
        "callers name the model",
        "completion_model infer_model_from_keys",
    ),
    _each(
        "Hanok passes no headers of callers on, but those of tracing",
        "forward_client_headers_to_llm_api forward_openai_org_id forward_llm_provider_auth_headers use_x_forwarded_for",
    ),
    _each(
        "Hanok refuses where a limit cannot be checked",
        "fail_closed_rate_limit_enforcement fail_closed_budget_enforcement token_rate_limit_type",
    ),
    _each(
        "spans are exported by telemetry.export",
        "otel",
    ),
    _each(
        "Hanok ends an engine's work when the caller goes away",
        "cancel_on_disconnect",
    ),
    _each(
        "Hanok has no such check",
        "dangerously_permit_weak_or_unset_master_key litellm_license max_file_size_mb "
        "proxy_budget_rescheduler_min_time proxy_budget_rescheduler_max_time user_api_key_cache_ttl",
    ),
    _each(
        "Hanok serves no MCP yet",
        "mcp_internal_ip_ranges mcp_required_fields mcp_client_side_auth_header_name mcp_trusted_proxy_ranges "
        "mcp_advertised_versions",
    ),
)

TOP = _merged(
    _each(
        "put the files together into one, and import that",
        "include",
    ),
    _each(
        "Hanok sets no variables: export them before `hanok up`",
        "environment_variables",
    ),
    _each(
        "Hanok has no guardrails",
        "guardrails policies policy_attachments",
    ),
    _each(
        "Hanok has no pass-through of other APIs",
        "default_vertex_config pass_through_endpoints",
    ),
    _each(
        "Hanok has no such API",
        "assistant_settings finetune_settings files_settings vector_store_registry search_tools sandbox_tools "
        "mcp_servers mcp_tools mcp_aliases prompts agent_list worker_registry",
    ),
    _each(
        "spans are exported by telemetry.export",
        "callback_settings",
    ),
)

CALLBACK_REASONS = {
    "prometheus": "Hanok's metrics are at /metrics, under names of its own",
    "datadog": "send spans to Datadog's agent by OTLP: add it to telemetry.export",
    "slack": "Hanok has no alerts: watch /metrics",
}
