"""One OpenAI-compatible door in front of all models: `http` lets calls in, `routed` takes them to an endpoint."""

from hanok.gateway.http import Door, Limits, ModelCard
from hanok.gateway.routed import Route, Routed

__all__ = ["Door", "Limits", "ModelCard", "Route", "Routed"]
