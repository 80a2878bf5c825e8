"""The sandbox: Python tools and code of models, and everything that such code might try."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

pytest.importorskip("pydantic_monty", reason='agents are not installed: pip install "hanok[agents]"')

from hanok.agents.tool import Tool, ToolCall, ToolResult, ToolSpec
from hanok.agents.tools.carried import NotCarried, as_json, shown
from hanok.agents.tools.code import CodeBox
from hanok.agents.tools.python import PythonBox
from hanok.agents.tools.sandbox_launch import Bounds, Failed, enter_sandbox
from hanok.errors import ToolUnavailable
from hanok.spec import CodeTool, PythonTool
from hanok.testing import call, expect, run_agent, say, script
from tests.rooms.agents.tools.calling import call_of

CALCULATOR = '''
import math

def calculate(expression: str) -> float:
    """Evaluate an arithmetic expression, as `2 * (3 + 4)` or `math.sqrt(2)`."""
    return eval(expression)
'''
QUICK = {"timeout_s": 0.3, "memory_mib": 32}


class Here:
    """Tools on an event loop of their own, that all tests of this file share, as they share its workers."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner

    def open(self, code: str, **more: Any) -> Tool:
        tool = PythonTool.model_validate({"name": "tool", "type": "python", "code": code, **QUICK, **more})
        return self._runner.run(PythonBox(tool).open())[0]

    def call(self, code: str, arguments: Mapping[str, Any] | None = None, **more: Any) -> ToolResult:
        """What a function with this code answers."""
        return self.use(self.open(code, **more), arguments or {})

    def use(self, tool: Tool, arguments: Mapping[str, Any]) -> ToolResult:
        return self._runner.run(tool.use(call_of(tool.spec.name, arguments)))

    def code(self, *tools: Tool, **more: Any) -> Tool:
        names = [tool.spec.name for tool in tools]
        declared = {"name": "code", "type": "code", "functions": names, **QUICK, **more}
        return self._runner.run(CodeBox(CodeTool.model_validate(declared), lambda: tools).open())[0]

    def run(self, code: str, *tools: Tool, **more: Any) -> ToolResult:
        """What a model gets that has this code run."""
        return self.use(self.code(*tools, **more), {"code": code})

    def raw(self, code: str, inputs: Mapping[str, Any]) -> Any:
        bounds = Bounds(time_s=0.2, memory_bytes=2**25)
        return self._runner.run(self._raw(code, bounds, inputs))

    async def _raw(self, code: str, bounds: Bounds, inputs: Mapping[str, Any]) -> Any:
        sandbox = enter_sandbox()
        try:
            return await sandbox.run(code, bounds, inputs=inputs)
        finally:
            await sandbox.leave()


@pytest.fixture(scope="module")
def here() -> Iterator[Here]:
    with asyncio.Runner() as runner:
        sandbox = runner.run(_entered())
        yield Here(runner)
        for _ in range(sandbox._users):  # what tests have opened
            runner.run(sandbox.leave())


async def _entered() -> Any:
    return enter_sandbox()


# a function that people write


def test_a_calculator_is_a_few_lines(here: Here) -> None:
    tool = here.open(CALCULATOR, name="calculator")
    assert tool.spec.description == "Evaluate an arithmetic expression, as `2 * (3 + 4)` or `math.sqrt(2)`."
    assert tool.spec.parameters["properties"] == {"expression": {"type": "string"}}
    assert here.use(tool, {"expression": "2 * (3 + 4)"}) == ToolResult(content="14")
    assert here.use(tool, {"expression": "math.factorial(20)"}).content == "2432902008176640000"
    failed = here.use(tool, {"expression": "1 / 0"})
    assert failed.failed
    assert failed.content == "calculator failed: ZeroDivisionError: division by zero\n  line 6: return eval(expression)"


def test_arguments_are_read_from_annotations(here: Here) -> None:
    code = (
        "def f(a: str, b: int = 3, c: list[float] | None = None, *, d: Literal['x', 'y'] = 'x', "
        "e: dict[str, bool] = {}, g=1, h: 'int' = 2): return [a, b, c, d, e, g, h]"
    )
    tool = here.open(code)
    assert tool.spec.parameters == {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "integer", "default": 3},
            "c": {"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "null"}]},
            "d": {"enum": ["x", "y"], "default": "x"},
            "e": {"type": "object", "additionalProperties": {"type": "boolean"}, "default": {}},
            "g": {"default": 1},
            "h": {"type": "integer", "default": 2},
        },
        "required": ["a"],
        "additionalProperties": False,
    }


def test_declared_parameters_and_description_come_first(here: Here) -> None:
    parameters = {"a": {"type": "string", "description": "Which."}}
    tool = here.open("def f(a): return a", parameters=parameters, description="Says it again.")
    assert (tool.spec.description, tool.spec.parameters["properties"]) == ("Says it again.", parameters)


def test_a_function_may_be_awaited_and_chosen_by_its_name(here: Here) -> None:
    assert here.call("async def f(): return 1\ndef g(): return 2", function="f").content == "1"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("'as it is'", "as it is"),
        ("{'a': [1, (2, 3)], 'b': None, 1: True}", '{"a": [1, [2, 3]], "b": null, "1": true}'),
        ("{3}", "[3]"),
        ("__import__", None),
    ],
)
def test_values_come_as_json(here: Here, value: str, told: str | None) -> None:
    result = here.call(f"def f(): return {value}")
    assert (result.content == told) if told else result.failed


def test_dates_and_decimals_come_as_texts(here: Here) -> None:
    code = "import datetime, decimal\ndef f(): return [datetime.date(2026, 1, 2), decimal.Decimal('1.50')]"
    assert json.loads(here.call(code).content) == ["2026-01-02", "1.50"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("float('nan')", "it returned nan, which JSON does not have"),
        ("b'x'", "it returned a value of type bytes, which JSON cannot carry"),
        ("A()", "it returned a value of type A, which JSON cannot carry"),
        ("{(1, 2): 3}", "it returned a dict with keys of type tuple"),
        ("10 ** 20000", "it returned a number of thousands of digits"),
        ("[[[[x] * 1000] * 1000] * 1000]", "it returned more than 20,000 items"),
        ("deep", "levels deep"),
    ],
)
def test_what_json_cannot_carry_is_told(here: Here, value: str, told: str) -> None:
    code = f"class A: pass\nx = [1] * 1000\ndeep = []\nfor i in range(150): deep = [deep]\ndef f(): return {value}"
    result = here.call(code)
    assert result.failed
    assert told in result.content


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def f():\n    yield 1", "does not yet support yield"),
        ("import requests\ndef f(): pass", "No module named 'requests'"),
        ("x = 1 / 0\ndef f(): pass", "division by zero"),
    ],
)
def test_code_that_the_sandbox_cannot_run_is_told_when_the_tool_is_opened(here: Here, code: str, told: str) -> None:
    with pytest.raises(ToolUnavailable, match=told):
        here.open(code)


def test_an_error_names_its_line(here: Here) -> None:
    result = here.call("def f(a: int):\n    b = a + 1\n    raise ValueError(f'no {b}')", {"a": 1})
    assert result.content == "tool failed: ValueError: no 2\n  line 3: raise ValueError(f'no {b}')"


# what a model writes


def test_code_tells_what_it_prints_and_the_value_of_its_last_line(here: Here) -> None:
    assert here.run("x = 20\nprint('so', x)\nx * 2").content == "so 20\n40"
    assert here.run("'text'").content == "'text'"
    assert here.run("print('only')").content == "only\n"
    assert here.run("x = 1").content == "It ran, printed nothing, and its last line has no value."
    assert here.run("(1,), {2: [3]}, None").content == "((1,), {2: [3]}, None)"


def test_nothing_is_kept_between_two_pieces_of_code(here: Here) -> None:
    tool = here.code()
    here.use(tool, {"code": "x = 1"})
    assert "NameError" in here.use(tool, {"code": "x"}).content


def test_what_was_printed_before_an_error_is_kept(here: Here) -> None:
    result = here.run("print('first')\nundefined")
    assert result.failed
    assert result.content == "first\nNameError: name 'undefined' is not defined\n  line 2: undefined"


class Adds:
    """A tool that adds, and remembers its calls."""

    def __init__(self, *, safe: bool = True) -> None:
        self.calls: list[ToolCall] = []
        properties = {"a": {"type": "integer"}, "b": {"type": "integer"}}
        parameters = {"type": "object", "properties": properties, "required": ["a"], "additionalProperties": False}
        self.spec = ToolSpec(name="add", description="Adds.", parameters=parameters, safe=safe)

    async def use(self, call: ToolCall) -> ToolResult:
        self.calls.append(call)
        if call.arguments["a"] < 0:
            return ToolResult(content="no negative numbers", failed=True)
        if call.arguments["a"] > 1000:
            raise OSError("a secret path")
        return ToolResult(content=json.dumps({"sum": call.arguments["a"] + call.arguments.get("b", 1)}))


def test_code_calls_other_tools_as_functions(here: Here) -> None:
    add = Adds()
    code = "total = 0\nfor i in range(3):\n    total += add(i, b=2)['sum']\nawait add(total)"
    result = here.run(code, add)
    assert result.content == "{'sum': 10}"
    assert [each["arguments"] for each in (result.data or {})["called"]] == [call.arguments for call in add.calls]
    assert [call.arguments for call in add.calls] == [{"a": 0, "b": 2}, {"a": 1, "b": 2}, {"a": 2, "b": 2}, {"a": 9}]
    assert len({call.idempotency_key for call in add.calls}) == 4
    spec = here.code(add).spec
    assert "It may call add(a, b=…): Adds." in spec.description
    assert (spec.safe, here.code(Adds(safe=False)).spec.safe) == (True, False)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("add('x')", "the arguments of add do not fit: a: 'x' is not of type 'integer'"),
        ("add(1, 2, 3)", "add takes 2 arguments, not 3"),
        ("add(1, c=2)", "the arguments of add do not fit"),
        ("add(-1)", "no negative numbers"),
        ("add(2000)", "add failed (OSError)"),
        ("await add(-1)", "no negative numbers"),
        ("add(lambda: 1)", "not of type 'integer'"),
        ("class A: pass\nadd(A())", "a value of type A, which JSON cannot carry"),
        ("x = [1] * 1000\nx = [x] * 1000\nadd([x] * 1000)", "more than 20,000 items"),
        ("while True:\n    try:\n        add(1)\n    except Exception:\n        pass", "suspension limit"),
    ],
)
def test_calls_that_go_wrong_are_errors_of_the_code(here: Here, code: str, told: str) -> None:
    result = here.run(code, Adds())
    assert result.failed
    assert told in result.content
    assert "secret" not in result.content


def test_code_may_catch_what_a_function_refuses(here: Here) -> None:
    assert here.run("try:\n    add(-1)\nexcept RuntimeError as error:\n    print(error)", Adds()).content == (
        "no negative numbers\n"
    )


# what such code might try

ESCAPES = [
    "open('/etc/passwd').read()",
    "from pathlib import Path\nPath('/etc/passwd').read_text()",
    "from pathlib import Path\nlist(Path('/').iterdir())",
    "from pathlib import Path\nPath('/tmp/x').write_text('x')",
    "import os\nos.listdir('/')",
    "import os\nos.environ['PATH']",
    "import os\nos.getenv('PATH')",
    "import os\nos.system('id')",
    "import os\nos.fork()",
    "import subprocess\nsubprocess.run(['id'])",
    "import socket\nsocket.create_connection(('127.0.0.1', 80))",
    "import urllib.request\nurllib.request.urlopen('http://127.0.0.1')",
    "import ctypes",
    "import importlib\nimportlib.import_module('os')",
    "import builtins",
    "import gc",
    "import inspect",
    "import sys\nsys.modules['os']",
    "import sys\nsys._getframe()",
    "().__class__.__bases__[0].__subclasses__()",
    "getattr((), '__cl' + 'ass__')",
    "'{0.__class__}'.format(1)",
    "(lambda: 0).__globals__",
    "(lambda: 0).__code__",
    "__import__('os')",
    "__builtins__",
    "eval('__import__(\"os\")')",
    "exec('import subprocess')",
    "compile('1', 'a', 'eval')",
    "globals()",
    "input()",
    "breakpoint()",
    "raise SystemExit(3)",
    "raise KeyboardInterrupt",
    "import asyncio\nasyncio.create_subprocess_exec('id')",
]


@pytest.mark.parametrize("code", ESCAPES)
def test_there_is_no_way_out(here: Here, code: str) -> None:
    result = here.run(code)
    assert result.failed, result
    assert "root:" not in result.content
    assert here.run("1 + 1").content == "2"


BOMBS = [
    "while True: pass",
    "sum(range(10 ** 12))",
    "import itertools\nsum(itertools.repeat(1))",
    "import hashlib\nhashlib.pbkdf2_hmac('sha256', b'a', b'b', 10 ** 9)",
    "x = []\nwhile True: x.append(x[:])",
    "x = 'a'\nwhile True: x += x",
    "x = 2\nwhile True: x = x * x",
    "'a' * 10 ** 10",
    "bytes(10 ** 10)",
    "10 ** 10 ** 10",
    "1 << 10 ** 10",
    "list(range(10 ** 9))",
    "f'{1:1000000000}'",
    "'a' * 30_000_000",
    "[[i] for i in range(400_000)]",
    "import math\nmath.factorial(10 ** 7)",
    "import decimal\ndecimal.getcontext().prec = 10 ** 8\ndecimal.Decimal(1) / 3",
    "def f(): return f()\nf()",
    "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(): return f()\nf()",
    "(lambda f: f(f))(lambda f: f(f))",
    "while True: print('x' * 1000)",
    "import re\nre.match(r'(a|a)*\\1$', 'a' * 40 + '!')",
    "import re\nre.sub('', 'x' * 1000, 'a' * 10 ** 6)",
    "import json\njson.loads('[' * 100_000)",
    "import json\nx = []\nfor i in range(100_000): x = [x]\njson.dumps(x)",
    "x = " + "(" * 5000 + ")" * 5000,
    "-" * 90_000 + "1",
    "x = 1\n" * 15_000 + "x +",
    "raise ValueError('x' * 10 ** 7)",
    "assert [0] * 10 ** 6 == 1",
    "'\ud800'",
    "a\0b",
]


@pytest.mark.parametrize("code", BOMBS, ids=lambda code: code[:40].encode("ascii", "replace").decode())
def test_every_bomb_ends_soon_and_hurts_nobody(here: Here, code: str) -> None:
    began = time.monotonic()
    result = here.run(code)
    assert result.failed
    assert len(result.content) <= 22_000
    assert here.run("1 + 1").content == "2"
    assert time.monotonic() - began < 8


def test_regular_expressions_take_time_in_proportion(here: Here) -> None:
    assert here.run("import re\nre.match(r'(a+)+$', 'a' * 60 + '!') is None").content == "True"


def test_a_value_that_stands_for_a_billion_is_shown_in_part(here: Here) -> None:
    began = time.monotonic()
    result = here.run("x = [1] * 1000\nx = [x] * 1000\n{'a': [x] * 1000}", max_output=1000)
    assert len(result.content) < 1100
    assert time.monotonic() - began < 2
    assert here.run("10 ** 30000").content.startswith("<a whole number of")
    assert here.run("class A: pass\na = A()\na.b = [0] * 10 ** 5\na").content == "<A>"


def test_output_is_kept_up_to_a_length(here: Here) -> None:
    result = here.run("for i in range(3000): print('x' * 99)", max_output=1000)
    assert not result.failed
    assert result.content.endswith("… (299,000 more characters)")


def test_what_it_sleeps_takes_no_time(here: Here) -> None:
    assert here.run("import time\ntime.sleep(3600)\n'awake'").content == "'awake'"


@pytest.mark.parametrize(
    "value", ["\ud800", float("inf"), 10**5000, [[[]]], {"": {"\0": "\U0001f600"}}], ids=["a", "b", "c", "d", "e"]
)
def test_arguments_of_any_kind_break_nothing(here: Here, value: Any) -> None:
    result = here.call("def f(a): return a", {"a": value})
    if not result.failed and not isinstance(value, str):
        assert json.loads(result.content) == value


def test_arguments_that_are_deep_break_nothing(here: Here) -> None:
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    assert here.raw("1", {"a": deep})[0] == 1


def test_a_run_that_is_cancelled_frees_its_worker(here: Here) -> None:
    async def cancelled() -> None:
        tool = (await CodeBox(CodeTool(name="c", type="code", timeout_s=60), tuple).open())[0]
        for _ in range(6):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await tool.use(call_of("c", {"code": "while True: pass"}))

    here._runner.run(cancelled())
    assert here.run("1 + 1").content == "2"


def test_many_at_once_wait_for_one_another(here: Here) -> None:
    async def many() -> list[ToolResult]:
        tool = (await CodeBox(CodeTool(name="c", type="code"), tuple).open())[0]
        calls = [tool.use(call_of("c", {"code": f"sum(range(20_000)) + {each}"})) for each in range(40)]
        return await asyncio.gather(*calls)

    found = here._runner.run(many())
    assert [int(each.content) for each in found] == [199_990_000 + each for each in range(40)]


def test_the_last_to_leave_ends_the_workers() -> None:
    others = children()

    async def come_and_go() -> list[str]:
        boxes = [CodeBox(CodeTool(name="c", type="code"), tuple) for _ in range(2)]
        tools = [(await box.open())[0] for box in boxes]
        said = [(await tools[0].use(call_of("c", {"code": "1"}))).content]
        before = children() - others
        await boxes[0].aclose()
        said.append((await tools[1].use(call_of("c", {"code": "2"}))).content)
        await boxes[1].aclose()
        assert before and not children() & before
        return said

    assert asyncio.run(come_and_go()) == ["1", "2"]


def children() -> set[str]:
    """The sandbox's workers that are below this process."""
    own = Path("/proc/self/task")
    found = {each for task in own.iterdir() for each in (task / "children").read_text().split()}
    return {each for each in found if (Path("/proc") / each / "comm").read_text().strip() == "monty"}


def test_items_are_counted_and_cycles_end() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(NotCarried):
        as_json(circle)
    assert len(shown(circle, 50)) <= 300
    with pytest.raises(NotCarried):
        as_json(cast("Sequence[Any]", object()))


def test_a_failure_without_a_line_is_told_too(here: Here) -> None:
    with pytest.raises(Failed, match=r"ran for longer than 0\.2 s"):
        here.raw("while True: pass", {})


def test_an_agent_calculates_and_its_code_uses_a_tool_that_it_is_not_offered(tmp_path: Path) -> None:
    tools = [
        {"name": "calculator", "type": "python", "code": CALCULATOR},
        {"name": "price", "type": "python", "code": "def price(item: str): return {'pen': 3, 'book': 20}[item]"},
        {"name": "code", "type": "code", "functions": ["price"]},
    ]
    agents = [{"name": "clerk", "tools": ["calculator", "code"]}]
    models = [{"name": "m", "serve": {"engine": "echo"}}]
    file = tmp_path / "platform.yaml"
    file.write_text(yaml.safe_dump({"models": models, "tools": tools, "agents": agents}))
    run = run_agent(
        file,
        "clerk",
        "What does it cost?",
        model=script(
            call("calculator", expression="6 * 7"),
            call("code", code="sum(price(item) for item in ['pen', 'book'])"),
            call("code", code="price('car')"),
            say("23"),
        ),
    )
    expect(run).done().called("calculator", expression="6 * 7").did_not_call("price").said("23")
    assert [use.result for use in run.uses][:2] == ["42", "23"]
    assert "KeyError" in str(run.uses[2].result)
