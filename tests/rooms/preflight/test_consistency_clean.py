"""A platform in which everything agrees: consistency has nothing to say of it, but that tags are no digests."""

from __future__ import annotations

from tests.rooms.preflight.conftest import Look
from tests.rooms.preflight.consistency_samples import alert, board_of, config, engine, gateway, pod, together

PROBED = """
ports: [{name: http, containerPort: 8000}]
startupProbe: {httpGet: {path: /health, port: http}, failureThreshold: 120}
readinessProbe: {httpGet: {path: /v1/models, port: 8000}}
"""
MODELS = """
model_list:
  - model_name: qwen3
    litellm_params:
      model: hosted_vllm/qwen3
      api_base: http://qwen.default.svc.cluster.local:8000/v1
      api_key: none
    model_info: {max_tokens: 8192, input_cost_per_token: 0.0000001}
  - model_name: embed
    litellm_params: {model: openai/text-embedding-3-large, api_key: os.environ/OPENAI_API_KEY}
  - model_name: spare
    litellm_params: {model: anthropic/claude-sonnet-5-5, api_key: os.environ/ANTHROPIC_API_KEY}
router_settings:
  routing_strategy: simple-shuffle
  num_retries: 2
  fallbacks: [{qwen3: [spare]}]
litellm_settings:
  callbacks: [langfuse_otel, prometheus]
  context_window_fallbacks: [{qwen3: [spare]}]
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
"""
GIVEN = (
    "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "LITELLM_MASTER_KEY", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY",
    "LANGFUSE_HOST",
)  # fmt: skip
RAG = {
    "OPENAI_BASE_URL": "http://gateway:4000/v1",
    "OPENAI_MODEL": "qwen3",
    "EMBEDDING_MODEL": "text-embedding-3-large",
    "MILVUS_URI": "http://vectors-milvus:19530",
    "COLLECTION_NAME": "manuals",
    "VECTOR_DIM": "3072",
    "MAX_TOKENS": "2048",
    "LOG_LEVEL": "info",
}
MONITOR = """
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: engines}
spec:
  selector: {matchLabels: {app: qwen}}
  podMetricsEndpoints: [{port: http}]
"""
SCALED = """
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: qwen}
spec:
  scaleTargetRef: {name: qwen}
  triggers:
    - type: prometheus
      metadata: {serverAddress: "http://prometheus:9090", query: "sum(vllm:num_requests_waiting)", threshold: "5"}
"""
QUEUES = "sum by (model_name) (vllm:num_requests_waiting) > 20 and on () sum(rate(vllm:request_success_total[5m])) < 1"


def test_a_platform_that_agrees_with_itself_is_clean(look: Look) -> None:
    report = look(
        together(
            engine("Qwen/Qwen3-8B", "--served-model-name", "qwen3", "--max-model-len", "8192", more=PROBED),
            gateway({name: f"$({name}_FROM_SECRET)" for name in GIVEN}),
            config(MODELS),
            pod("registry.acme.dev/ingest:1.2.0", name="ingest", env=RAG),
            pod("registry.acme.dev/search:1.2.0", name="search", env=RAG),
            config('FieldSchema(name="vector", dtype=DataType.FLOAT_VECTOR, dim=3072)', name="schema", key="schema.py"),
            alert(QUEUES),
            MONITOR,
            SCALED,
            board_of({"expr": 'rate(vllm:prompt_tokens_total{model_name=~"$model"}[$__rate_interval])'}),
        )
    )
    told = [f"{each.rule.id} {each.message}" for each in report.findings if each.layer == "consistency"]
    assert [each for each in told if not each.startswith("HK552")] == []
