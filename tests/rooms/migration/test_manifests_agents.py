"""kagent's agents, knowledge and receivers on a cluster as parts of a platform: `hanok import manifests`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rooms.migration.clusters import imported, line_of, loaded, notes, vllm
from tests.rooms.preflight.conftest import SEEDS

SEED, CHALLENGES = SEEDS / "agentic-ai-platform.md", SEEDS / "agentic-ai-challenges.md"
AGENTS = """\
apiVersion: kagent.dev/v1alpha2
kind: ModelConfig
metadata: {name: gpt, namespace: ai}
spec:
  provider: OpenAI
  model: gpt-5-mini
  apiKeySecret: openai
  apiKeySecretKey: OPENAI_API_KEY
  openAI: {temperature: "0.2", maxTokens: 2048, topP: "0.9"}
---
apiVersion: kagent.dev/v1alpha2
kind: ModelConfig
metadata: {name: claude, namespace: ai}
spec: {provider: Anthropic, model: claude-sonnet-5, apiKeySecret: anthropic, apiKeySecretKey: key}
---
apiVersion: kagent.dev/v1alpha2
kind: ModelConfig
metadata: {name: vectors, namespace: ai}
spec: {provider: OpenAI, model: text-embedding-3-small, apiKeySecret: openai, apiKeySecretKey: OPENAI_API_KEY}
---
apiVersion: kagent.dev/v1alpha2
kind: ModelConfig
metadata: {name: own, namespace: ai}
spec: {provider: OpenAI, model: Qwen/Qwen3-8B, openAI: {baseUrl: "http://one.ai/v1"}}
---
apiVersion: kagent.dev/v1alpha2
kind: RemoteMCPServer
metadata: {name: github, namespace: ai}
spec:
  description: Repositories.
  url: https://mcp.example.com/mcp
  timeout: 1m30s
  headersFrom:
    - {name: Authorization, valueFrom: {type: Secret, name: github, key: token}}
    - {name: X-Key, value: very-secret-indeed}
---
apiVersion: kagent.dev/v1alpha2
kind: RemoteMCPServer
metadata: {name: old, namespace: ai}
spec: {description: Old., url: "http://old.ai:8080/sse", protocol: SSE}
---
apiVersion: kagent.dev/v1alpha1
kind: MCPServer
metadata: {name: fetch, namespace: ai}
spec: {transportType: stdio, deployment: {image: "mcp/fetch:1", cmd: uvx, port: 3100}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: prompts, namespace: ai}
data:
  writer: You write.
---
apiVersion: kagent.dev/v1alpha2
kind: Agent
metadata: {name: chief, namespace: ai}
spec:
  type: Declarative
  description: Leads.
  declarative:
    systemMessage: You lead.
    modelConfig: gpt
    deployment: {replicas: 3}
    memory: {modelConfig: vectors, ttlDays: 7}
    tools:
      - type: McpServer
        mcpServer:
          {kind: RemoteMCPServer, name: github, toolNames: [search, merge], requireApproval: [merge]}
      - {type: McpServer, mcpServer: {apiGroup: kagent.dev, kind: MCPServer, name: fetch}}
      - {type: McpServer, mcpServer: {kind: RemoteMCPServer, name: old}}
      - {type: McpServer, mcpServer: {kind: RemoteMCPServer, name: lost}}
      - {type: Agent, agent: {name: writer}}
    a2aConfig: {skills: [{id: a, name: A}]}
---
apiVersion: kagent.dev/v1alpha2
kind: Agent
metadata: {name: writer, namespace: ai}
spec:
  type: Declarative
  declarative:
    systemMessageFrom: {type: ConfigMap, name: prompts, key: writer}
    modelConfig: claude
---
apiVersion: kagent.dev/v1alpha2
kind: Agent
metadata: {name: local, namespace: ai}
spec: {type: Declarative, declarative: {systemMessage: You are here., modelConfig: own}}
---
apiVersion: kagent.dev/v1alpha2
kind: Agent
metadata: {name: alien, namespace: ai}
spec: {type: BYO, byo: {deployment: {image: "mine:1"}}}
"""
OLD_AGENT = """\
apiVersion: kagent.dev/v1alpha1
kind: ModelConfig
metadata: {name: default-model-config, namespace: kagent}
spec: {provider: Ollama, model: qwen3, ollama: {host: "ollama.kagent:11434"}}
---
apiVersion: kagent.dev/v1alpha1
kind: ToolServer
metadata: {name: sums, namespace: kagent}
spec:
  description: Sums.
  config:
    stdio:
      command: uvx
      args: [mcp-sums, "${env:HOME}", --api-key, very-secret-indeed]
      env: {MODE: fast, SUMS_TOKEN: also-secret}
---
apiVersion: kagent.dev/v1alpha1
kind: Agent
metadata: {name: clerk, namespace: kagent}
spec:
  systemMessage: You reckon.
  tools: [{type: McpServer, mcpServer: {toolServer: kagent/sums, toolNames: [add]}}]
"""
INGESTION = """\
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: ingestion, namespace: ai}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: ingest
              image: example.com/ingest:1.0
              env:
                - {name: GIT_REPO, value: "https://bot:very-secret@git.example.com/docs.git"}
                - {name: EMBEDDING_MODEL, value: BAAI/bge-m3}
                - {name: EMBEDDING_URL, value: "http://tei.ai:8080/v1"}
                - {name: COLLECTION_NAME, value: Our docs}
                - {name: MILVUS_HOST, value: milvus.ai}
                - {name: CHUNK_SIZE, value: "800"}
                - {name: CHUNK_OVERLAP, value: "100"}
                - {name: VERBOSE, value: "1"}
"""


def test_agents_of_kagent_become_agents_with_their_models_tools_and_teams(tmp_path: Path) -> None:
    made = imported(tmp_path, AGENTS + vllm("one", args=["--model", "Qwen/Qwen3-8B"]))
    platform = loaded(made).platform
    chief, writer, local = platform.agents
    assert (chief.model, chief.temperature, chief.max_tokens) == ("gpt-5-mini", 0.2, 2048)
    assert (chief.system_prompt, chief.tools, chief.team) == ("You lead.", ["github", "fetch"], ["writer"])
    assert (chief.approvals, chief.scale.max) == (["merge"], 3)
    assert chief.memory.long_term is not None
    assert (chief.memory.long_term.embed, chief.memory.long_term.ttl_s) == ("text-embedding-3-small", 7 * 86_400)
    assert (writer.model, writer.system_prompt) == ("claude-sonnet-5", "You write.")
    assert local.model == "Qwen/Qwen3-8B"
    assert [each.name for each in platform.models].count("Qwen/Qwen3-8B") == 1
    github, fetch = made.platform["tools"]
    headers = {"Authorization": "${env:GITHUB_AUTHORIZATION}", "X-Key": "${env:GITHUB_X_KEY}"}
    assert github["headers"] == headers
    assert (github["timeout_s"], github["include"], github["prefix"]) == (90, ["search", "merge"], False)
    assert (fetch["url"], fetch["private"]) == ("http://fetch.ai:3100/mcp", True)
    assert "very-secret-indeed" not in str(made)


def test_what_hanok_has_not_of_kagents_is_left_with_a_word(tmp_path: Path) -> None:
    made = imported(tmp_path, AGENTS)
    left, wrong = notes(made, "left"), notes(made, "wrong")
    assert "an agent in an image of its own" in left[line_of(AGENTS, "type: BYO")]
    assert "streamable HTTP" in left[line_of(AGENTS, "protocol: SSE")]
    assert "told of Hanok's agents" in left[line_of(AGENTS, "a2aConfig")]
    assert "with a call" in left[line_of(AGENTS, "topP")]
    assert "'lost' is not in these files" in wrong[line_of(AGENTS, "name: lost")].replace('"', "'")
    assert "a secret stands in the file" in wrong[line_of(AGENTS, "very-secret")]


def test_agents_of_kagents_first_version_are_read_too(tmp_path: Path) -> None:
    made = imported(tmp_path, OLD_AGENT)
    (clerk,) = loaded(made).platform.agents
    assert (clerk.model, clerk.system_prompt, clerk.tools) == ("qwen3", "You reckon.", ["sums"])
    assert made.platform["models"][0]["serve"]["url"] == "http://ollama.kagent:11434/v1"
    assert made.platform["tools"][0]["command"] == ["uvx", "mcp-sums", "$ {env:HOME}", "--api-key", "${env:SUMS_KEY}"]
    assert made.platform["tools"][0]["env"] == {"MODE": "fast", "SUMS_TOKEN": "${env:SUMS_TOKEN}"}
    assert not any(each in str(made) for each in ("very-secret-indeed", "also-secret"))


def test_an_agent_whose_model_is_not_in_the_files_is_read_all_the_same(tmp_path: Path) -> None:
    text = OLD_AGENT[OLD_AGENT.index("---") :]
    made = imported(tmp_path, text)
    assert made.platform["agents"][0]["model"] == made.platform["models"][0]["name"] == "default-model-config"
    assert any("is not in these files" in each for each in notes(made, "wrong").values())


def test_a_job_that_embeds_becomes_a_knowledge_base(tmp_path: Path) -> None:
    made = imported(tmp_path, vllm("one", args=["--model", "Qwen/Qwen3-8B"]) + INGESTION)
    platform = loaded(made).platform
    (base,) = platform.knowledge
    assert (base.name, base.schedule) == ("Our-docs", "0 3 * * *")
    assert made.platform["knowledge"][0]["sources"] == [{"git": "${env:GIT_REPO}"}]
    assert "very-secret" not in str(made)
    assert (base.embed.model, platform.milvus.uri) == ("BAAI/bge-m3", "http://milvus.ai:19530")
    assert (base.split[0].size, base.split[0].overlap) == (800, 100)
    assert made.platform["models"][1]["serve"]["url"] == "http://tei.ai:8080/v1"
    assert "the job's own program" in notes(made, "left")[line_of(made_text(tmp_path), "VERBOSE")]


def made_text(folder: Path) -> str:
    return (folder / "all.yaml").read_text()


@pytest.mark.skipif(not SEED.exists(), reason="the article is not here")
def test_an_articles_platform_becomes_one_that_hanok_takes(tmp_path: Path) -> None:
    text = SEED.read_text("utf-8")
    made = imported(tmp_path, text, "article.md")
    platform = loaded(made).platform
    (agent,) = platform.agents
    assert (agent.model, agent.tools) == ("llama3-70b", ["web_search", "document_search", "calculator"])
    assert (agent.memory.ttl_s, agent.scale.min, agent.scale.max) == (3600, 2, 10)
    assert [each.type for each in platform.tools] == ["http", "knowledge", "python"]
    assert platform.tools[2].description == "Perform calculations"
    llama = platform.models[0]
    assert llama.fallbacks.error == ["gpt-4o", "claude-3-5-sonnet"]
    assert llama.deploy is not None
    assert (llama.deploy.weights, llama.deploy.context_tokens) == ("meta-llama/Meta-Llama-3-70B-Instruct", 8192)
    assert llama.deploy.gpu == []  # the pool's machines are too small
    assert llama.serve[0].engine == "openai" and llama.serve[0].key is None
    (base,) = platform.knowledge
    assert (base.embed.dimensions, base.index.type, base.index.ef_construction) == (1536, "HNSW", 256)
    assert [each.strategy for each in base.split] == ["fixed", "semantic", "fixed", "token"]
    assert platform.telemetry.export[0].to == "langfuse"
    assert platform.milvus.uri == "http://milvus-cluster-milvus.ai-data:19530"


FAULTS = {
    "image: vllm/vllm-openai": "has the engine that vLLM has left",
    '- "--trust-remote-code"': "needs no code of its own",
    "claimName: model-cache-pvc": "does not exist",
    "HUGGING_FACE_HUB_TOKEN": "old name of HF_TOKEN",
    "VLLM_ATTENTION_BACKEND": "not read any more",
    '- "--swap-space"': "is gone",
    "image: llm-d/prefill": "never published",
    "mountPath: /app/config.yaml": "not told of",
    "- model: llama3-70b": "exactly one key",
    "anthropic/claude-3-5-sonnet": "not served any more",
    "redis_host": "nothing answers there",
    "success_callback": "sends nothing without",
    "indexNode:": "no index nodes",
    "image: ai-platform/document-ingestion": "stand-in",
    "text-embedding-3-large": "vectors of 3072, and the collection takes 1536",
    "apiVersion: kagent.dev/v1alpha1": "outdated",
    "type: milvus": "kagent has none such",
    "  llm:": "kagent's Agent has no `llm`",
    "autoscaling:": "kagent's Agent has no `autoscaling`",
    "type: redis": "kagent has no memory of type",
    "consolidationPolicy: WhenEmptyOr": "evicts Deployment ai-inference/vllm-llama3-70b",
    "name: vllm-llama3-70b": "nothing keeps a drain of nodes",
    "return str(eval": "runs code here",
    "image: langfuse/langfuse": "ClickHouse",
}


@pytest.mark.skipif(not SEED.exists(), reason="the article is not here")
def test_what_is_wrong_in_the_article_is_told_with_its_line(tmp_path: Path) -> None:
    text = SEED.read_text("utf-8")
    wrong = notes(imported(tmp_path, text, "article.md"), "wrong")
    for part, said in FAULTS.items():
        line = line_of(text, part)
        assert said in "".join(wrong.get(each, "") for each in range(line - 2, line + 1)), part
    assert "no node takes it" in wrong[390]
    assert "is not served" in wrong[line_of(text, "inference.networking.x-k8s.io/v1alpha1")]


@pytest.mark.skipif(not CHALLENGES.exists(), reason="the article is not here")
def test_the_other_articles_gateway_becomes_a_platform(tmp_path: Path) -> None:
    text = CHALLENGES.read_text("utf-8")
    made = imported(tmp_path, text, "article.md")
    assert [each["name"] for each in made.platform["models"]] == ["gpt-4", "claude-3", "llama-70b"]
    wrong = notes(made, "wrong")
    assert "enable_fallbacks" in wrong[line_of(text, "enable_fallbacks")]
    assert any("the pods have no labels" in each for each in wrong.values())
