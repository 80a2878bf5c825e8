"""Other wires at the door, Anthropic's Messages and OpenAI's Responses, each translated to chat calls and back.

A request becomes an ordinary `ChatRequest`, so budgets, queues, fallbacks and traces see nothing new. An answer is read
once, in `answers`, into blocks (thinking, text, a refusal, calls of tools); each wire only says how its blocks look.
"""

from hanok.gateway.wires.messages import MessagesDesk
from hanok.gateway.wires.responses import ResponsesDesk
from hanok.gateway.wires.responses_store import ResponseStore

__all__ = ["MessagesDesk", "ResponseStore", "ResponsesDesk"]
