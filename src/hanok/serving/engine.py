"""What every engine is: the model path's two shapes, a look at its health, and an end."""

from __future__ import annotations

from typing import NoReturn, Protocol

from hanok.errors import UnknownModel
from hanok.spec import Timeouts
from hanok.wire import ChatRequest, ModelPath, TaskRequest


class Engine(ModelPath, Protocol):
    """Something that answers. One engine object stands for one endpoint."""

    async def check(self) -> None:
        """Return when the engine is ready to answer. Raises `EngineError` when it is not."""
        ...

    async def count_prompt(self, request: ChatRequest) -> int | None:
        """How many tokens the request's prompt has; None where this engine does not say. Raises `EngineError`."""
        ...

    async def metrics_page(self) -> bytes:
        """The engine's own metrics in Prometheus' text format; empty when it has none. Raises `EngineError`."""
        ...

    def adjust(self, *, timeouts: Timeouts, answer_limit_mib: float) -> None:
        """Go on with other limits, in seconds and MiB, from the next call on."""
        ...

    async def aclose(self) -> None:
        """Free what the engine holds."""
        ...


def no_tasks(request: TaskRequest) -> NoReturn:
    """What an engine that only makes text does with a request for anything else."""
    message = f"the model {request.model!r} makes text; it is not for {request.operation}"
    raise UnknownModel(message, param="model", code="model_not_found")


def no_text(request: ChatRequest) -> NoReturn:
    """What an engine that only makes vectors does with a request for text."""
    raise UnknownModel(f"the model {request.model!r} makes vectors, not text", param="model", code="model_not_found")
