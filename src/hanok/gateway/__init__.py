"""One OpenAI-compatible door in front of all models.

`http` takes connections, `door` lets calls in, `routed` takes them to an endpoint.
"""

from hanok.gateway.door import Door, ModelCard
from hanok.gateway.http import HttpServer
from hanok.gateway.replay import Replays
from hanok.gateway.routed import Route, Routed

__all__ = ["Door", "HttpServer", "ModelCard", "Replays", "Route", "Routed"]
