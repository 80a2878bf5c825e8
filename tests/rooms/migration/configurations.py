"""Configurations as people write them for LiteLLM's proxy."""

from __future__ import annotations

# A company's proxy: several providers, several deployments of a name, reliability, books.
COMPANY = """\
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://eu.openai.azure.com/
      api_key: os.environ/AZURE_API_KEY_EU
      api_version: "2024-10-21"
      rpm: 600
      tpm: 100000
      weight: 3
      timeout: 120
      stream_timeout: 30
    model_info:
      mode: chat
      base_model: azure/gpt-4o
      input_cost_per_token: 2.5e-06
      output_cost_per_token: 1e-5
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: os.environ/OPENAI_API_KEY
      rpm: 400
      tpm: 50000
      max_parallel_requests: 20
      timeout: 90
    model_info:
      mode: chat
      input_cost_per_token: 3.0e-06
      cache_read_input_token_cost: 1.25e-06
  - model_name: llama
    litellm_params:
      model: hosted_vllm/meta-llama/Llama-3.1-8B-Instruct
      api_base: http://vllm-1.internal:8000/v1
      order: 1
  - model_name: llama
    litellm_params:
      model: hosted_vllm/meta-llama/Llama-3.1-8B-Instruct
      api_base: http://vllm-2.internal:8000/v1
      order: 1
  - model_name: llama
    litellm_params:
      model: ollama/llama3.1
      api_base: http://laptop.internal:11434
      order: 2
  - model_name: claude
    litellm_params:
      model: bedrock/anthropic.claude-3-5-sonnet-20241022-v2:0
      aws_access_key_id: os.environ/AWS_ACCESS_KEY_ID
      aws_secret_access_key: os.environ/AWS_SECRET_ACCESS_KEY
      aws_region_name: eu-central-1
  - model_name: embed
    litellm_params:
      model: openai/text-embedding-3-small
      api_key: os.environ/OPENAI_API_KEY
    model_info:
      mode: embedding
  - model_name: pictures
    litellm_params:
      model: openai/gpt-image-1
    model_info:
      mode: image_generation

router_settings:
  routing_strategy: latency-based-routing
  num_retries: 3
  retry_after: 5
  allowed_fails: 2
  cooldown_time: 30
  timeout: 300
  redis_host: os.environ/REDIS_HOST
  redis_port: 6379
  redis_password: os.environ/REDIS_PASSWORD
  fallbacks:
    - gpt-4o: [claude, llama]
    - claude: [gpt-4o]
  context_window_fallbacks: [{"llama": ["claude"]}]
  content_policy_fallbacks: [{"gpt-4o": ["claude"]}]
  default_fallbacks: [llama]
  model_group_alias: {"gpt-4": "gpt-4o", "hidden-llama": {"model": "llama", "hidden": true}}

litellm_settings:
  drop_params: true
  cache: true
  cache_params: {type: redis, ttl: 600}
  callbacks: ["otel", "prometheus"]
  success_callback: ["langfuse"]
  max_budget: 700
  budget_duration: 7d
  default_internal_user_params:
    user_role: internal_user
    max_budget: 20
    budget_duration: 30d
    rpm_limit: 60
  default_team_settings:
    - team_id: research
      success_callback: ["langfuse"]

general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  database_url: os.environ/DATABASE_URL
  max_parallel_requests: 40
  max_request_size_mb: 16
  alerting: ["slack"]
  pass_through_endpoints:
    - path: /v1/rerank
      target: https://api.cohere.com/v1/rerank

guardrails:
  - guardrail_name: pii
    litellm_params: {guardrail: presidio, mode: pre_call}
"""

# A laptop: no secrets, nothing that must be installed.
LAPTOP = """\
model_list:
  - model_name: local
    litellm_params:
      model: ollama_chat/qwen3:8b
  - model_name: coder
    litellm_params:
      model: lm_studio/qwen2.5-coder
      api_base: http://localhost:1234/v1
      api_key: lm-studio
      temperature: 0.2
      timeout: 60
  - model_name: canned
    litellm_params:
      model: openai/anything
      mock_response: I am a teapot
litellm_settings:
  num_retries: 0
  request_timeout: 45
  fallbacks: [{"local": ["canned"]}]
general_settings:
  master_key: sk-1234
"""

# A house of several teams: weights, tags, deployments of one team, a cache that compares questions.
SHARED = """\
model_list:
  - model_name: chat
    litellm_params: {model: hosted_vllm/a, api_base: "http://gpu-1:8000/v1", rpm: 900, tags: [default]}
    model_info: {input_cost_per_token: 1e-7, input_cost_per_token_batches: 5e-8}
  - model_name: chat
    litellm_params: {model: hosted_vllm/a, api_base: "http://gpu-2:8000/v1", rpm: 300, tags: [default, eu]}
    model_info: {input_cost_per_token: 2e-7, cache_creation_input_token_cost: 3e-7}
  - model_name: chat
    litellm_params: {model: anthropic/claude, api_key: os.environ/ANTHROPIC_API_KEY, weight: 1, tags: [paid, "a b"]}
  - model_name: chat_team_1
    litellm_params: {model: hosted_vllm/b, api_base: "http://gpu-3:8000/v1"}
    model_info: {team_id: 7f0c-team, team_public_model_name: chat}
  - model_name: vectors
    litellm_params: {model: cohere/embed-v4}
    model_info: {mode: embedding}
  - model_name: order
    litellm_params: {model: cohere/rerank-v3.5}
    model_info: {mode: rerank}
  - model_name: judge
    litellm_params: {model: openai/omni-moderation-latest}
    model_info: {mode: moderation}
  - model_name: auto
    litellm_params:
      model: auto_router/complexity_router
      complexity_router_config: {tiers: {SIMPLE: chat, MEDIUM: chat, COMPLEX: chat, REASONING: chat}}
router_settings:
  routing_strategy: simple-shuffle
  optional_pre_call_checks: [session_affinity, prompt_caching, enforce_model_rate_limits]
  model_group_affinity_config: {chat: [], vectors: [deployment_affinity]}
  enable_tag_filtering: true
  tag_filtering_match_any: true
litellm_settings:
  cache: true
  cache_params:
    type: redis-semantic
    host: os.environ/REDIS_HOST
    port: 6379
    password: os.environ/REDIS_PASSWORD
    ttl: 600
    namespace: mine
    similarity_threshold: 0.95
    redis_semantic_cache_embedding_model: vectors
    supported_call_types: [acompletion, aembedding]
"""

# What goes wrong in one file over a year.
BROKEN = """\
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: sk-proj-abcdefghijklmnopqrstuvwxyz0123456789
      rmp: 100
      rpm: -5
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: sk-proj-abcdefghijklmnopqrstuvwxyz0123456789
      rpm: many
  - model_name: gpt-4o
    litellm_params:
      model: openai/text-embedding-3-small
      api_key: os.environ.OPENAI_KEY
    model_info: {mode: embedding}
  - model_name: typo
    litellm_params:
      model: antropic/claude-3-5-haiku
      api_key: ${ANTHROPIC_API_KEY}
  - model_name: bare
    litellm_params:
      model: meta-llama/Llama-3-8B
      api_base: vllm.internal:8000/v1
      api_key: os.environ/
  - model_name: "*"
    litellm_params:
      model: "*"
  - model_name: openai/*
    litellm_params:
      model: openai/*
  - litellm_params:
      model: openai/gpt-4o-mini
  - model_name: no-params
  - just text
  - model_name: my model (new)
    litellm_params:
      model: openai/gpt-4o-mini
      api_base: ftp://nowhere
  - model_name: my model (old)
    litellm_params:
      model: groq/llama-3.3-70b
router_settings:
  routing_strategy: fastest
  num_retries: 3
  num_retries: 50
  cooldown_time: 0
  alowed_fails: 3
  fallbacks:
    gpt-4o: typo
  default_fallbacks: [openai/gpt-4o-mini, gtp-4o]
  context_window_fallbacks: [{"typo": ["gpt-4o"], "bare": ["gpt-4o"]}, ["x"], "typo"]
litellm_settings:
  num_retries: 1
  fallbacks: [{"typo": ["gpt-4o"]}]
  max_budget: -1
  budget_duration: fortnight
general_settings:
  master_key: my-own-very-secret-key
  database_url: mysql://root:hunter2@db/litellm
  max_parallel_requests: true
modle_list: []
"""
