"""LangChain's agent and pydantic-ai on the task of `agents.py`; run by it in an environment that has them.

    agents_others.py ROUNDS STEPS    writes as JSON how long a step takes, in milliseconds, of wall and of CPU

LangChain's runs on LangGraph with its SQLite saver and `durability="sync"`; pydantic-ai keeps nothing.
"""

import asyncio
import json
import secrets
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import aiosqlite
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from pydantic_ai import Agent, UsageLimits
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel

RUNS = 3


class Scripted(BaseChatModel):
    """Uses the tool in all steps but the last."""

    steps: int

    @property
    def _llm_type(self):
        return "scripted"

    def bind_tools(self, tools, **more):  # noqa: ARG002 - as LangChain calls it
        return self

    def _generate(self, messages, stop=None, run_manager=None, **more):  # noqa: ARG002
        said = sum(isinstance(message, AIMessage) for message in messages)
        call = {"name": "look", "args": {"x": said}, "id": f"call_{said}"}
        message = AIMessage(content="", tool_calls=[call]) if said < self.steps - 1 else AIMessage(content="Done.")
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(self, messages, stop=None, run_manager=None, **more):  # noqa: ARG002
        return self._generate(messages)


async def langchain(rounds, steps):
    @tool
    async def look(x: int) -> str:
        """look"""
        return str(x)

    with tempfile.TemporaryDirectory() as folder:
        async with aiosqlite.connect(Path(folder) / "langchain.db") as connection:
            saver = AsyncSqliteSaver(connection)
            await saver.setup()
            await connection.execute("PRAGMA synchronous = NORMAL")
            agent = create_agent(Scripted(steps=steps), [look], checkpointer=saver)

            async def run():
                config = {"configurable": {"thread_id": secrets.token_hex(8)}, "recursion_limit": 10_000}
                asked = {"messages": [{"role": "user", "content": "go"}]}
                told = await agent.ainvoke(asked, config, durability="sync")
                assert told["messages"][-1].content == "Done."

            return await measured(run, rounds, steps)


async def pydantic(rounds, steps):
    def answer(messages, _info):
        said = sum(isinstance(message, ModelResponse) for message in messages)
        call = ToolCallPart("look", {"x": said}, f"call_{said}")
        return ModelResponse(parts=[call if said < steps - 1 else TextPart("Done.")])

    agent = Agent(FunctionModel(answer))

    @agent.tool_plain
    async def look(x: int) -> str:
        """look"""
        return str(x)

    async def run():
        told = await agent.run("go", usage_limits=UsageLimits(request_limit=None))
        assert told.output == "Done."

    return await measured(run, rounds, steps)


async def measured(run, rounds, steps):
    await run()
    wall, cpu = [], []
    for _ in range(rounds):
        began, used = time.perf_counter(), time.process_time()
        for _ in range(RUNS):
            await run()
        wall.append(1000 * (time.perf_counter() - began) / RUNS / steps)
        cpu.append(1000 * (time.process_time() - used) / RUNS / steps)
    return {"step_ms": round(median(wall), 3), "step_cpu_ms": round(median(cpu), 3)}


async def main(rounds, steps):
    print(json.dumps({"langchain": await langchain(rounds, steps), "pydantic_ai": await pydantic(rounds, steps)}))


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
