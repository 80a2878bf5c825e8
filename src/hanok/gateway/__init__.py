"""One OpenAI-compatible door in front of all models.

`http` takes connections, `reception` knows who comes in, `door` and its desks answer, `agents` are given what is asked
of them, `tiered` picks a model for who leaves that to us, `routed` takes calls to an endpoint; `admin` is the
operators' own desk.
"""

from hanok.gateway.access import Access
from hanok.gateway.admin import Admin
from hanok.gateway.agents import AgentProtocol, Agents, Delegated
from hanok.gateway.asgi import AsgiDesk, with_key
from hanok.gateway.batches import Batches
from hanok.gateway.counting import Counting
from hanok.gateway.door import Desk, Door
from hanok.gateway.files import Files
from hanok.gateway.giving import Giving
from hanok.gateway.http import HttpServer
from hanok.gateway.informed import Informed
from hanok.gateway.knowledge import Knowledge
from hanok.gateway.knowledge_answers import KnowledgeAnswers
from hanok.gateway.lines import LineAsker
from hanok.gateway.reception import ModelCard, Reception
from hanok.gateway.replay import Replays
from hanok.gateway.routed import Route, Routed
from hanok.gateway.runs import Runs
from hanok.gateway.sorter import Sorter
from hanok.gateway.tiered import Tiered
from hanok.gateway.vector_stores import VectorStores
from hanok.gateway.wires import MessagesDesk, ResponsesDesk, ResponseStore

__all__ = [
    "Access",
    "Admin",
    "AgentProtocol",
    "Agents",
    "AsgiDesk",
    "Batches",
    "Counting",
    "Delegated",
    "Desk",
    "Door",
    "Files",
    "Giving",
    "HttpServer",
    "Informed",
    "Knowledge",
    "KnowledgeAnswers",
    "LineAsker",
    "MessagesDesk",
    "ModelCard",
    "Reception",
    "Replays",
    "ResponseStore",
    "ResponsesDesk",
    "Route",
    "Routed",
    "Runs",
    "Sorter",
    "Tiered",
    "VectorStores",
    "with_key",
]
