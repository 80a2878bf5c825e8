"""The research agent, tested without a model and without the web."""

from typing import Any

from hanok.testing import FinishedRun, call, expect, run_agent, say, script

pages: list[str] = []


def web_search(query: str) -> list[dict[str, str]]:
    pages.append(query)
    return [{"title": "Hotels in Seoul", "url": "https://example.com/seoul", "description": "From 120 dollars."}]


def research(question: str, *turns: dict[str, Any], **more: Any) -> FinishedRun:
    pages.clear()
    tools = {"web_search": web_search, "document_search": lambda query: f"[1] budgets.md: {query}"}
    return run_agent("platform.yaml", "research-agent", question, model=script(*turns), tools=tools, **more)


def test_it_looks_things_up_and_works_them_out() -> None:
    run = research(
        "What do three nights in Seoul cost?",
        call("web_search", query="hotel prices in Seoul"),
        call("calculator", expression="3 * 120"),
        say("360 dollars, by https://example.com/seoul."),
    )
    expect(run).done().called("web_search", query="hotel prices in Seoul").called("calculator").said("360")
    expect(run).within(steps=3, usd=0.01)
    assert run.uses[1].result == "360"


def test_what_a_search_cannot_give_is_told_to_the_model_and_does_not_end_the_run() -> None:
    run = research("?", call("web_search"), say("I did not find it."))
    expect(run).done().said("did not find")
    assert "query" in run.uses[0].result, "the model is told which argument it forgot"


def test_it_cannot_search_for_ever() -> None:
    expect(research("?", call("web_search", query="again"))).limited("steps")


def test_a_process_that_dies_costs_no_second_search() -> None:
    run = research("?", call("web_search", query="hotels"), say("From 120 dollars."), crash_after=2)
    expect(run).done().said("120")
    assert pages == ["hotels"]
