"""Agents and their tools in platform.yaml: what is read, what is refused, and where it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanok.errors import SpecError
from hanok.spec import HttpTool, Platform, PythonTool, load
from hanok.spec.load import parse

MODELS = """models:
- {name: m, serve: {engine: echo}}
- {name: e, type: embedding, serve: {engine: sentence-encoder}}
"""
KNOWN = """knowledge: [{name: docs, sources: {path: docs}}]
prompts: [{name: careful, text: Be careful.}]
tools:
- {name: search, type: http, url: "https://search.example.com/", parameters: {query: string}}
"""
RESEARCH = """
models:
- name: llama-3-8b
  serve: {engine: echo}
- name: embed
  type: embedding
  serve: {engine: sentence-encoder}

knowledge:
- name: papers
  sources: {path: papers}

agents:
- name: research
  description: Finds out, and says where it is written.
  model: llama-3-8b
  temperature: 0.7
  max_tokens: 4096
  system_prompt: You are a careful research assistant. Cite what you rest on.
  tools:
  - name: web_search
    description: Search the web.
    type: http
    method: POST
    url: https://search.example.com/v1/search
    headers: {Authorization: "Bearer ${env:SEARCH_KEY}"}
    parameters: {query: string, count: {type: integer, default: 5}}
    result: /results
  - name: document_search
    description: Search our papers.
    type: knowledge
    base: papers
    k: 8
  - name: calculator
    type: python
    code: |
      def calculate(expression: str) -> float:
          \"\"\"Evaluate an arithmetic expression, as `2 * (3 + 4)`.\"\"\"
          return eval(expression)
  memory: {ttl_s: 3600}
  scale: {min: 2, max: 10, target_cpu: 70}
"""


def read(text: str) -> Platform:
    return parse(MODELS + text, Path("platform.yaml"), {}).platform


def test_a_name_is_enough() -> None:
    [agent] = read("agents: [{name: a}]").agents
    assert (agent.pattern, agent.tools, agent.limits.steps) == ("react", [], 25)


def test_the_research_agent_is_written_as_people_think_of_it() -> None:
    [agent] = parse(RESEARCH, Path("platform.yaml"), {"SEARCH_KEY": "sk-secret"}).platform.agents
    web, documents, calculator = (tool for tool in agent.tools if not isinstance(tool, str))
    assert [web.name, documents.name, calculator.name] == ["web_search", "document_search", "calculator"]
    assert isinstance(web, HttpTool)
    assert web.parameters == {
        "type": "object",
        "properties": {"query": {"type": "string"}, "count": {"type": "integer", "default": 5}},
        "required": ["query"],
        "additionalProperties": False,
    }
    assert isinstance(calculator, PythonTool)
    assert (agent.temperature, agent.max_tokens, agent.memory.ttl_s) == (0.7, 4096, 3600)
    assert (agent.scale.min, agent.scale.max, agent.scale.target_cpu) == (2, 10, 70)
    assert "sk-secret" not in repr(agent)


def test_tools_are_named_or_declared_where_they_are_used() -> None:
    agents = read(f"{KNOWN}agents: [{{name: a, tools: [search, {{name: c, type: code, functions: [search]}}]}}]")
    assert [tool if isinstance(tool, str) else tool.type for tool in agents.agents[0].tools] == ["search", "code"]


def test_a_single_base_stands_for_a_list() -> None:
    assert read(f"{KNOWN}agents: [{{name: a, knowledge: docs}}]").agents[0].knowledge == ["docs"]


def test_a_schema_is_taken_as_it_stands() -> None:
    schema = "{type: object, properties: {when: {type: string}}}"
    [tool] = read(f"tools: [{{name: a, type: http, url: 'http://x', parameters: {schema}}}]").tools
    assert isinstance(tool, HttpTool)
    assert tool.parameters == {"type": "object", "properties": {"when": {"type": "string"}}}


def test_approvals_may_fit_tools_of_servers_whose_names_are_not_known_yet() -> None:
    mcp = "{name: files, type: mcp, command: [serve-files]}"
    assert read(f"agents: [{{name: a, tools: [{mcp}], approvals: ['files__delete_*']}}]").agents[0].approvals


def test_agents_that_share_one_below_them_are_no_circle() -> None:
    assert read("agents: [{name: a, team: [b, c]}, {name: b, team: [d]}, {name: c, team: [d]}, {name: d}]").agents


A = "agents[0]"
T = "tools[0]"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("agents: [{name: a}, {name: a}]", "8:28 agents[1].name: the name 'a' is taken by agents[0]"),
        ("agents: [{name: a b}]", f"{A}.name: must be a name of letters, digits, _ and - (at most 64), beginning"),
        ("agents: [{name: a, tools: [serch]}]", f"{A}.tools[0]: no tool is called 'serch'|did you mean 'search'?"),
        ("agents: [{name: a, tools: [a b]}]", f"{A}.tools[0]: must be a name of letters"),
        ("agents: [{name: a, tools: [5]}]", f"{A}.tools[0]: must be text"),
        ("agents: [{name: a, tools: [{name: x, type: htpt}]}]", f"{A}.tools[0].type: no type is called 'htpt'|did you"),
        ("agents: [{name: a, tools: [{name: x}]}]", f"{A}.tools[0].type: 'type' is missing here"),
        ("agents: [{name: a, tools: [{name: x, tpye: http}]}]", f"{A}.tools[0].tpye: unknown key 'tpye'|mean 'type'?"),
        ("agents: [{name: a, tools: [{name: x, type: http}]}]", f"{A}.tools[0].url: 'url' is missing here"),
        ("agents: [{name: a, tools: [search, search]}]", f"{A}.tools[1]: the name 'search' is taken by a tool"),
        (
            "agents: [{name: a, tools: [{name: search, type: code}]}]",
            f"{A}.tools[0].name: the name 'search' is taken by tools[0]",
        ),
        (
            "agents: [{name: a, tools: [{name: x, type: code}, {name: x, type: code}]}]",
            f"{A}.tools[1].name: the name 'x' is taken by a tool",
        ),
        (
            "agents: [{name: a, tools: [{name: b, type: code}], team: [b]}, {name: b}]",
            f"{A}.team[0]: the name 'b' is taken by a tool",
        ),
        (
            "agents: [{name: a, tools: [{name: ask_user, type: code}], questions: true}]",
            f"{A}.questions: the name 'ask_user' is taken by a tool",
        ),
        ("agents: [{name: a, knowledge: [doks]}]", f"{A}.knowledge[0]: no knowledge base is called 'doks'|'docs'?"),
        ("agents: [{name: a, model: e}]", f"{A}.model: 'e' is a model for embedding|name a model for chat"),
        ("agents: [{name: a, model: x}]", f"{A}.model: no model is called 'x'"),
        ("agents: [{name: a, memory: {summary_model: e}}]", f"{A}.memory.summary_model: 'e' is a model for embedding"),
        (
            "agents: [{name: a, memory: {long_term: {embed: m}}}]",
            f"{A}.memory.long_term.embed: 'm' is a model for chat",
        ),
        (
            "agents: [{name: a, team: [workr]}, {name: worker}]",
            f"{A}.team[0]: no agent is called 'workr'|did you mean 'worker'?",
        ),
        (
            "agents: [{name: a, tools: [{name: x, type: agent, agent: b}]}]",
            f"{A}.tools[0].agent: no agent is called 'b'",
        ),
        ("agents: [{name: a, team: [a]}]", f"{A}.team: 'a' gives work to itself"),
        ("agents: [{name: a, team: [b]}, {name: b, team: [a]}]", f"{A}.team: agents give work in a circle: a → b → a"),
        ("agents: [{name: a, tools: [{name: x, type: agent, agent: a}]}]", f"{A}.tools: 'a' gives work to itself"),
        ("agents: [{name: a, pattern: supervisor}]", f"{A}: a supervisor needs a `team`"),
        ("agents: [{name: a, pattern: graph}]", f"{A}: `graph` and `pattern: graph` go together"),
        (
            "agents: [{name: a, pattern: graph, graph: here.py}]",
            f"{A}.graph: must be a module and a function in it, as `my_agents:build`",
        ),
        (
            "agents: [{name: a, tools: [search], approvals: ['delete_*']}]",
            f"{A}.approvals[0]: no tool of this agent is called 'delete_*'|declared tools of this agent: search",
        ),
        (
            "agents: [{name: a, tools: [search, {name: c, type: code, functions: [search]}], approvals: [search]}]",
            f"{A}.tools[1]: code of 'c' may call 'search', which needs approval",
        ),
        (
            "agents: [{name: a, prompt: carefull}]",
            f"{A}.prompt: no prompt is called 'carefull'|did you mean 'careful'?",
        ),
        ("agents: [{name: a, prompt: careful@a@b}]", f"{A}.prompt: must be a prompt's name, and perhaps which"),
        ("agents: [{name: a, prompt: careful, system_prompt: x}]", f"{A}: must have at most one of `system_prompt`"),
        ("agents: [{name: a, scale: {min: 3}}]", f"{A}.scale: `min` must be at most `max`"),
        ("agents: [{name: a}]\nteams: [{name: t, agents: [aa]}]", "teams[0].agents[0]: no agent is called 'aa'"),
        ("agents: [{name: a}]\nusers: [{name: t, agents: ['x*']}]", "users[0].agents[0]: no agent is called 'x*'"),
    ],
)
def test_what_does_not_hold_together_is_told_with_its_place(text: str, told: str) -> None:
    refused(KNOWN + text, told)


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        ("type: http, url: 'http://{host}/x', parameters: {host: string}", ".url: must be a URL that begins with http"),
        (
            "type: http, url: 'http://x/{qury}', parameters: {query: string}",
            ".url: no argument is called 'qury'|did you mean 'query'?",
        ),
        ("type: http, url: 'http://x/{query', parameters: {query: string}", ".url: has a { or } that is not around"),
        (
            "type: http, url: 'http://x/', query: {q: '{a}{b}'}, parameters: {b: string}",
            ".query.q: no argument is called 'a'",
        ),
        (
            "type: http, url: 'http://x/', method: POST, body: {q: [{t: '{a}{b}'}]}, parameters: {b: string}",
            ".body.q[0].t: no argument is called 'a'",
        ),
        (
            "type: http, url: 'http://x/', hosts: ['https://y/']",
            ".hosts[0]: must be a host without scheme and path",
        ),
        ("type: http, url: 'http://x/', result: results", ".result: must be a JSON pointer, as `/results`"),
        ("type: http, url: 'http://x/', parameters: {a: strin}", ".parameters: must be a JSON Schema, or give each"),
        (
            "type: http, url: 'http://x/', parameters: {type: array, items: {}, properties: {}}",
            ".parameters.type: describes a value of type 'array', and arguments are an object",
        ),
        (
            "type: http, url: 'http://x/', parameters: {type: object, properties: {a: {type: strin}}}",
            ".parameters.properties.a.type: is no JSON Schema: 'strin' is not valid",
        ),
        (
            "type: http, url: 'http://x/', parameters: {a: {minimum: b}}",
            ".parameters.properties.a.minimum: is no JSON Schema: 'b'",
        ),
        (
            "type: http, url: 'http://x/', query: {q: '{a}'}, parameters: {a: string, b: string}",
            ".parameters.b: argument 'b' stands nowhere in what is sent|write `{b}` where it belongs",
        ),
        ("type: knowledge, base: doks", ".base: no knowledge base is called 'doks'|did you mean 'docs'?"),
        ("type: python, code: 'def f(:'", ".code: line 1 of the code: is not Python: invalid syntax"),
        ("type: python, code: 'x = 1'", ".code: defines no function|begin with `def"),
        (
            "type: python, code: 'def calc(): pass', function: clac",
            ".function: defines no function 'clac'|mean 'calc'?",
        ),
        (
            "type: python, code: 'def f(a: Path): pass'",
            ".code: line 1 of the code: the argument 'a' is a `Path`|Literal",
        ),
        ("type: python, code: 'def f(*a): pass'", ".code: line 1 of the code: the argument 'a' cannot be given by its"),
        (
            "type: python, code: 'def f(value): pass', parameters: {valeu: string}",
            ".parameters.valeu: no argument of f() is called 'valeu'|did you mean 'value'?",
        ),
        ("type: python, code: 'def f(a, b): pass', parameters: {a: string}", ".parameters: f() needs the argument 'b'"),
        ("type: code, functions: [serch]", ".functions[0]: no tool is called 'serch'|did you mean 'search'?"),
        ("type: code, functions: [t]", ".functions[0]: 't' is a tool of type code, which code cannot call"),
        (
            "type: code, functions: [dear]}\n- {name: dear, type: http, url: 'http://x', usd: 0.5",
            ".functions[0]: 'dear' costs 0.5 USD a call, and what code calls is not counted",
        ),
        (
            "type: code, functions: [b]}\n- {name: b, type: mcp, url: 'http://x'",
            ".functions[0]: 'b' is a tool of type mcp, which code cannot call",
        ),
        ("type: mcp", ": must have exactly one of `command` and `url`"),
        ("type: mcp, url: 'http://x/', command: [a]", ": must have exactly one of `command` and `url`"),
        ("type: openapi, spec: nowhere.yaml", ".spec: there is no file"),
    ],
)
def test_a_tool_that_cannot_work_is_told_with_its_place(tool: str, told: str) -> None:
    refused(KNOWN.replace("tools:\n", f"tools:\n- {{name: t, {tool}}}\n"), f"tools[0]{told}")


def test_agents_need_models() -> None:
    embed = "models: [{name: e, type: embedding, serve: {engine: sentence-encoder}}]\n"
    chat = "models: [{name: m, serve: {engine: echo}}]\n"
    told = "agents[0]: needs a model that writes text, and none is declared"
    refused(f"{embed}agents: [{{name: a}}]", told, models="")
    told = "agents[0].memory.long_term: needs a model that makes vectors, and none is declared"
    refused(f"{chat}agents: [{{name: a, memory: {{long_term: {{}}}}}}]", told, models="")


def test_a_model_and_an_agent_are_not_asked_by_one_name() -> None:
    models = MODELS.replace("name: m", "name: agent/a")
    refused("agents: [{name: a}]", "agents[0].name: a model is called 'agent/a'", models=models)


def test_a_search_by_a_name_that_no_provider_takes_is_refused() -> None:
    base = f"{'d' * 60}"
    text = f"knowledge: [{{name: {base}, sources: {{path: x}}}}]\nagents: [{{name: a, knowledge: {base}}}]"
    refused(text, "agents[0].knowledge: its tool would be called 'search_dddd")


def test_prompts_are_read_when_the_file_is_checked(tmp_path: Path) -> None:
    (tmp_path / "empty.md").write_text(" ")
    (tmp_path / "binary.md").write_bytes(b"\xff")
    (tmp_path / "good.md").write_text("Be good.")
    names = ("good.md", "empty.md", "binary.md", "none.md")
    prompts = "".join(f"- {{name: {name}, file: {name}}}\n" for name in names)
    file = tmp_path / "platform.yaml"
    file.write_text(f"{MODELS}prompts:\n{prompts}")
    with pytest.raises(SpecError) as caught:
        load(file, {})
    told = [(each.line, each.path, each.message.replace(f"{tmp_path}/", "")) for each in caught.value.problems]
    assert told == [
        (6, "prompts[1].file", "empty.md is empty"),
        (7, "prompts[2].file", "binary.md is not UTF-8"),
        (8, "prompts[3].file", "there is no file none.md"),
    ]


def test_a_prompt_is_a_text_or_a_file() -> None:
    refused("prompts: [{name: a}]", "prompts[0]: must have exactly one of `text` and `file`")
    refused("prompts: [{name: a, text: x}, {name: a, text: y}]", "prompts[1].name: the name 'a' is taken by prompts[0]")


def refused(text: str, told: str, *, models: str = MODELS) -> None:
    """One problem, whose text holds both sides of `|`."""
    with pytest.raises(SpecError) as caught:
        parse(models + text, Path("platform.yaml"), {})
    assert len(caught.value.problems) == 1, caught.value
    shown = str(caught.value).replace("platform.yaml:", "")
    assert all(part in shown for part in told.split("|")), shown
