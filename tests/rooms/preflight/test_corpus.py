"""Every fault that is known of two articles, and the finding that tells of it; and a platform without one.

Each row of the table is one fault, in our own words: the article, what it is about (an object, or the text of the line
where no object is), the rule that finds it, and words of the message.

Out of reach, since no YAML shows it: the articles' tables of prices, of MIG profiles (their SM counts, a 70B model on
7g.80gb, the names of an A100-80GB's profiles on p4d) and of GPUs by model; comments (95 % of the memory "for the
cache", 8 H100 for a 405B model, the default size of blocks); commands in shell blocks (`helm install --values` of a
file of manifests, the Helm repository of Milvus' operator); what prose promises (kgateway as the pool's Gateway, an
autoscaler, quotas of the account: `--quotas` gives those); a price list of DCGM metrics without a query; Python beyond
the size of vectors (imports that are gone, a variable that is not there, a cache that is keyed by the prompt alone);
whether a batch would do better by a batch API; Training Operator v1 and the age of DRA, which are named in prose.

No fault where they stand: `--model`, chunked prefill and cached prefixes at vLLM 0.6.4, which reads its model so and
has neither by default; 64 GiB of shared memory within 200 GiB; `instance-gpu-count` above 0, which only says it twice.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from hanok.preflight import Case, Finding, Report, gather, preflight
from hanok.preflight.findings import order
from hanok.preflight.schema.load import load_custom
from tests.rooms.preflight.conftest import CRDS, SEEDS, facts

PLATFORM, CHALLENGES = "agentic-ai-platform.md", "agentic-ai-challenges.md"
CORRECTED = Path(__file__).parents[2] / "data" / "corrected_platform.yaml"

VLLM, PREFILL, DECODE = "Deployment ai-inference/vllm-llama3-70b", "Deployment default/llm-d-prefill", "llm-d-decode"
OPERATOR, SHARING, LAYOUTS = "HelmRelease gpu-operator/gpu-operator", "time-slicing-config", "mig-parted-config"
LITELLM, ROUTES = "Deployment ai-gateway/litellm-gateway", "ConfigMap ai-gateway/litellm-config"
MILVUS, AGENT, LANGFUSE = "Milvus ai-data/milvus-cluster", "research-agent", "Deployment ai-monitoring/langfuse"
NEEDS_CRDS = frozenset({
    "EC2NodeClass without an AMI", "agent: no llm", "agent: no systemPrompt", "agent: tools have no code",
    "agent: http is no kind of tool", "agent: milvus is no kind of tool", "agent: python is no kind of tool",
    "agent: memory is a list", "agent: no autoscaling", "agent: no replicas", "agent: no resources",
    "spot pool without a node class",
})  # fmt: skip

FAULTS = (
    # The GPU operator, MIG and time-slicing
    ("MIG strategy in a ConfigMap", "gpu-operator-config", "HK458", "nobody reads"),
    ("operator of long ago", OPERATOR, "HK450", "v24.9.0"),
    ("chart without its repository", OPERATOR, "HK243", "nvidia"),
    ("time-slicing on every GPU node", OPERATOR, "HK451", "every node without a label"),
    ("two MIG strategies", SHARING, "HK452", "mixed"),
    ("driver and toolkit installed twice", OPERATOR, "HK453", "driver, toolkit"),
    ("MIG layouts that no manager is told of", LAYOUTS, "HK456", "migManager.config.name"),
    ("MIG layouts that no node takes", LAYOUTS, "HK315", "nvidia.com/mig.config"),
    ("no pool with GPUs that can be sliced", LAYOUTS, "HK315", "no instance type of any pool"),
    ("MIG on one GPU of eight", LAYOUTS, "HK454", "one GPU alone"),
    ("label with the ConfigMap's name", "Node gpu-node-1", "HK312", "own name"),
    ("node written by hand", "Node gpu-node-1", "HK316", "Karpenter"),
    ("four turns for four GPUs, as configured", SHARING, "HK457", "4 turns on one"),
    ("four turns for four GPUs, in the pod", VLLM, "HK313", "one and the same GPU"),
    ("shares that Karpenter does not see", "NodePool gpu-inference", "HK314", "Karpenter counts 1"),
    ("GPU load that names no pod", SHARING, "HK459", "not by pod"),
    # Nodes
    ("70B engine that no node takes", VLLM, "HK301", "4 nvidia.com/gpu, 32 CPU, 200 GiB"),
    ("pool of one GPU a node", VLLM, "HK301", "leaves 1 nvidia.com/gpu"),
    ("model servers moved to save money", "NodePool gpu-inference", "HK615", "loads the model again"),
    ("taint that Milvus does not tolerate", MILVUS, "HK310", "nvidia.com/gpu=true:NoSchedule"),
    ("EC2NodeClass without an AMI", "EC2NodeClass gpu-nodes", "HK102", "amiSelectorTerms"),
    ("variable that nobody fills in", "EC2NodeClass gpu-nodes", "HK006", "CLUSTER_NAME"),
    ("spot pool without a node class", "NodePool gpu-spot", "HK102", "nodeClassRef"),
    ("spot pool that nobody tolerates", "NodePool gpu-spot", "HK305", "spot-instance"),
    ("spot pool without the label", VLLM, "HK301", "the pool has no such label"),
    # The engine
    ("vLLM of the old engine", VLLM, "HK406", "v0.6.4"),
    ("attention backend by a variable", VLLM, "HK408", "VLLM_ATTENTION_BACKEND"),
    ("old name of the token", VLLM, "HK409", "HF_TOKEN"),
    ("what 70B would take", VLLM, "HK427", "g6e.12xlarge (4 × NVIDIA L40S"),
    ("code that is trusted without need", VLLM, "HK405", "needs no code of its own"),
    ("claim that is not there", VLLM, "HK204", "model-cache-pvc"),
    ("token's Secret that nobody makes", VLLM, "HK203", "huggingface-token"),
    ("fixed delays for a startup probe", VLLM, "HK436", "300 s"),
    ("engine without a disruption budget", VLLM, "HK611", "2 replicas"),
    ("answers cut off", VLLM, "HK620", "30 s"),
    ("engine that nobody watches", VLLM, "HK540", "no monitor for this engine"),
    ("Llama of two generations ago", VLLM, "HK543", "two generations"),
    ("engine that may be root", VLLM, "HK626", "root"),
    ("swap space is gone", '- "--swap-space"', "HK402", "is gone"),
    ("block size is chosen", '- "--block-size"', "HK403", "attention backend"),
    ("prefixes are cached anyway", '- "--enable-prefix-caching"', "HK403", "unless"),
    ("chunks are cut anyway", '- "--enable-chunked-prefill"', "HK403", "unless"),
    # llm-d
    ("no image llm-d/prefill", PREFILL, "HK553", "never published"),
    ("no image llm-d/decode", DECODE, "HK553", "never published"),
    ("no flag --role: prefill", PREFILL, "HK401", "--role"),
    ("no flag --role: decode", DECODE, "HK401", "--role"),
    ("no flag --prefill-endpoint", DECODE, "HK401", "--prefill-endpoint"),
    ("prefill without a selector", PREFILL, "HK102", "spec.selector"),
    ("decode without a selector", DECODE, "HK102", "spec.selector"),
    ("prefill: request without its limit", PREFILL, "HK126", "without the same limit"),
    ("decode: request without its limit", DECODE, "HK126", "without the same limit"),
    ("prefill that nothing behind", DECODE, "HK231", "llm-d-prefill"),
    ("prefill on one GPU of four", PREFILL, "HK424", "the others are idle"),
    # The way in
    (
        "InferencePool of a group that was",
        "InferencePool ai-inference/llama3-pool",
        "HK108",
        "inference.networking.k8s",
    ),
    ("EndpointPicker is no kind", "EndpointPicker", "HK109", "no such kind"),
    ("route to the pool's old group", "HTTPRoute ai-inference/llama3-route", "HK216", "since v1"),
    ("Gateway that is not there", "HTTPRoute ai-inference/llama3-route", "HK217", "ai-gateway"),
    ("header that clients do not send", "HTTPRoute ai-inference/llama3-route", "HK230", "x-model"),
    # LiteLLM
    ("LiteLLM is not told of its file", LITELLM, "HK253", "--config"),
    ("fallbacks of two keys", ROUTES, "HK515", "exactly one key"),
    ("Claude that is served no more", ROUTES, "HK542", "claude-3-5-sonnet-20241022"),
    ("price of gpt-4o", ROUTES, "HK541", "5/15"),
    ("Redis that is not there", ROUTES, "HK231", "no Service redis in ai-gateway"),
    ("8B engine that is not there", ROUTES, "HK231", "vllm-llama3-8b"),
    ("Langfuse without keys", ROUTES, "HK519", "LANGFUSE_PUBLIC_KEY"),
    ("route past the pool", ROUTES, "HK514", "llama3-pool"),
    ("OpenAI's key is not given", ROUTES, "HK520", "OPENAI_API_KEY"),
    ("Anthropic's key is not given", ROUTES, "HK520", "ANTHROPIC_API_KEY"),
    ("LiteLLM without probes", LITELLM, "HK624", "as soon as its process runs"),
    ("LiteLLM of long ago", LITELLM, "HK558", "1.55.0"),
    ("LiteLLM without a disruption budget", LITELLM, "HK611", "3 replicas"),
    # Vectors
    ("index nodes are gone", MILVUS, "HK571", "no index nodes"),
    ("GPU without CUDA", MILVUS, "HK572", "CUDA"),
    ("Pulsar is not needed", MILVUS, "HK574", "Pulsar"),
    ("vectors on volumes, on AWS", MILVUS, "HK573", "volumes"),
    ("Milvus by another name", "document-ingestion", "HK231", "milvus-cluster-proxy"),
    ("vectors of another size", "document-ingestion", "HK501", "3072"),
    ("vectors of another size, in code", "text-embedding-3-large", "HK501", "3072"),
    ("ingestion's image is a stand-in", "document-ingestion", "HK554", "stand-in"),
    # The agent
    ("agent: outdated version", AGENT, "HK112", "v1alpha2"),
    ("agent: no llm", AGENT, "HK101", "spec.llm"),
    ("agent: no systemPrompt", AGENT, "HK101", "spec.systemPrompt"),
    ("agent: tools have no code", AGENT, "HK101", "spec.tools[2].spec"),
    ("agent: http is no kind of tool", AGENT, "HK104", '"http"'),
    ("agent: milvus is no kind of tool", AGENT, "HK104", '"milvus"'),
    ("agent: python is no kind of tool", AGENT, "HK104", '"python"'),
    ("agent: memory is a list", AGENT, "HK103", "spec.memory"),
    ("agent: no resources", AGENT, "HK101", "spec.resources"),
    ("agent: no replicas", AGENT, "HK101", "spec.replicas"),
    ("agent: no autoscaling", AGENT, "HK101", "spec.autoscaling"),
    ("agent: eval of what a model wrote", AGENT, "HK564", "eval"),
    ("agent: Redis that is not there", AGENT, "HK231", "redis"),
    # Traces and metrics
    ("Langfuse without its stores", LANGFUSE, "HK556", "ClickHouse"),
    ("Langfuse of any version", LANGFUSE, "HK551", "latest"),
    ("Langfuse without probes", LANGFUSE, "HK624", "as soon as its process runs"),
    ("two DCGM exporters", "dcgm-exporter", "HK538", "twice"),
    ("DCGM exporter of long ago", "dcgm-exporter", "HK558", "3.3.5"),
    ("monitor that nothing here reads", "ServiceMonitor gpu-monitoring/dcgm-exporter", "HK227", "monitors"),
    # Batches, tests
    ("batch's image is a stand-in", "batch-inference", "HK554", "stand-in"),
    ("batch's Redis is not there", "batch-inference", "HK231", "redis in ai-batch"),
    ("evaluation's image is a stand-in", "ragas-evaluation", "HK554", "stand-in"),
    ("evaluation without Langfuse's keys", "ragas-evaluation", "HK519", "LANGFUSE_SECRET_KEY"),
    ("evaluation of a Service that is not there", "ragas-evaluation", "HK231", "rag-api"),
    ("A/B test that nobody reads", "ab-testing-config", "HK251", "names it"),
    # Everywhere
    ("no Namespace", VLLM, "HK209", "ai-inference"),
    ("no NetworkPolicy, no ResourceQuota", VLLM, "HK625", "no NetworkPolicy and no ResourceQuota"),
    ("no spread over nodes", VLLM, "HK613", "one node"),
    ("no securityContext", LANGFUSE, "HK626", "root"),
    ("no disruption budget for decode", DECODE, "HK611", "4 replicas"),
)

OTHER_FAULTS = (
    ("LiteLLM's pods have no labels", "litellm-proxy", "HK121", "no labels"),
    ("Langfuse's pods have no labels", "langfuse-web", "HK121", "no labels"),
    ("the router's pods have no labels", "llm-d-router", "HK121", "no labels"),
    ("LiteLLM is not told of its file", "litellm-proxy", "HK253", "--config"),
    ("enable_fallbacks is no setting", "litellm-config", "HK517", "enable_fallbacks"),
    ("gpt-4 is served no more", "litellm-config", "HK542", "gpt-4"),
    ("Claude 3 is served no more", "litellm-config", "HK542", "claude-3-opus"),
    ("keys are not given", "litellm-config", "HK520", "OPENAI_API_KEY"),
    ("Redis that is not there", "litellm-proxy", "HK231", "redis-cache"),
    ("Langfuse without its stores", "langfuse-web", "HK556", "ClickHouse"),
    ("a router that is none", "llm-d-router", "HK557", "ROUTING_STRATEGY"),
    ("an image of Ragas", "ragas-evaluation", "HK553", "Python package"),
    ("evaluation without Langfuse's keys", "ragas-evaluation", "HK519", "LANGFUSE_PUBLIC_KEY"),
)
TABLE = [(PLATFORM, *each) for each in FAULTS] + [(CHALLENGES, *each) for each in OTHER_FAULTS]


@cache
def report(path: Path) -> Report:
    """The report on a file, held to the schemas of custom kinds where they are here."""
    if not path.is_file():
        pytest.skip(f"{path.name} is not here")
    known = {"custom": load_custom([CRDS])} if CRDS.is_dir() else {}
    return preflight(Case(cluster=gather([path]).cluster, facts=facts(**known)))


def about(finding: Finding, what: str, lines: list[str]) -> bool:
    """Whether a finding is about an object, or about a line with this text."""
    if finding.object:
        return finding.object.endswith(what) or finding.object.startswith(what)
    return any(what in line for line in lines[finding.line - 1 : finding.line + 1])


@pytest.mark.parametrize(
    ("article", "fault", "what", "rule", "words"), TABLE, ids=[f"{one[:-3]}: {fault}" for one, fault, *_ in TABLE]
)
def test_a_known_fault_is_found(article: str, fault: str, what: str, rule: str, words: str) -> None:
    found = report(SEEDS / article).findings
    if fault in NEEDS_CRDS and not CRDS.is_dir():
        pytest.skip(f"{CRDS} is not there: schemas of custom kinds")
    lines = (SEEDS / article).read_text("utf-8").splitlines()
    told = [each for each in found if each.rule.id == rule and about(each, what, lines)]
    assert [each for each in told if words in each.message], [each.message for each in told]


def test_faults_are_named_once() -> None:
    assert len({(article, fault) for article, fault, *_ in TABLE}) == len(TABLE)
    assert {fault for _, fault, *_ in TABLE} >= NEEDS_CRDS


@pytest.mark.parametrize("article", [PLATFORM, CHALLENGES])
def test_no_error_of_an_article_is_outside_of_what_is_known(article: str) -> None:
    """What refutes an article is one of the faults above, or of the same rule."""
    known = {rule for name, _, _, rule, _ in TABLE if name == article}
    told = {each.rule.id for each in report(SEEDS / article).findings if each.severity == "error"}
    assert told - known == set()


def test_the_gravest_cause_is_the_engine_that_no_node_takes() -> None:
    first = report(SEEDS / PLATFORM).refuting[0]
    assert (first.rule.id, first.object) == ("HK301", VLLM)


OVERLAPS = (
    {"HK104", "HK575"}, {"HK251", "HK456"}, {"HK251", "HK458"}, {"HK539", "HK540"}, {"HK553", "HK551"},
    {"HK553", "HK557"}, {"HK437", "HK624"}, {"HK121", "HK211"},
)  # fmt: skip
"""Rules that could tell of one fault: never both of one object."""


@pytest.mark.parametrize("article", [PLATFORM, CHALLENGES])
def test_one_fault_is_told_once(article: str) -> None:
    if not CRDS.is_dir():
        pytest.skip(f"{CRDS} is not there: schemas of custom kinds")
    told: dict[str, set[str]] = {}
    for each in report(SEEDS / article).findings:
        told.setdefault(each.object, set()).add(each.rule.id)
    twice = [(name, both) for name, rules in told.items() for both in OVERLAPS if both <= rules]
    assert twice == []


# --- The corrected platform -------------------------------------------------------------------------------------------


def said(found: Report) -> list[str]:
    return [f"{each.rule.id} {each.object}: {each.message}" for each in sorted(found.findings, key=order)]


def test_the_corrected_platform_has_no_error_and_no_warning() -> None:
    found = report(CORRECTED)
    assert [each for each in said(found) if not re.match(r"HK(107|210|427|552|626) ", each)] == []
    assert [each.rule.id for each in found.findings if each.severity != "info" and not each.rule.open] == []


def test_of_the_corrected_platform_only_what_is_not_in_it_is_unknown() -> None:
    found = report(CORRECTED)
    assert found.verdict == "unknown"
    assert {(each.rule.id, each.object.split()[0]) for each in found.missing} <= {
        ("HK107", kind) for kind in (
            "ExternalSecret", "ClusterSecretStore", "HelmRelease", "HelmRepository", "OCIRepository", "EC2NodeClass",
            "NodePool", "ServiceMonitor", "PrometheusRule", "Gateway", "HTTPRoute", "InferencePool", "Milvus",
        )
    } | {("HK210", "Gateway")}  # fmt: skip


def test_the_corrected_engines_stand_where_they_were_meant_to() -> None:
    case = report(CORRECTED).case
    (engine,) = [each for each in case.workloads if each.manifest.name == "llama-70b"]
    assert {seat.instance for seat in case.placement.seats[engine]} >= {"g6e.12xlarge"}


SLIPS = (
    ("memory: 240Gi", "memory: 2400Gi", "HK301"),
    ("nodeSelector: {workload: engines}", "nodeSelector: {workload: engine}", "HK301"),
    ("operator: Exists, effect: NoSchedule", "value: gpus, effect: NoSchedule", "HK310"),
    ("--tensor-parallel-size=4", "--tensor-parallel-size=2", "HK420"),
    ("--served-model-name=llama-70b", "--served-model-name=llama", "HK511"),
    ("accessModes: [ReadWriteMany]", "accessModes: [ReadWriteOnce]", "HK205"),
    ("- llama-70b: [gpt-4o]", "- {model: llama-70b, fallback_models: [gpt-4o]}", "HK515"),
    ('"--config", /app/config.yaml, ', "", "HK253"),
    ("HelmRepository, name: nvidia", "HelmRepository, name: nvidia-charts", "HK243"),
    ("[{group: inference.networking.k8s.io", "[{group: inference.networking.x-k8s.io", "HK216"),
    ("path: {type: PathPrefix, value: /v1}", "headers: [{name: x-model, value: llama-70b}]", "HK230"),
    ("vectors-milvus.data", "vectors-proxy.data", "HK231"),
    ("models, labels: {release: prometheus}", "models", "HK226"),
    ("selector: {matchLabels: {app: litellm}}\n---", "selector: {matchLabels: {app: lite}}\n---", "HK611"),
)


@pytest.mark.parametrize(("right", "wrong", "rule"), SLIPS)
def test_a_slip_in_the_corrected_platform_is_found(right: str, wrong: str, rule: str, tmp_path: Path) -> None:
    text = CORRECTED.read_text("utf-8")
    assert right in text
    (tmp_path / "all.yaml").write_text(text.replace(right, wrong), "utf-8")
    found = preflight(Case(cluster=gather([tmp_path]).cluster, facts=facts()))
    assert rule in [each.rule.id for each in found.findings]


NEAR = (
    ("path: {type: PathPrefix, value: /v1}",
     "headers: [{name: X-Gateway-Model-Name, value: llama-70b}]", "HK230"),
    ("[{path: {type: PathPrefix, value: /v1}}]",
     "[{headers: [{name: x-model, value: a}]}, {path: {type: PathPrefix, value: /v1}}]", "HK230"),
    ("kind: ServiceMonitor\nmetadata: {name: llama-70b, namespace: models,",
     "kind: ServiceMonitor\nmetadata: {name: engines, namespace: models,", "HK540"),
    ("labels: {app: llama-70b}}\n    spec:\n",
     "labels: {app: llama-70b}, annotations: {prometheus.io/scrape: 'true'}}\n    spec:\n", "HK540"),
    ("openai/llama-70b", "openai/*", "HK511"),
)  # fmt: skip


@pytest.mark.parametrize(("right", "other", "rule"), NEAR)
def test_what_is_nearly_a_fault_is_left_alone(right: str, other: str, rule: str, tmp_path: Path) -> None:
    text = CORRECTED.read_text("utf-8")
    assert right in text
    (tmp_path / "all.yaml").write_text(text.replace(right, other), "utf-8")
    found = preflight(Case(cluster=gather([tmp_path]).cluster, facts=facts()))
    assert rule not in [each.rule.id for each in found.findings]
