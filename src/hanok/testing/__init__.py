"""Tests of agents without a model: what it would say is scripted, tools are functions, and nothing leaves the machine.

    from hanok.testing import call, expect, run_agent, say, script

    def test_it_looks_before_it_answers() -> None:
        run = run_agent(
            "platform.yaml",
            "research-agent",
            "Which hotel?",
            model=script(call("web_search", query="hotels in Seoul"), say("The Lotte Hotel.")),
            tools={"web_search": lambda query: ["Lotte", "Shilla"]},
        )
        expect(run).done().called("web_search", query="hotels in Seoul").said("Lotte")

The house is the real one, from platform.yaml on: its patterns, limits, approvals, budgets and stores. Only the models
and the tools that a test names are its own, and what is kept is in a folder that goes with the test.
"""

from hanok.testing.expecting import Expectation, expect
from hanok.testing.finished import FinishedRun, ToolUse, Wanted
from hanok.testing.launch import Agents, agents_of, run_agent
from hanok.testing.turns import call, fail, given, say, script, structured

__all__ = [
    "Agents",
    "Expectation",
    "FinishedRun",
    "ToolUse",
    "Wanted",
    "agents_of",
    "call",
    "expect",
    "fail",
    "given",
    "run_agent",
    "say",
    "script",
    "structured",
]
