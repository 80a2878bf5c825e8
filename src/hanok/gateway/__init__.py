"""One OpenAI-compatible door in front of all models.

`http` takes connections, `door` lets calls in, `routed` takes them to an endpoint; `admin` is the operators' own door.
"""

from hanok.gateway.access import Access
from hanok.gateway.admin import Admin
from hanok.gateway.door import Door, ModelCard
from hanok.gateway.http import HttpServer
from hanok.gateway.replay import Replays
from hanok.gateway.routed import Route, Routed
from hanok.gateway.runs import Runs

__all__ = ["Access", "Admin", "Door", "HttpServer", "ModelCard", "Replays", "Route", "Routed", "Runs"]
