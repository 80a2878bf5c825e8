"""platform.yaml as one frozen tree: its shape (`tree`), reading it (`load`), writing a first one (`starter`)."""

from hanok.spec.load import load
from hanok.spec.tree import (
    EchoEndpoint,
    Endpoint,
    Gateway,
    LiteLLMEndpoint,
    LlamaCppEndpoint,
    Loaded,
    Model,
    OpenAIEndpoint,
    Platform,
    Price,
    ScriptEndpoint,
    SentenceEncoderEndpoint,
    Timeouts,
    Turn,
    VllmEndpoint,
)

__all__ = [
    "EchoEndpoint",
    "Endpoint",
    "Gateway",
    "LiteLLMEndpoint",
    "LlamaCppEndpoint",
    "Loaded",
    "Model",
    "OpenAIEndpoint",
    "Platform",
    "Price",
    "ScriptEndpoint",
    "SentenceEncoderEndpoint",
    "Timeouts",
    "Turn",
    "VllmEndpoint",
    "load",
]
