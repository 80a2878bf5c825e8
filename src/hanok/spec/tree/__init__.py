"""platform.yaml as one frozen tree, a file for each subject.

Every key has a default that works on a laptop and a description with its unit; the JSON schema (`hanok schema`) and
docs/platform-yaml.md are generated from here. Unknown keys are refused.
"""

from hanok.spec.tree.batches import Batches, BatchWindow, Time
from hanok.spec.tree.caches import Cache, ModelCache, Semantic, Share
from hanok.spec.tree.deploys import Deploy, PlannedLatency, PlannedLoad
from hanok.spec.tree.endpoints import (
    ADJUSTABLE,
    EchoEndpoint,
    Endpoint,
    LiteLLMEndpoint,
    LlamaCppEndpoint,
    OpenAIEndpoint,
    ScriptEndpoint,
    SentenceEncoderEndpoint,
    Turn,
    VllmEndpoint,
)
from hanok.spec.tree.gateway import Gateway, KeptResponses
from hanok.spec.tree.knowledge import (
    SPLITS,
    Answering,
    DocumentType,
    Embedding,
    Index,
    IndexType,
    Knowledge,
    Metric,
    Milvus,
    Parsing,
    Recipe,
    Retrieve,
    Source,
    SourceKind,
    Split,
    Strategy,
    Terms,
    VectorStores,
)
from hanok.spec.tree.models import Model, ModelType
from hanok.spec.tree.money import Allowance, Budget, Limit, Period, Price, Rates, Unit
from hanok.spec.tree.people import Scope, Team, User
from hanok.spec.tree.platform import Loaded, Platform
from hanok.spec.tree.records import Books, Export, Telemetry
from hanok.spec.tree.routing import Breaker, Fallbacks, HeaderRule, Hedge, Policy, Queue, Routing, Timeouts
from hanok.spec.tree.tiers import Auto, TierCue, TierExamples, TierName, TierRules
from hanok.spec.tree.values import HttpUrl, Name, Number, Tag, Tree, Whole

__all__ = [
    "ADJUSTABLE",
    "SPLITS",
    "Allowance",
    "Answering",
    "Auto",
    "BatchWindow",
    "Batches",
    "Books",
    "Breaker",
    "Budget",
    "Cache",
    "Deploy",
    "DocumentType",
    "EchoEndpoint",
    "Embedding",
    "Endpoint",
    "Export",
    "Fallbacks",
    "Gateway",
    "HeaderRule",
    "Hedge",
    "HttpUrl",
    "Index",
    "IndexType",
    "KeptResponses",
    "Knowledge",
    "Limit",
    "LiteLLMEndpoint",
    "LlamaCppEndpoint",
    "Loaded",
    "Metric",
    "Milvus",
    "Model",
    "ModelCache",
    "ModelType",
    "Name",
    "Number",
    "OpenAIEndpoint",
    "Parsing",
    "Period",
    "PlannedLatency",
    "PlannedLoad",
    "Platform",
    "Policy",
    "Price",
    "Queue",
    "Rates",
    "Recipe",
    "Retrieve",
    "Routing",
    "Scope",
    "ScriptEndpoint",
    "Semantic",
    "SentenceEncoderEndpoint",
    "Share",
    "Source",
    "SourceKind",
    "Split",
    "Strategy",
    "Tag",
    "Team",
    "Telemetry",
    "Terms",
    "TierCue",
    "TierExamples",
    "TierName",
    "TierRules",
    "Time",
    "Timeouts",
    "Tree",
    "Turn",
    "Unit",
    "User",
    "VectorStores",
    "VllmEndpoint",
    "Whole",
]
