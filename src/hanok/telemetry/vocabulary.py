"""What spans call things: every attribute under the names that a style asks for, and what tools call an operation.

Names: OpenTelemetry's GenAI conventions, and what Langfuse, LangSmith, MLflow and Phoenix read besides
(docs/telemetry.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from hanok.telemetry.protobuf import Attribute

NameStyle = Literal["current", "old", "both"]


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What the tools call an operation."""

    name: str
    langfuse: str
    langsmith: str
    mlflow: str
    openinference: str


KINDS = {
    "chat": Kind(name="chat", langfuse="generation", langsmith="llm", mlflow="CHAT_MODEL", openinference="LLM"),
    "text": Kind(name="text_completion", langfuse="generation", langsmith="llm", mlflow="LLM", openinference="LLM"),
    "embedding": Kind(
        name="embeddings", langfuse="embedding", langsmith="embedding", mlflow="EMBEDDING", openinference="EMBEDDING"
    ),
    "rerank": Kind(
        name="rerank", langfuse="retriever", langsmith="retriever", mlflow="RERANKER", openinference="RERANKER"
    ),
    "moderation": Kind(
        name="moderation", langfuse="guardrail", langsmith="chain", mlflow="GUARDRAIL", openinference="GUARDRAIL"
    ),
    "invoke_agent": Kind(
        name="invoke_agent", langfuse="agent", langsmith="chain", mlflow="AGENT", openinference="AGENT"
    ),
    "execute_tool": Kind(name="execute_tool", langfuse="tool", langsmith="tool", mlflow="TOOL", openinference="TOOL"),
    "retrieval": Kind(
        name="retrieval", langfuse="retriever", langsmith="retriever", mlflow="RETRIEVER", openinference="RETRIEVER"
    ),
}


class Vocabulary:
    """Every attribute, under the names that a style asks for: those without a change of name, today's, former ones."""

    def __init__(self, style: NameStyle) -> None:
        def names(*same: str, now: Iterable[str] = (), old: Iterable[str] = ()) -> Attribute:
            return Attribute(*same, *(now if style != "old" else ()), *(old if style != "current" else ()))

        self.operation = names("gen_ai.operation.name")
        self.provider = names(now=["gen_ai.provider.name"], old=["gen_ai.system", "llm.provider"])
        self.asked_model = names("gen_ai.request.model", old=["llm.model_name"])
        self.model = names("gen_ai.response.model")
        self.stream = names(now=["gen_ai.request.stream"], old=["llm.is_streaming"])
        self.error = names("error.type")
        self.langfuse_type = names("langfuse.observation.type")
        self.langsmith_kind = names("langsmith.span.kind")
        self.mlflow_type = names("mlflow.spanType")
        self.openinference_kind = names(old=["openinference.span.kind"])
        self.key = names("hanok.key")
        self.team = names("hanok.team")
        self.endpoint = names("hanok.endpoint")
        self.status = names("hanok.status")
        self.estimated = names("hanok.usage.estimated")
        self.run = names("hanok.run")
        self.tier = names("hanok.tier")
        self.asked = names("hanok.asked_model")
        self.classifier = names("hanok.classifier")
        self.saved = names("hanok.saved_usd")
        self.request_id = names("hanok.request_id")
        self.session = names("session.id", "langsmith.metadata.session_id", now=["gen_ai.conversation.id"])
        self.user = names("user.id")
        self.input_tokens = names(
            now=["gen_ai.usage.input_tokens"], old=["gen_ai.usage.prompt_tokens", "llm.token_count.prompt"]
        )
        self.output_tokens = names(
            now=["gen_ai.usage.output_tokens"], old=["gen_ai.usage.completion_tokens", "llm.token_count.completion"]
        )
        self.total_tokens = names(old=["llm.usage.total_tokens", "llm.token_count.total"])
        self.cached_tokens = names(
            now=["gen_ai.usage.cache_read.input_tokens"], old=["llm.token_count.prompt_details.cache_read"]
        )
        self.cache_write_tokens = names(now=["gen_ai.usage.cache_creation.input_tokens"])
        self.langfuse_usage = names("langfuse.observation.usage_details")
        self.cost = names("gen_ai.usage.cost", old=["llm.cost.total"])
        self.langfuse_cost = names("langfuse.observation.cost_details")
        self.mlflow_cost = names("mlflow.llm.cost")
        self.first_chunk = names(now=["gen_ai.response.time_to_first_chunk"])
        self.langfuse_first = names("langfuse.observation.completion_start_time")
        self.input = names(now=["gen_ai.input.messages"], old=["input.value", "gen_ai.prompt"])
        self.output = names(now=["gen_ai.output.messages"], old=["output.value", "gen_ai.completion"])
        self.response_id = names("gen_ai.response.id")
        self.finish_reasons = names("gen_ai.response.finish_reasons")
        self.agent_name = names("gen_ai.agent.name")
        self.agent_id = names("gen_ai.agent.id")
        self.agent_description = names("gen_ai.agent.description")
        self.tool_name = names("gen_ai.tool.name", old=["tool.name"])
        self.tool_type = names("gen_ai.tool.type")
        self.tool_call_id = names("gen_ai.tool.call.id")
        self.tool_arguments = names(now=["gen_ai.tool.call.arguments"], old=["input.value"])
        self.tool_result = names(now=["gen_ai.tool.call.result"], old=["output.value"])
        self.data_source = names("gen_ai.data_source.id")
        self.top_k = names("gen_ai.retrieval.top_k")
        self.query = names(now=["gen_ai.retrieval.query.text"], old=["input.value"])
        self.documents = names(now=["gen_ai.retrieval.documents"], old=["output.value"])
        self.passages = names("hanok.retrieval.passages")
        self.run_state = names("hanok.run.state")
        self.run_attempt = names("hanok.run.attempt")
        self.run_worked_s = names("hanok.run.worked_s")
        self.run_steps = names("hanok.run.steps")
        self.run_tool_calls = names("hanok.run.tool_calls")
        self.run_input_tokens = names("hanok.run.input_tokens")
        self.run_output_tokens = names("hanok.run.output_tokens")
        self.run_usd = names("hanok.run.usd")
