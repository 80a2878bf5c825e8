"""Mistakes in platform.yaml: each is told once, at its place, in plain words, and with what to do about it."""

from __future__ import annotations

import datetime
import re
import string
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanok.errors import Problem, SpecError
from hanok.spec import Loaded, Platform, load

Check = Callable[..., list["Told"]]
Accept = Callable[..., Platform]

SECRET = "sk-very-secret"

# What fields say of themselves, in `hanok.spec.tree`: the hint of last resort.
MODELS = "The models on offer."
NAME = "The name callers use. Unique."
SERVE = "One endpoint, or a list of them; `routing` says which takes a call."
URL = "Base URL, as an OpenAI client would be given it; usually ends in `/v1`."
PORT = "TCP port to listen on."
RETRIES = "Further attempts before the first byte, per model."
FLAGS = "Flags of `vllm serve` without dashes, as `max-model-len: 8192`; `true` gives the bare flag."
QUOTES = "put it in quotes, so that it is read as text"
NOTHING = "write a value here, or take it out"
TYPES = "must be 'chat' or 'embedding' or 'rerank' or 'moderation'"
TYPES_HINT = "What it does: text (`chat`), vectors, an order of documents, or a judgement of texts."
ECHO_KEYS = "known keys here: max_in_flight, weight, tags, teams, price, role, engine, delay_ms"
KNOWN_AT_THE_TOP = (
    "known keys here: "
    "name, state, gateway, ledger, telemetry, cache, batches, models, tiers, knowledge, "
    "vector_stores, milvus, prompts, tools, agents, runs, teams, users, budgets, limits, cluster"
)
ENGINES = "engines: openai, llamacpp, vllm, litellm, sentence-encoder, echo, script"
A_NAME = "must be a name of letters, digits and . _ : / - (at most 128), beginning with a letter or digit"
A_URL = "must be a URL that begins with http:// or https://, with a host and a path and nothing else"
ONLY_SCALARS = "must be text, a number, or true or false"

MODEL = "models:\n- name: a\n  serve: {engine: echo}\n"
OPENAI = "models:\n- name: a\n  serve:\n    engine: openai\n    url: http://x\n"


class Told(NamedTuple):
    """A problem as a person reads it, without the file's name."""

    line: int
    column: int
    path: str
    message: str
    hint: str | None

    def __str__(self) -> str:
        return f"{self.line}:{self.column} {self.path}: {self.message} (hint: {self.hint})"


def case(
    name: str,
    content: str | bytes,
    *told: Told,
    environment: Mapping[str, str] | None = None,
) -> Any:
    """A file and the problems it has."""
    return pytest.param(content, environment or {}, list(told), id=name)


def cases(*params: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("content", "environment", "told"), params)


def agree(told: list[Told], expected: list[Told]) -> None:
    """Fail with both lists as a person reads them (and not with the source of a long table)."""
    if told != expected:
        lines = ["told:", *map(str, told), "expected:", *map(str, expected)]
        pytest.fail("\n".join(lines), pytrace=False)


def models(*lines: str) -> str:
    """A file with one model named `a` and these lines in its block."""
    return "models:\n- name: a\n" + "".join(f"  {line}\n" for line in lines)


def chain(*names: str, **fallbacks: str) -> str:
    """Models served by echo, with these fallbacks as YAML."""
    text = "models:\n"
    for name in names:
        text += f"- name: {name}\n  serve: {{engine: echo}}\n"
        text += f"  fallbacks: {fallbacks[name]}\n" if name in fallbacks else ""
    return text


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "platform.yaml"


@pytest.fixture
def check(file: Path) -> Check:
    """The problems of a file with this content."""

    def run(content: str | bytes, environment: Mapping[str, str] | None = None) -> list[Told]:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        try:
            load(file, environment or {})
        except SpecError as error:
            assert {problem.file for problem in error.problems} == {str(file)}
            return [Told(each.line, each.column, each.path, each.message, each.hint) for each in error.problems]
        except Exception:  # noqa: BLE001 - told to the test
            pytest.fail(traceback.format_exc(limit=-3), pytrace=False)
        pytest.fail("it was taken for right", pytrace=False)

    return run


@pytest.fixture
def accept(file: Path) -> Accept:
    """The platform in a file with this content."""

    def run(content: str | bytes, environment: Mapping[str, str] | None = None) -> Platform:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        try:
            return load(file, environment or {}).platform
        except Exception:  # noqa: BLE001 - told to the test
            pytest.fail(traceback.format_exc(limit=-3), pytrace=False)

    return run


# How a problem reads


def test_a_problem_reads_as_file_line_column_path_message_and_hint(file: Path) -> None:
    file.write_text(f"{MODEL}gateway:\n  prot: 80\n", "utf-8")
    with pytest.raises(SpecError) as caught:
        load(file, {})
    assert str(caught.value) == f"{file}:5:3 gateway.prot: unknown key 'prot'\n  hint: did you mean 'port'?"
    assert caught.value.problems == (
        Problem(
            file=str(file),
            line=5,
            column=3,
            path="gateway.prot",
            message="unknown key 'prot'",
            hint="did you mean 'port'?",
        ),
    )


def test_a_problem_of_the_whole_file_has_no_line(tmp_path: Path) -> None:
    file = tmp_path / "nowhere.yaml"
    with pytest.raises(SpecError) as caught:
        load(file, {})
    assert str(caught.value) == f"{file}: no such file\n  hint: write a starter with `hanok init`"


def test_a_right_file_loads_with_its_folder_and_state(file: Path) -> None:
    file.write_text(f"name: test\nstate: data\n{MODEL}", "utf-8")
    loaded = load(file, {})
    assert (loaded.file, loaded.folder, loaded.state) == (file, file.parent, file.parent / "data")
    assert [model.name for model in loaded.platform.models] == ["a"]


# Keys


@cases(
    case(
        "the top, with the right key too",
        f"{MODEL}modles: []\n",
        Told(4, 1, "modles", "unknown key 'modles'", "did you mean 'models'?"),
    ),
    case(
        "the top, in place of a key that must be there",
        "modles:\n- name: a\n  serve: {engine: echo}\n",
        Told(1, 1, "modles", "unknown key 'modles'", "did you mean 'models'?"),
    ),
    case(
        "the top, like no other",
        f"zzz: 1\n{MODEL}",
        Told(
            1,
            1,
            "zzz",
            "unknown key 'zzz'",
            KNOWN_AT_THE_TOP,
        ),
    ),
    case(
        "the top, without a value",
        f"zzz:\n{MODEL}",
        Told(
            1,
            1,
            "zzz",
            "unknown key 'zzz'",
            KNOWN_AT_THE_TOP,
        ),
    ),
    case(
        "the gateway",
        f"{MODEL}gateway:\n  prot: 80\n",
        Told(5, 3, "gateway.prot", "unknown key 'prot'", "did you mean 'port'?"),
    ),
    case(
        "the gateway, in braces",
        f"{MODEL}gateway: {{host: x, prot: 80}}\n",
        Told(4, 20, "gateway.prot", "unknown key 'prot'", "did you mean 'port'?"),
    ),
    case(
        "a model",
        models("serve: {engine: echo}", "fallback: [b]"),
        Told(4, 3, "models[0].fallback", "unknown key 'fallback'", "did you mean 'fallbacks'?"),
    ),
    case(
        "the second model",
        f"{MODEL}- name: b\n  serve: {{engine: echo}}\n  retry: 3\n",
        Told(6, 3, "models[1].retry", "unknown key 'retry'", "did you mean 'retries'?"),
    ),
    case(
        "serve as a block",
        models("serve:", "  engine: openai", "  url: http://x", "  modle: b"),
        Told(6, 5, "models[0].serve.modle", "unknown key 'modle'", "did you mean 'model'?"),
    ),
    case(
        "serve as a list",
        models("serve:", "- engine: openai", "  url: http://x", "  modle: b"),
        Told(6, 5, "models[0].serve[0].modle", "unknown key 'modle'", "did you mean 'model'?"),
    ),
    case(
        "the second of a list in serve",
        models("serve:", "- engine: echo", "- engine: openai", "  url: http://x", "  modle: b"),
        Told(7, 5, "models[0].serve[1].modle", "unknown key 'modle'", "did you mean 'model'?"),
    ),
    case(
        "serve, for the engine, as a block",
        models("serve:", "  enigne: echo"),
        Told(4, 5, "models[0].serve.enigne", "unknown key 'enigne'", "did you mean 'engine'?"),
    ),
    case(
        "serve, for the engine, as a list",
        models("serve:", "- url: http://x", "  enigne: openai"),
        Told(5, 5, "models[0].serve[0].enigne", "unknown key 'enigne'", "did you mean 'engine'?"),
    ),
    case(
        "serve, named as the engine is",
        models("serve: {engine: echo, echo: 1}"),
        Told(
            3,
            25,
            "models[0].serve.echo",
            "unknown key 'echo'",
            "known keys here: max_in_flight, weight, tags, teams, price, role, engine, delay_ms",
        ),
    ),
    case(
        "a turn",
        models("serve:", "  engine: script", "  turns:", "  - say: b", "    wen: c"),
        Told(7, 7, "models[0].serve.turns[0].wen", "unknown key 'wen'", "did you mean 'when'?"),
    ),
    case(
        "timeouts",
        models("serve: {engine: echo}", "timeouts:", "  connect: 3"),
        Told(5, 5, "models[0].timeouts.connect", "unknown key 'connect'", "did you mean 'connect_s'?"),
    ),
    case(
        "price",
        models("serve: {engine: echo}", "price: {imput: 3}"),
        Told(4, 11, "models[0].price.imput", "unknown key 'imput'", "did you mean 'input'?"),
    ),
    case(
        "the top, far from every key",
        f"x-defaults: &d {{retries: 3}}\n{MODEL}",
        Told(
            1,
            1,
            "x-defaults",
            "unknown key 'x-defaults'",
            KNOWN_AT_THE_TOP,
        ),
    ),
)
def test_an_unknown_key_is_told_where_it_stands_with_the_nearest_that_exists(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


@cases(
    case("models", "name: x\n", Told(1, 1, "models", "'models' is missing here", MODELS)),
    case(
        "name",
        "models:\n- serve: {engine: echo}\n",
        Told(2, 3, "models[0].name", "'name' is missing here", NAME),
    ),
    case("serve", "models:\n- name: a\n", Told(2, 3, "models[0].serve", "'serve' is missing here", SERVE)),
    case(
        "name and serve",
        "models:\n- {}\n",
        Told(2, 3, "models[0].name", "'name' is missing here", NAME),
        Told(2, 3, "models[0].serve", "'serve' is missing here", SERVE),
    ),
    case(
        "url, in a block",
        models("serve:", "  engine: openai"),
        Told(4, 5, "models[0].serve.url", "'url' is missing here", URL),
    ),
    case(
        "url, in a list",
        models("serve:", "- engine: echo", "- engine: openai"),
        Told(5, 5, "models[0].serve[1].url", "'url' is missing here", URL),
    ),
    case(
        "model, for vllm",
        models("serve: {engine: vllm}"),
        Told(3, 10, "models[0].serve.model", "'model' is missing here", "A model's name or folder, as `vllm serve` takes it."),  # noqa: E501
    ),
    case(
        "turns",
        models("serve: {engine: script}"),
        Told(3, 10, "models[0].serve.turns", "'turns' is missing here", "The answers."),
    ),
    case(
        "say",
        models("serve:", "  engine: script", "  turns:", "  - when: b"),
        Told(6, 7, "models[0].serve.turns[0]", "must have `say`, `call`, `json` or `error`", "The answers."),
    ),
)  # fmt: skip
def test_a_missing_key_is_told_at_the_block_that_lacks_it(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


@cases(
    case("a number", f"{MODEL}1: x\n", Told(4, 1, "1", "key '1' is not text", "put it in quotes")),
    case("null", f"{MODEL}null: y\n", Told(4, 1, "null", "key 'null' is not text", "put it in quotes")),
    case("yes", f"{MODEL}yes: y\n", Told(4, 1, "yes", "key 'yes' is not text", "put it in quotes")),
    case(
        "a date",
        f"{MODEL}2026-11-22: y\n",
        Told(4, 1, "2026-11-22", "key '2026-11-22' is not text", "put it in quotes"),
    ),
    case(
        "a number in a model",
        models("serve: {engine: echo}", "1: x"),
        Told(4, 3, "models[0].1", "key '1' is not text", "put it in quotes"),
    ),
    case(
        "a number in serve",
        models("serve: {engine: echo, 0: x}"),
        Told(3, 25, "models[0].serve.0", "key '0' is not text", "put it in quotes"),
    ),
    case(
        "a number in flags",
        models("serve: {engine: vllm, model: b, flags: {1: x}}"),
        Told(3, 43, "models[0].serve.flags.1", "key '1' is not text", "put it in quotes"),
    ),
    case(
        "a list",
        f"{MODEL}[a]: b\n",
        Told(4, 1, "", "a key must be text, not a list or a mapping", "write `key: value`"),
    ),
    case(
        "a mapping",
        f"{MODEL}{{a: b}}: c\n",
        Told(4, 1, "", "a key must be text, not a list or a mapping", "write `key: value`"),
    ),
    case(
        "two lists",
        f"{MODEL}[a]: b\n[c]: d\n",
        Told(4, 1, "", "a key must be text, not a list or a mapping", "write `key: value`"),
        Told(5, 1, "", "a key must be text, not a list or a mapping", "write `key: value`"),
    ),
)
def test_a_key_that_is_not_text_is_told_where_it_stands(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


@cases(
    case(
        "the top",
        f"name: x\n{MODEL}name: y\n",
        Told(5, 1, "name", "key 'name' is written twice; the first is in line 1", "keep one of them"),
    ),
    case(
        "a model",
        models("serve: {engine: echo}", "serve: {engine: echo}"),
        Told(4, 3, "models[0].serve", "key 'serve' is written twice; the first is in line 3", "keep one of them"),
    ),
    case(
        "the top, three times",
        f"name: x\nname: y\nname: z\n{MODEL}",
        Told(2, 1, "name", "key 'name' is written twice; the first is in line 1", "keep one of them"),
        Told(3, 1, "name", "key 'name' is written twice; the first is in line 1", "keep one of them"),
    ),
    case(
        "a quoted and a plain number",
        f"{MODEL}'1': x\n1: y\n",
        Told(
            4,
            1,
            "1",
            "unknown key '1'",
            KNOWN_AT_THE_TOP,
        ),
        Told(5, 1, "1", "key '1' is not text", "put it in quotes"),
    ),
)
def test_a_key_written_twice_is_told_with_the_line_of_the_first(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


def test_a_key_written_twice_is_told_at_the_second(check: Check) -> None:
    assert [(each.line, each.column, each.path, each.message) for each in check(f"name: x\n{MODEL}name: y\n")] == [
        (5, 1, "name", "key 'name' is written twice; the first is in line 1")
    ]


def test_the_same_key_in_two_blocks_is_no_mistake(accept: Accept) -> None:
    assert accept(f"name: a\n{MODEL}").name == "a"


# Values


@cases(
    case("the port is a word", f"{MODEL}gateway:\n  port: abc\n",
         Told(5, 9, "gateway.port", "must be a whole number", PORT)),
    case("the port is a fraction", f"{MODEL}gateway:\n  port: 80.5\n",
         Told(5, 9, "gateway.port", "must be a whole number", PORT)),
    case("the port is 0", f"{MODEL}gateway:\n  port: 0\n",
         Told(5, 9, "gateway.port", "must be at least 1", PORT)),
    case("the port is too high", f"{MODEL}gateway:\n  port: 65536\n",
         Told(5, 9, "gateway.port", "must be at most 65535", PORT)),
    case("the port is a list", f"{MODEL}gateway:\n  port: [80]\n",
         Told(5, 9, "gateway.port", "must be a whole number", PORT)),
    case("the port is nothing", f"{MODEL}gateway:\n  port:\n",
         Told(5, 8, "gateway.port", "must be a whole number", NOTHING)),
    case("the port is true", f"{MODEL}gateway:\n  port: true\n",
         Told(5, 9, "gateway.port", "must be a whole number", PORT)),
    case("retries are yes", models("serve: {engine: echo}", "retries: yes"),
         Told(4, 12, "models[0].retries", "must be a whole number", RETRIES)),
    case("retries are negative", models("serve: {engine: echo}", "retries: -1"),
         Told(4, 12, "models[0].retries", "must be at least 0", RETRIES)),
    case("retries are too many", models("serve: {engine: echo}", "retries: 11"),
         Told(4, 12, "models[0].retries", "must be at most 10", RETRIES)),
    case("a time has a unit", models("serve: {engine: echo}", "timeouts: {connect_s: 5s}"),
         Told(4, 25, "models[0].timeouts.connect_s", "must be a number", "Seconds to connect.")),
    case("a time is 0", f"{MODEL}gateway: {{health_every_s: 0}}\n",
         Told(4, 27, "gateway.health_every_s", "must be more than 0",
              "Seconds between two looks at each endpoint's health.")),
    case("a size has no end", f"{MODEL}gateway: {{body_limit_mib: .inf}}\n",
         Told(4, 27, "gateway.body_limit_mib", "must be a finite number", "Largest request body, in MiB.")),
    case("a truth is a word", models("serve: {engine: openai, url: http://x, verify_tls: maybe}"),
         Told(3, 54, "models[0].serve.verify_tls", "must be true or false",
              "Check the certificate. Turn off for a laboratory only.")),
    case("the gateway is text", f"gateway: text\n{MODEL}",
         Told(1, 10, "gateway", "must be a mapping of keys", "The HTTP door.")),
    case("the gateway is a list", f"gateway: [host]\n{MODEL}",
         Told(1, 10, "gateway", "must be a mapping of keys", "The HTTP door.")),
    case("the gateway is nothing", f"gateway:\n{MODEL}",
         Told(1, 9, "gateway", "must be a mapping of keys", NOTHING)),
    case("models is a number", "models: 5\n", Told(1, 9, "models", "must be a list", MODELS)),
    case("models is an empty mapping", "models: {}\n", Told(1, 9, "models", "must be a list", MODELS)),
    case("models is a mapping", "models:\n  a:\n    serve: {engine: echo}\n",
         Told(2, 3, "models", "must be a list", MODELS)),
    case("models is empty", "models: []\n", Told(1, 9, "models", "must not be empty", MODELS)),
    case("models is nothing", "models:\n", Told(1, 8, "models", "must be a list", NOTHING)),
    case("a model is text", "models:\n- gpt\n",
         Told(2, 3, "models[0]", "must be a mapping of keys", MODELS)),
    case("a model is nothing", "models:\n-\n",
         Told(2, 2, "models[0]", "must be a mapping of keys", NOTHING)),
    case("a name is a list", "models:\n- name: [a]\n  serve: {engine: echo}\n",
         Told(2, 9, "models[0].name", "must be text", NAME)),
    case("a name is nothing", "models:\n- name:\n  serve: {engine: echo}\n",
         Told(2, 8, "models[0].name", "must be text", NOTHING)),
    case("a name has a blank", "models:\n- name: my model\n  serve: {engine: echo}\n",
         Told(2, 9, "models[0].name", A_NAME, NAME)),
    case("a name is too long", f"name: {'a' * 129}\n{MODEL}",
         Told(1, 7, "name", A_NAME, "The platform's name.")),
    case("serve is text", models("serve: openai"),
         Told(3, 10, "models[0].serve", "must be a mapping of keys, or a list of them", SERVE)),
    case("serve is a list of text", models("serve: [openai]"),
         Told(3, 11, "models[0].serve[0]", "must be a mapping of keys", SERVE)),
    case("serve is an empty list", models("serve: []"),
         Told(3, 10, "models[0].serve", "must not be empty", SERVE)),
    case("serve is nothing", models("serve:"),
         Told(3, 9, "models[0].serve", "must be a mapping of keys, or a list of them", NOTHING)),
    case("a type is misspelt", models("type: embeding", "serve: {engine: echo}"),
         Told(3, 9, "models[0].type", TYPES, "did you mean 'embedding'?")),
    case("a type is a number", models("type: 5", "serve: {engine: echo}"),
         Told(3, 9, "models[0].type", TYPES, TYPES_HINT)),
    case("fallbacks are text", models("serve: {engine: echo}", "fallbacks: b"),
         Told(4, 14, "models[0].fallbacks", "must be a list",
              "When no endpoint of this model answers.")),
    case("flags are a number", models("serve: {engine: vllm, model: b, flags: 5}"),
         Told(3, 42, "models[0].serve.flags", "must be a mapping of keys", FLAGS)),
    case("a flag is a list", models("serve: {engine: vllm, model: b, flags: {c: [1]}}"),
         Told(3, 46, "models[0].serve.flags.c", ONLY_SCALARS, FLAGS)),
    case("two flags are lists", models("serve:", "- {engine: vllm, model: b, flags: {c: [1], d: {}}}"),
         Told(4, 41, "models[0].serve[0].flags.c", ONLY_SCALARS, FLAGS),
         Told(4, 49, "models[0].serve[0].flags.d", ONLY_SCALARS, FLAGS)),
    case("a header is a number", models("serve: {engine: openai, url: http://x, headers: {b: 5}}"),
         Told(3, 55, "models[0].serve.headers.b", "must be text", QUOTES)),
    case("a key is a number", models("serve: {engine: openai, url: http://x, key: 5}"),
         Told(3, 47, "models[0].serve.key", "must be text", QUOTES)),
    case("a price is negative", models("serve: {engine: echo}", "price: {input: -3}"),
         Told(4, 18, "models[0].price.input", "must be at least 0", "USD per million prompt tokens.")),
    case("turns are empty", models("serve: {engine: script, turns: []}"),
         Told(3, 34, "models[0].serve.turns", "must not be empty", "The answers.")),
    case("a turn is text", models("serve: {engine: script, turns: [hello]}"),
         Told(3, 35, "models[0].serve.turns[0]", "must be a mapping of keys", "The answers.")),
    case("the state folder has no name", f"state: ''\n{MODEL}",
         Told(1, 8, "state", "must not be empty", "Folder for everything that is kept, relative to this file.")),
)  # fmt: skip
def test_a_wrong_value_is_told_once_in_plain_words_with_what_is_meant(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


@pytest.mark.parametrize(
    ("content", "line", "column", "path"),
    [
        (f"{MODEL}gateway:\n  port: abc\n", 5, 9, "gateway.port"),
        ("models: 5\n", 1, 9, "models"),
        ("models: {}\n", 1, 9, "models"),
        (models("serve: {engine: echo}", "retries: -1"), 4, 12, "models[0].retries"),
        ("models:\n- name: [a]\n  serve: {engine: echo}\n", 2, 9, "models[0].name"),
        (models("serve: text"), 3, 10, "models[0].serve"),
        (models("serve: {engine: vllm, model: b, flags: 5}"), 3, 42, "models[0].serve.flags"),
        (models("serve: [{engine: vllm, model: b, flags: 5}]"), 3, 43, "models[0].serve[0].flags"),
        (models("serve: {engine: echo}", "price: {cached_input: free}"), 4, 25, "models[0].price.cached_input"),
    ],
)
def test_a_wrong_value_is_told_where_it_stands(check: Check, content: str, line: int, column: int, path: str) -> None:
    assert [(each.line, each.column, each.path) for each in check(content)] == [(line, column, path)]


@cases(
    case("a date", f"name: 2026-11-22\n{MODEL}", Told(1, 7, "name", "must be text", QUOTES)),
    case("a number", f"name: 5\n{MODEL}", Told(1, 7, "name", "must be text", QUOTES)),
    case("yes", f"name: yes\n{MODEL}", Told(1, 7, "name", "must be text", QUOTES)),
    case("a version", "models:\n- name: 1.5\n  serve: {engine: echo}\n",
         Told(2, 9, "models[0].name", "must be text", QUOTES)),
    case("a day that never was", f"name: 2026-13-45\n{MODEL}",
         Told(1, 7, "name", "is written like a date, and is none", "put text in quotes")),
    case("an endless number", f"name: {'1' * 5000}\n{MODEL}",
         Told(1, 7, "name", "is written like a number, and is none", "put text in quotes")),
)  # fmt: skip
def test_a_name_that_yaml_does_not_read_as_text_wants_quotes(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


@pytest.mark.parametrize("name", ["'2026-11-22'", '"5"', "'yes'", "gpt-5.4", "a/b:c", "0x", "08", "1:70"])
def test_names_in_quotes_and_plain_words_are_text(accept: Accept, name: str) -> None:
    assert accept(f"name: {name}\n{MODEL}").name == name.strip("'\"")


def test_a_plain_equals_sign_is_text(accept: Accept) -> None:
    assert accept(f"state: =\n{MODEL}").state == "="


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:11434", A_URL),
        ("ftp://x", A_URL),
        ("'http://'", A_URL),
        ("'http://x y z'", A_URL),
        ("http://x/v1?key=y", A_URL),
        ("http://me:password@x/v1", A_URL),
        pytest.param(
            "http://x:99999/",
            "must be a URL with a host, and a port from 1 to 65535 if any",
        ),
        pytest.param(
            "http://x:abc/",
            "must be a URL with a host, and a port from 1 to 65535 if any",
        ),
        pytest.param(
            "'http://[::1'",
            "must be a URL with a host, and a port from 1 to 65535 if any",
        ),
    ],
)
def test_a_url_that_leads_nowhere_is_told(check: Check, url: str, message: str) -> None:
    (told,) = check(models("serve:", "  engine: openai", f"  url: {url}"))
    assert told[:4] == (5, 10, "models[0].serve.url", message)


# Engines


@cases(
    case("near", models("serve: {engine: opena}"),
         Told(3, 19, "models[0].serve.engine", "no engine is called 'opena'", f"did you mean 'openai'? {ENGINES}")),
    case("near, in a list", models("serve: [{engine: echo}, {engine: lamacpp}]"),
         Told(3, 36, "models[0].serve[1].engine", "no engine is called 'lamacpp'",
              f"did you mean 'llamacpp'? {ENGINES}")),
    case("far", models("serve:", "  engine: zzzzz"),
         Told(4, 13, "models[0].serve.engine", "no engine is called 'zzzzz'", ENGINES)),
    case("a number", models("serve: {engine: 5}"),
         Told(3, 19, "models[0].serve.engine", "no engine is called '5'", ENGINES)),
    case("nothing", models("serve: {engine: }"),
         Told(3, 18, "models[0].serve.engine", "'engine' is missing here", "for example `engine: openai`")),
)  # fmt: skip
def test_an_engine_that_does_not_exist_is_told_with_the_nearest_that_does(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


@cases(
    case("a block", models("serve:", "  url: http://x"),
         Told(4, 5, "models[0].serve.engine", "'engine' is missing here", "for example `engine: openai`")),
    case("a list", models("serve:", "- engine: echo", "- url: http://x"),
         Told(5, 5, "models[0].serve[1].engine", "'engine' is missing here", "for example `engine: openai`")),
    case("an empty block", models("serve: {}"),
         Told(3, 10, "models[0].serve.engine", "'engine' is missing here", "for example `engine: openai`")),
)  # fmt: skip
def test_a_missing_engine_is_told_with_an_example(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


def test_a_missing_engine_is_told_at_the_block_that_lacks_it(check: Check) -> None:
    ((line, column, _, message, hint),) = check(models("serve:", "  url: http://x"))
    assert (line, column, message, hint) == (4, 5, "'engine' is missing here", "for example `engine: openai`")


@cases(
    case("vectors for chat", models("serve: {engine: sentence-encoder}"),
         Told(3, 19, "models[0].serve.engine",
              "engine 'sentence-encoder' cannot serve a model for chat, only for embedding or rerank",
              "write `type: embedding`, or use `engine: llamacpp` or `engine: script` or `engine: echo` or "
              "`engine: openai`")),
    case("text for embedding", models("type: embedding", "serve: {engine: echo}"),
         Told(4, 19, "models[0].serve.engine", "engine 'echo' cannot serve a model for embedding, only for chat",
              "write `type: chat`, or use `engine: llamacpp` or `engine: sentence-encoder` or `engine: openai`")),
    case("moderation", models("type: moderation", "serve: {engine: llamacpp}"),
         Told(4, 19, "models[0].serve.engine",
              "engine 'llamacpp' cannot serve a model for moderation, only for chat or embedding or rerank",
              "write `type: chat`, or use `engine: openai`")),
    case("two of a list", models("type: embedding", "serve:", "- engine: sentence-encoder", "- engine: echo",
                                 "- {engine: script, turns: [{say: b}]}"),
         Told(6, 13, "models[0].serve[1].engine", "engine 'echo' cannot serve a model for embedding, only for chat",
              "write `type: chat`, or use `engine: llamacpp` or `engine: sentence-encoder` or `engine: openai`"),
         Told(7, 14, "models[0].serve[2].engine", "engine 'script' cannot serve a model for embedding, only for chat",
              "write `type: chat`, or use `engine: llamacpp` or `engine: sentence-encoder` or `engine: openai`")),
)  # fmt: skip
def test_an_engine_unfit_for_the_type_is_told(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


# What refers to what


@cases(
    case("twice", chain("a", "a"),
         Told(4, 9, "models[1].name", "the name 'a' is taken by models[0]",
              "several endpoints of one model go into its `serve` list")),
    case("three times", chain("a", "b", "a", "a"),
         Told(6, 9, "models[2].name", "the name 'a' is taken by models[0]",
              "several endpoints of one model go into its `serve` list"),
         Told(8, 9, "models[3].name", "the name 'a' is taken by models[0]",
              "several endpoints of one model go into its `serve` list")),
)  # fmt: skip
def test_a_name_that_is_taken_is_told_at_the_later_model(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


@cases(
    case("near", chain("alpha", "beta", beta="[alpa]"),
         Told(6, 15, "models[1].fallbacks[0]", "no model is called 'alpa'", "did you mean 'alpha'?")),
    case("far", chain("alpha", "beta", beta="[alpha, zzz]"),
         Told(6, 22, "models[1].fallbacks[1]", "no model is called 'zzz'", "declared models: alpha, beta")),
    case("both, in lines of their own", chain("alpha", "beta", beta="\n  - alpa\n  - zzz"),
         Told(7, 5, "models[1].fallbacks[0]", "no model is called 'alpa'", "did you mean 'alpha'?"),
         Told(8, 5, "models[1].fallbacks[1]", "no model is called 'zzz'", "declared models: alpha, beta")),
    case("of another type", "models:\n- name: a\n  serve: {engine: echo}\n  fallbacks: [b]\n"
         "- name: b\n  type: embedding\n  serve: {engine: sentence-encoder}\n",
         Told(4, 15, "models[0].fallbacks[0]", "'b' is a model for embedding, 'a' for chat",
              "name a model for chat, or take it out")),
)  # fmt: skip
def test_a_fallback_that_cannot_be_one_is_told(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


@cases(
    case("itself", chain("a", a="[a]"),
         Told(4, 14, "models[0].fallbacks", "fallbacks go in a circle: a → a", "take one of these fallbacks out")),
    case("two", chain("a", "b", a="[b]", b="[a]"),
         Told(4, 14, "models[0].fallbacks", "fallbacks go in a circle: a → b → a", "take one of these fallbacks out")),
    case("three", chain("a", "b", "c", a="[b]", b="[c]", c="[a]"),
         Told(4, 14, "models[0].fallbacks", "fallbacks go in a circle: a → b → c → a",
              "take one of these fallbacks out")),
    case("two of three", chain("a", "b", "c", a="[b]", b="[c]", c="[b]"),
         Told(7, 14, "models[1].fallbacks", "fallbacks go in a circle: b → c → b", "take one of these fallbacks out")),
    case("two circles", chain("a", "b", a="[a]", b="[b]"),
         Told(4, 14, "models[0].fallbacks", "fallbacks go in a circle: a → a", "take one of these fallbacks out"),
         Told(7, 14, "models[1].fallbacks", "fallbacks go in a circle: b → b", "take one of these fallbacks out")),
)  # fmt: skip
def test_fallbacks_in_a_circle_are_told_once_at_the_first_of_them(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


def test_two_ways_to_one_fallback_are_no_circle(accept: Accept) -> None:
    platform = accept(chain("a", "b", "c", "d", a="[b, c]", b="[d]", c="[d]"))
    assert platform.models[0].fallbacks.error == ["b", "c"]


def test_many_ways_to_one_fallback_are_looked_at_in_no_time(accept: Accept, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"m{index}" for index in range(13)]
    text = chain(*names, **{name: f"[{', '.join(names[index + 1 :])}]" for index, name in enumerate(names)})
    looked: list[str] = []
    find = Platform.model
    monkeypatch.setattr(Platform, "model", lambda self, name: looked.append(name) or find(self, name))
    accept(text)
    assert len(looked) <= 3 * len(names) ** 2


def test_a_long_chain_of_fallbacks_is_no_mistake(accept: Accept) -> None:
    names = [f"m{index}" for index in range(1000)]
    assert accept(chain(*names, **{name: f"[{after}]" for name, after in pairwise(names)})).model("m999")


# The file itself


def test_a_folder_is_told_as_one(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, {})
    assert str(caught.value) == (
        f"{tmp_path}: is a folder, not a file\n  hint: name the file, as in `hanok up platform.yaml`"
    )


def test_a_file_that_cannot_be_opened_is_told_with_the_reason(file: Path) -> None:
    file.touch()
    with pytest.raises(SpecError) as caught:
        load(file / "below", {})
    assert str(caught.value).startswith(f"{file / 'below'}: cannot be read: Not a directory")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("platform.yaml/below"),
        pytest.param("a" * 300),
        pytest.param("a\0b"),
    ],
    ids=["below a file", "a long name", "a name with NUL"],
)
def test_a_file_that_cannot_be_opened_comes_with_a_hint(file: Path, name: str) -> None:
    file.touch()
    with pytest.raises(SpecError) as caught:
        load(file.parent / name, {})
    assert [problem.hint for problem in caught.value.problems] == ["check the file's name and its permissions"]


@cases(
    case("in a value", b"name: x\nmodels:\n- name: \xff\n",
         Told(3, 9, "", "is not UTF-8: byte 0xff", "save the file as UTF-8")),
    case("Latin-1", "name: café\n".encode("latin-1"),
         Told(1, 10, "", "is not UTF-8: byte 0xe9", "save the file as UTF-8")),
    case("a surrogate", b"name: \xed\xa0\x80\n",
         Told(1, 7, "", "is not UTF-8: byte 0xed", "save the file as UTF-8")),
    case("cut off in a character", "name: 한".encode()[:-1],
         Told(1, 7, "", "is not UTF-8: byte 0xed", "save the file as UTF-8")),
    case("after Korean", "name: 한옥".encode() + b"\xff\n",
         Told(1, 9, "", "is not UTF-8: byte 0xff", "save the file as UTF-8")),
    case("after a byte order mark", b"\xef\xbb\xbfname: a\xff\n",
         Told(1, 8, "", "is not UTF-8: byte 0xff", "save the file as UTF-8")),
    case("UTF-16, little end first", b"\xff\xfe" + MODEL.encode("utf-16-le"),
         Told(1, 1, "", "is not UTF-8: byte 0xff", "save the file as UTF-8")),
    case("UTF-16, big end first", b"\xfe\xff" + MODEL.encode("utf-16-be"),
         Told(1, 1, "", "is not UTF-8: byte 0xfe", "save the file as UTF-8")),
)  # fmt: skip
def test_broken_utf8_is_told_where_it_begins(
    check: Check, content: bytes, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


@cases(
    case("NUL", f"name: x\n{MODEL}state: 한\0\n",
         Told(5, 9, "", "is not YAML: the character U+0000 is not allowed", "delete it, and save the file as UTF-8")),
    case("a bell", "name: \a\n",
         Told(1, 7, "", "is not YAML: the character U+0007 is not allowed", "delete it, and save the file as UTF-8")),
    case("no character", "name: \uffff\n",
         Told(1, 7, "", "is not YAML: the character U+FFFF is not allowed", "delete it, and save the file as UTF-8")),
    case("UTF-16 without its mark", MODEL.encode("utf-16-le"),
         Told(1, 2, "", "is not YAML: the character U+0000 is not allowed", "delete it, and save the file as UTF-8")),
)  # fmt: skip
def test_a_character_that_no_text_holds_is_told_where_it_stands(
    check: Check, content: str | bytes, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


@cases(
    case("NUL", f'state: "a\\0b"\n{MODEL}',
         Told(1, 8, "state", "holds U+0000, which is not a character of text", "take it out")),
    case("half a character", f'state: "\\ud800"\n{MODEL}',
         Told(1, 8, "state", "holds U+D800, which is not a character of text", "take it out")),
    case("half a character in a key", f'{MODEL}"\\ud800": x\n',
         Told(4, 1, "", "the key holds U+D800, which is not a character of text", "take it out")),
    case("more than there are", f'name: "\\U00110000"\n{MODEL}',
         Told(1, 10, "", "is not YAML: no such character", "look at the `\\U…` just before")),
    case("far more than there are", f'name: "\\Uffffffff"\n{MODEL}',
         Told(1, 10, "", "is not YAML: no such character", "look at the `\\U…` just before")),
)  # fmt: skip
def test_an_escape_that_is_no_character_is_told(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


def test_a_byte_order_mark_is_no_mistake(accept: Accept, check: Check) -> None:
    assert accept(b"\xef\xbb\xbf" + f"name: x\n{MODEL}".encode()).name == "x"
    assert [each[:3] for each in check(b"\xef\xbb\xbf" + f"zzz: x\n{MODEL}".encode())] == [(1, 1, "zzz")]


EMPTY = Told(0, 0, "", "is empty", "write a starter over it with `hanok init --force`")


@cases(
    case("nothing", "", EMPTY),
    case("blanks", "  \n\n   \n", EMPTY),
    case("only comments", "# a platform\n\n# to be\n", EMPTY),
    case("a byte order mark", b"\xef\xbb\xbf", EMPTY),
    case("the begin of a document", "---\n", EMPTY),
    case("null", "null\n", EMPTY),
)
def test_an_empty_file_is_told_as_one(
    check: Check, content: str | bytes, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


NO_MAPPING = ("", "is not a mapping of keys", "it begins with keys such as `name:` and `models:`")


@cases(
    case("a list", "- name: a\n", Told(1, 1, *NO_MAPPING)),
    case("a list after a comment", "# models\n\n- name: a\n", Told(3, 1, *NO_MAPPING)),
    case("a list, indented", "\n   - name: a\n", Told(2, 4, *NO_MAPPING)),
    case("a word", "hello\n", Told(1, 1, *NO_MAPPING)),
    case("a number", "5\n", Told(1, 1, *NO_MAPPING)),
)
def test_a_file_that_is_no_mapping_is_told(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


def test_a_huge_file_is_told_without_being_read(check: Check) -> None:
    assert check(b"#" * (4 * 1024 * 1024 + 1)) == [
        Told(0, 0, "", "is larger than 4 MiB", "a platform file is a few kilobytes of YAML")
    ]


# YAML


@cases(
    case("a tab", "models:\n\t- name: a\n",
         Told(2, 1, "", "is not YAML: a tab where only spaces may stand", "indent with spaces")),
    case("an open double quote", f'name: "abc\n{MODEL}',
         Told(1, 7, "", "is not YAML: the quote that opens here is never closed",
              "close it with the same kind of quote")),
    case("an open single quote", f"name: 'abc\n{MODEL}",
         Told(1, 7, "", "is not YAML: the quote that opens here is never closed",
              "close it with the same kind of quote")),
    case("an open brace", f"{MODEL}gateway: {{port: 5\n",
         Told(4, 10, "", "is not YAML: a bracket is still open where the file ends",
              "close `[` with `]` and `{` with `}`")),
    case("an open bracket", "models: [\n",
         Told(2, 1, "", "is not YAML: a bracket is still open where the file ends",
              "close `[` with `]` and `{` with `}`")),
    case("a bracket too many", f"{MODEL}name: [a]]\n",
         Told(4, 10, "", "is not YAML: this does not fit the lines above",
              "check the indentation, quotes and brackets from there to here")),
    case("a key without a colon", "name: a\nmodels\n",
         Told(2, 1, "", "is not YAML: no `:` after this key", "write `key: value`")),
    case("two colons", f"name: a: b\n{MODEL}",
         Told(1, 8, "", "is not YAML: no `: ` may stand here",
              "check the indentation, and put text that holds `: ` in quotes")),
    case("a key indented too far", f"name: a\n  state: b\n{MODEL}",
         Told(2, 8, "", "is not YAML: no `: ` may stand here",
              "check the indentation, and put text that holds `: ` in quotes")),
    case("an item indented too far", "models:\n - name: a\n   serve: {engine: echo}\n  - name: b\n",
         Told(4, 3, "", "is not YAML: this does not fit the lines above",
              "check the indentation, quotes and brackets from there to here")),
    case("a list begun behind its key", "models: - name: a\n",
         Told(1, 9, "", "is not YAML: no list may begin here", "begin the list in a new line")),
    case("an at sign", f"name: @a\n{MODEL}",
         Told(1, 7, "", "is not YAML: found character '@' that cannot start any token", "put the value in quotes")),
    case("a star for every host", f"gateway:\n  host: *\n{MODEL}",
         Told(2, 10, "", "is not YAML: expected alphabetic or numeric character, but found '\\n'",
              "put the value in quotes")),
    case("a second document", f"{MODEL}---\n{MODEL}",
         Told(4, 1, "", "is not YAML: a second document", "keep one here; a file holds one platform")),
    case("an alias of nothing", "models: *nope\n",
         Told(1, 9, "", "is not YAML: nothing is called 'nope'",
              "give a value that name with `&`, or put text that begins with `*` in quotes")),
    case("an anchor set twice", f"name: &a x\nstate: &a y\n{MODEL}",
         Told(2, 8, "", "is not YAML: an anchor `&` whose name is taken", "give it another name")),
    case("a variable in braces without quotes", f"{MODEL}gateway: {{port: ${{env:PORT}}}}\n",
         Told(4, 18, "", "is not YAML: a `{` that does not belong here",
              "inside [ ] and { }, put `${env:NAME}` in quotes")),
)  # fmt: skip
def test_broken_yaml_is_told_in_plain_words_where_the_mistake_begins(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        ("models:\n\t- name: a\n", 2, 1),
        (f"name: a: b\n{MODEL}", 1, 8),
        ("models:\n - name: a\n   serve: {engine: echo}\n  - name: b\n", 4, 3),
        (f"{MODEL}---\n{MODEL}", 4, 1),
        (f"{MODEL}---\n", 4, 1),
        ("models: *nope\n", 1, 9),
    ],
    ids=["a tab", "two colons", "an item indented too far", "two documents", "an empty second document", "an alias"],
)
def test_broken_yaml_is_told_with_a_line(check: Check, content: str, line: int, column: int) -> None:
    (told,) = check(content)
    assert told[:3] == (line, column, "")
    assert told.message.startswith("is not YAML: ")


@pytest.mark.parametrize("content", [f"---\n{MODEL}", f"%YAML 1.1\n---\n{MODEL}...\n", f"{MODEL}...\n# the end\n"])
def test_one_document_with_its_marks_is_no_mistake(accept: Accept, content: str) -> None:
    assert accept(content).model("a")


def test_an_anchor_stands_for_its_value(accept: Accept) -> None:
    platform = accept("models:\n- name: a\n  serve: &s {engine: echo, delay_ms: 3}\n- name: b\n  serve: *s\n")
    assert platform.models[0].serve == platform.models[1].serve


def test_a_merge_takes_keys_over_and_leaves_those_that_are_there(accept: Accept) -> None:
    platform = accept(
        "models:\n- &a\n  name: a\n  retries: 5\n  serve: {engine: echo}\n"
        "- &b {name: b, retries: 7, serve: {engine: echo, delay_ms: 3}}\n"
        "- <<: [*a, *b]\n  name: c\n- <<: *b\n  name: d\n"
    )
    assert [(model.name, model.retries) for model in platform.models] == [("a", 5), ("b", 7), ("c", 5), ("d", 7)]


@cases(
    case("of an anchor", "models:\n- name: a\n  serve: &s {engine: echo, zz: 1}\n- name: b\n  serve: *s\n",
         Told(3, 28, "models[0].serve.zz", "unknown key 'zz'", ECHO_KEYS)),
    case("of a merge", "models:\n- &m\n  name: a\n  type: x\n  serve: {engine: echo}\n- <<: *m\n  name: b\n",
         Told(4, 9, "models[0].type", TYPES, TYPES_HINT)),
    case("of a mapping merged where it is written", "models:\n- <<: {name: a, serve: {engine: echo, zz: 1}}\n",
         Told(2, 39, "models[0].serve.zz", "unknown key 'zz'", ECHO_KEYS)),
)  # fmt: skip
def test_one_mistake_that_aliases_repeat_is_told_once_where_it_is_written(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


@cases(
    case("a word", "models:\n- <<: 5\n  name: a\n",
         Told(2, 7, "models[0].<<", "`<<` takes a mapping, or a list of them",
              "write `<<: *name` of an anchor `&name`")),
    case("a list of words", "models:\n- <<: [5]\n  name: a\n",
         Told(2, 7, "models[0].<<", "`<<` takes a mapping, or a list of them",
              "write `<<: *name` of an anchor `&name`")),
)  # fmt: skip
def test_a_merge_of_what_is_no_mapping_is_told(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


@cases(
    case("a list in itself", "models: &m\n- *m\n",
         Told(1, 9, "models[0]", "refers to itself", "take the alias `*…` in it out")),
    case("a mapping in itself", "models:\n- &m\n  name: a\n  serve: *m\n",
         Told(2, 3, "models[0].serve", "refers to itself", "take the alias `*…` in it out")),
    case("the file in itself", "&f\nmodels: *f\n",
         Told(1, 1, "models", "refers to itself", "take the alias `*…` in it out")),
    case("a merge of itself", "models:\n- &m\n  name: a\n  <<: *m\n",
         Told(2, 3, "models[0].<<", "refers to itself", "take the alias `*…` in it out")),
)  # fmt: skip
def test_an_anchor_in_itself_is_told(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


def bomb(first: str, layer: Callable[[str], str]) -> str:
    """Nine times nine times nine … of the first, in twelve layers."""
    lines = [f"a0: &a0 {first}"] + [f"a{depth}: &a{depth} {layer(f'*a{depth - 1}')}" for depth in range(1, 12)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "content",
    [
        bomb("[x, x, x, x, x, x, x, x, x]", lambda alias: f"[{', '.join([alias] * 9)}]"),
        bomb("{k: x}", lambda alias: "{" + ", ".join(f"k{index}: {alias}" for index in range(9)) + "}"),
        bomb("{k: x}", lambda alias: f"{{<<: [{', '.join([alias] * 9)}]}}"),
    ],
    ids=["lists", "mappings", "merges"],
)
def test_a_bomb_of_aliases_is_told_in_no_time(check: Check, content: str) -> None:
    began = time.process_time()
    (told,) = check(content)
    assert time.process_time() - began < 2
    assert "repeats too much" in told.message
    assert 1 <= told.line <= 12


def test_a_bomb_of_aliases_is_told_with_the_key_it_lies_under(check: Check) -> None:
    (told,) = check(bomb("[x, x, x, x, x, x, x, x, x]", lambda alias: f"[{', '.join([alias] * 9)}]"))
    assert re.fullmatch(r"a\d+", told.path)
    assert (told.message, bool(told.hint)) == ("repeats too much", True)


def test_ten_thousand_brackets_are_told(check: Check) -> None:
    (told,) = check("models: " + "[" * 10_000 + "]" * 10_000)
    assert told.message == "is nested too deeply"


@cases(
    case("brackets", "models: " + "[" * 300 + "]" * 300,
         Told(1, 72, "", "is nested too deeply", "a platform needs fewer than ten levels")),
    case("blocks", "".join(f"{' ' * depth}a:\n" for depth in range(500)),
         Told(64, 64, "", "is nested too deeply", "a platform needs fewer than ten levels")),
    case("many brackets", "models: " + "[" * 1000,
         Told(1, 72, "", "is nested too deeply", "a platform needs fewer than ten levels")),
)  # fmt: skip
def test_deep_nesting_is_told_where_it_becomes_too_deep(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


NO_TAG = "write the value without a tag; secrets come in as `${env:NAME}`"


@cases(
    case("of Python", "models: !!python/object:os.system {}\n",
         Told(1, 9, "models", "the tag '!!python/object:os.system' is not known", NO_TAG)),
    case("of Python, to be called", "models: !!python/object/apply:os.system ['exit 7']\n",
         Told(1, 9, "models", "the tag '!!python/object/apply:os.system' is not known", NO_TAG)),
    case("of one's own", models("serve: {engine: openai, url: http://x, key: !secret b}"),
         Told(3, 47, "models[0].serve.key", "the tag '!secret' is not known", NO_TAG)),
    case("two", f"name: !secret x\nstate: !secret y\n{MODEL}",
         Told(1, 7, "name", "the tag '!secret' is not known", NO_TAG),
         Told(2, 8, "state", "the tag '!secret' is not known", NO_TAG)),
    case("of a set", f"name: !!set {{a, b}}\n{MODEL}",
         Told(1, 7, "name", "the tag '!!set' is not known", NO_TAG)),
)  # fmt: skip
def test_a_tag_is_told(check: Check, content: str, environment: Mapping[str, str], told: list[Told]) -> None:
    agree(check(content, environment), told)


@pytest.mark.parametrize("tag", ["!!python/object:os.system {}", "!!python/name:os.system", "!secret x", "!<tag:x> y"])
def test_a_tag_makes_no_object(check: Check, tag: str) -> None:
    (told,) = check(f"models: {tag}\n")
    assert told[:2] == (1, 9)


def test_tags_that_others_register_stay_unknown(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    more = {**yaml.SafeLoader.yaml_constructors, "!elsewhere": lambda *_: "x"}
    monkeypatch.setattr(yaml.SafeLoader, "yaml_constructors", more)
    assert [each[:2] for each in check(f"name: !elsewhere x\n{MODEL}")] == [(1, 7)]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        pytest.param("!!int ''", "a number"),
        pytest.param("!!float ''", "a number"),
        pytest.param("!!bool maybe", "true or false"),
        pytest.param("!!timestamp soon", "a date"),
        pytest.param("!!int x", "a number"),
    ],
)
def test_a_value_that_is_not_what_its_tag_says_is_told(check: Check, value: str, kind: str) -> None:
    expected = Told(1, 8, "state", f"is written like {kind}, and is none", "put text in quotes")
    assert check(f"state: {value}\n{MODEL}") == [expected]


# The environment


def test_a_variable_is_filled_in(accept: Accept) -> None:
    platform = accept(f"name: ${{env:WHO}}\n{OPENAI}    key: ${{env:KEY}}\n", {"WHO": "me", "KEY": SECRET})
    endpoint = platform.models[0].serve[0]
    assert platform.name == "me"
    assert endpoint.engine == "openai"
    assert endpoint.key is not None
    assert endpoint.key.get_secret_value() == SECRET


def test_without_an_environment_the_process_has_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANOK_TEST_WHO", "me")
    file.write_text(f"name: ${{env:HANOK_TEST_WHO}}\n{MODEL}", "utf-8")
    assert load(file).platform.name == "me"


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("${env:UNSET:-x}", "x"),
        ("${env:SET:-x}", "one"),
        ("a${env:UNSET:-}b", "ab"),
        ("'${env:UNSET:-http://localhost:80/v1}'", "http://localhost:80/v1"),
        ("pre-${env:SET}-mid-${env:OTHER}-post", "pre-one-mid-two-post"),
        ("'${env:SET}${env:SET}'", "oneone"),
        ("${env:EMPTY}x", "x"),
        ("$SET", "$SET"),
        ("$${env:SET}", "$one"),
        ("'${env:LIKE_A_VARIABLE}'", "${env:SET}"),
        ("'${env:LIKE_YAML}'", "a: b\n- c"),
        pytest.param("${env:EMPTY:-x}", "x"),
    ],
)
def test_variables_stand_within_text_and_have_defaults(accept: Accept, value: str, filled: str) -> None:
    environment = {"SET": "one", "OTHER": "two", "EMPTY": "", "LIKE_A_VARIABLE": "${env:SET}", "LIKE_YAML": "a: b\n- c"}
    assert accept(f"state: {value}\n{MODEL}", environment).state == filled


@pytest.mark.parametrize("value", ["${env:PORT}", "'${env:PORT}'", "${env:UNSET:-8080}", "80${env:TAIL}"])
def test_a_variable_may_be_a_number(accept: Accept, value: str) -> None:
    assert accept(f"{MODEL}gateway:\n  port: {value}\n", {"PORT": "8080", "TAIL": "80"}).gateway.port == 8080


@pytest.mark.parametrize(("value", "truth"), [("false", False), ("no", False), ("0", False), ("True", True)])
def test_a_variable_may_be_true_or_false(accept: Accept, value: str, truth: bool) -> None:
    endpoint = accept(f"{OPENAI}    verify_tls: ${{env:VERIFY}}\n", {"VERIFY": value}).models[0].serve[0]
    assert endpoint.model_dump()["verify_tls"] is truth


def unset(name: str) -> tuple[str, str]:
    hint = f"set it (`export {name}=…`) or give a default: ${{env:{name}:-…}}"
    return f"the environment has no variable {name}", hint


@cases(
    case("in serve as a block", f"{OPENAI}    key: ${{env:NOPE}}\n",
         Told(6, 10, "models[0].serve.key", *unset("NOPE"))),
    case("in serve as a list", models("serve:", "- engine: openai", "  url: ${env:NOPE}"),
         Told(5, 10, "models[0].serve[0].url", *unset("NOPE"))),
    case("for a number", f"{MODEL}gateway:\n  port: ${{env:NOPE}}\n", Told(5, 9, "gateway.port", *unset("NOPE"))),
    case("within text", f"state: a/${{env:SET}}/${{env:NOPE}}\n{MODEL}", Told(1, 8, "state", *unset("NOPE")),
         environment={"SET": "x"}),
    case("two in one value", f"state: ${{env:NO}}/${{env:NOPE}}\n{MODEL}",
         Told(1, 8, "state", *unset("NO")), Told(1, 8, "state", *unset("NOPE"))),
    case("in two values", f"name: ${{env:NO}}\nstate: ${{env:NOPE}}\n{MODEL}",
         Told(1, 7, "name", *unset("NO")), Told(2, 8, "state", *unset("NOPE"))),
    case("the same twice in one value", f"state: ${{env:NOPE}}/${{env:NOPE}}\n{MODEL}",
         Told(1, 8, "state", *unset("NOPE"))),
)  # fmt: skip
def test_a_variable_that_is_not_set_is_told_where_it_is_used(
    check: Check, content: str, environment: Mapping[str, str], told: list[Told]
) -> None:
    agree(check(content, environment), told)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("${env:MY-KEY}", "${env:MY-KEY}"),
        ("${env:KEY", "${env:KEY"),
        ("${env:}", "${env:}"),
        ("${ENV:KEY}", "${ENV:KEY}"),
        ("${env:KEY-x}", "${env:KEY-x}"),
        ("'${env:NOPE:-${env:KEY}}'", "${env:NOPE:-${env:KEY}"),
    ],
)
def test_what_is_not_quite_a_variable_is_told(check: Check, value: str, shown: str) -> None:
    hint = "write `${env:NAME}` or `${env:NAME:-default}`, with letters, digits and _ in the name"
    assert check(f"state: {value}\n{MODEL}", {"KEY": SECRET}) == [
        Told(1, 8, "state", f"{shown!r} is no variable", hint)
    ]


def test_a_variable_that_is_no_text_is_told(check: Check) -> None:
    told = check(f"{OPENAI}    key: ${{env:KEY}}\n", {"KEY": "sk-\udcff"})
    assert told == [Told(6, 10, "models[0].serve.key", "the variable KEY is not UTF-8", "set it to text")]


def test_variables_in_keys_are_not_filled_in(check: Check) -> None:
    (told,) = check(f"{MODEL}${{env:KEY}}: x\n", {"KEY": SECRET})
    assert told[:2] == (4, 1)
    assert told.message == "unknown key '${env:KEY}'"


# Secrets


def everything_told(file: Path, environment: Mapping[str, str]) -> str:
    """What of a file may reach a screen or a log: the error with its traceback, or the platform."""
    try:
        loaded = load(file, environment)
    except SpecError as error:
        return f"{error} {error!r} {''.join(traceback.format_exception(error))}"
    return f"{loaded} {loaded!r}"


@pytest.mark.parametrize(
    "content",
    [
        f"{OPENAI}    key: ${{env:KEY}}\n",
        f"{OPENAI}    headers: {{x-api-key: '${{env:KEY}}'}}\n",
        f'{OPENAI}    key: ["${{env:KEY}}"]\n',
        f"{OPENAI}    key: {{a: '${{env:KEY}}'}}\n",
        f"{OPENAI}    headers: ${{env:KEY}}\n",
        f"{OPENAI}    headers: {{x-api-key: ['${{env:KEY}}']}}\n",
        f"{OPENAI}    key: ${{env:KEY}}\n    zzz: ${{env:KEY}}\n",
        f"{OPENAI}    key: ${{env:KEY}}${{env:NOPE}}\n",
        f"{MODEL}gateway:\n  port: ${{env:KEY}}\n",
        f"name: a ${{env:KEY}}\n{MODEL}",
        models("serve: {engine: openai, url: '${env:KEY}'}"),
        models("type: ${env:KEY}", "serve: {engine: echo}"),
        models("serve: '${env:KEY}'"),
        f"{OPENAI}    verify_tls: ${{env:KEY}}\n",
        models("serve: {engine: openai, url: 'http://me:${env:KEY}@host/v1'}"),
        f'{OPENAI}    key: "{SECRET}\n',
        f"{OPENAI}    key: {SECRET}: x\n",
        f"{OPENAI}    key: {SECRET}\n     zzz: x\n",
        f"{OPENAI}    key: [{SECRET}]\n",
        f"{OPENAI}    key: {{{SECRET}\n",
        pytest.param(models("serve: {engine: '${env:KEY}'}")),
        pytest.param(models("serve: {engine: echo}", "fallbacks: ['${env:KEY}']")),
        pytest.param(chain("${env:KEY}", "${env:KEY}")),
        pytest.param(
            models("serve: {engine: vllm, model: b, flags: {api-key: '${env:KEY}'}}"),
        ),
        pytest.param(
            models("serve: {engine: litellm, model: b, options: {aws_secret_access_key: '${env:KEY}'}}"),
        ),
    ],
)
def test_secrets_are_in_no_message_and_no_repr(file: Path, content: str) -> None:
    file.write_text(content, "utf-8")
    assert SECRET not in everything_told(file, {"KEY": SECRET})


# More than one mistake


def test_all_mistakes_are_told_in_the_order_of_the_file(check: Check) -> None:
    told = check(
        "name: my platform\nstat: x\nmodels:\n- name: a\n  serve: {engine: opena}\n  retries: -1\n- name: b\n  serve:\n"
        "    engine: openai\n    url: x\n    modle: y\ngateway:\n  prot: 1\n  port: abc\n"
    )
    assert [(each.line, each.column, each.path) for each in told] == [
        (1, 7, "name"),
        (2, 1, "stat"),
        (5, 19, "models[0].serve.engine"),
        (6, 12, "models[0].retries"),
        (10, 10, "models[1].serve.url"),
        (11, 5, "models[1].serve.modle"),
        (13, 3, "gateway.prot"),
        (14, 9, "gateway.port"),
    ]


def test_two_mistakes_in_one_line_are_told_from_left_to_right(check: Check) -> None:
    told = check(f"{MODEL}gateway: {{zzz: 1, port: abc, yyy: 2}}\n")
    assert [(each.line, each.column, each.path) for each in told] == [
        (4, 11, "gateway.zzz"),
        (4, 25, "gateway.port"),
        (4, 30, "gateway.yyy"),
    ]


def test_what_refers_to_what_is_told_in_the_order_of_the_file(check: Check) -> None:
    told = check(
        "models:\n- name: a\n  serve: {engine: sentence-encoder}\n  fallbacks: [zzz, a]\n"
        "- name: a\n  serve: {engine: echo}\n"
    )
    assert [(each.line, each.column, each.path) for each in told] == [
        (3, 19, "models[0].serve.engine"),
        (4, 14, "models[0].fallbacks"),
        (4, 15, "models[0].fallbacks[0]"),
        (5, 9, "models[1].name"),
    ]


def test_what_refers_to_what_is_looked_at_when_all_shapes_are_right(check: Check) -> None:
    told = check(models("serve: {engine: echo}", "fallbacks: [zzz]", "retries: abc"))
    assert [each.path for each in told] == ["models[0].retries"]


@pytest.mark.parametrize(
    ("content", "places"),
    [
        pytest.param(
            f"name: ${{env:NOPE}}\ngateway: {{port: abc}}\n{MODEL}",
            [(1, 7, "name"), (2, 17, "gateway.port")],
            id="variables and values",
        ),
        pytest.param(
            f"gateway: {{port: abc}}\nname: x\nname: y\n{MODEL}",
            [(1, 17, "gateway.port"), (3, 1, "name")],
            id="keys and values",
        ),
        pytest.param(
            f"gateway:\n  port: ${{env:NOPE}}\n  host: ${{env:NOPE}}\n{MODEL}",
            [(2, 9, "gateway.port"), (3, 9, "gateway.host")],
            id="only variables",
        ),
    ],
)
def test_mistakes_of_several_kinds_are_told_together(
    check: Check, content: str, places: list[tuple[int, int, str]]
) -> None:
    assert [(each.line, each.column, each.path) for each in check(content)] == places


# Line ends and long lines


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["Unix", "Windows", "old Macintosh"])
def test_every_kind_of_line_end_counts_as_one(check: Check, accept: Accept, end: str) -> None:
    text = f"name: x\n# 한옥\ngateway:\n  prot: 1\n{MODEL}"
    assert [each[:3] for each in check(text.replace("\n", end))] == [(4, 3, "gateway.prot")]
    assert accept(MODEL.replace("\n", end)).model("a")
    broken = text.replace("\n", end).encode().replace(b"prot: 1", b"port: \xff")
    assert [each[:2] for each in check(broken)] == [(4, 9)]


def test_characters_beyond_ascii_count_as_one(check: Check) -> None:
    (told,) = check(models("serve: {engine: script, turns: [{say: 한옥🏠, wen: x}]}"))
    assert told[:3] == (3, 46, "models[0].serve.turns[0].wen")


def test_a_mistake_far_out_in_a_long_line_is_told_where_it_stands(check: Check) -> None:
    (told,) = check(f"{MODEL}gateway: {{{' ' * 100_000}prot: 1}}\n")
    assert told == Told(4, 100_011, "gateway.prot", "unknown key 'prot'", "did you mean 'port'?")


def test_a_long_value_is_not_told_back(check: Check) -> None:
    (told,) = check(f"name: {'x' * 200_000}\n{MODEL}")
    assert told[:3] == (1, 7, "name")
    assert len(told.message) < 200


def test_long_text_that_is_no_key_is_told(check: Check) -> None:
    (told,) = check(f"{'x' * 100_000}: 1\n{MODEL}")
    assert told[:2] == (1, 100_001)


@pytest.mark.parametrize(
    "content",
    [
        models(f"serve: {{engine: {'x' * 10_000}}}"),
        models("serve: {engine: echo}", f"fallbacks: [{'x' * 10_000}]"),
        f"{MODEL}? {'x' * 10_000}\n: 1\n",
    ],
    ids=["an engine", "a fallback", "a key"],
)
def test_a_long_name_is_cut_short_in_the_message(check: Check, content: str) -> None:
    (told,) = check(content)
    assert len(told.message) < 200
    assert len(told.path) < 200


@pytest.mark.parametrize(
    ("key", "path"),
    [
        pytest.param('"a\\nb"', "['a\\nb']"),
        pytest.param('"a\\e[31mb"', "['a\\x1b[31mb']"),
        pytest.param("a b", "['a b']"),
        pytest.param("a.b", "['a.b']"),
        pytest.param("''", "['']"),
        ("x-y", "x-y"),
        ("한옥", "한옥"),
    ],
)
def test_an_odd_key_is_quoted_in_the_path(check: Check, key: str, path: str) -> None:
    (told,) = check(f"{MODEL}{key}: 1\n")
    assert (told.line, told.column, told.path) == (4, 1, path)
    assert told.message == f"unknown key {yaml.safe_load(key)!r}"


# Whatever is in the file

UNHURRIED = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
VALID = (
    "name: test\nstate: ${env:HOME}/x\ngateway: {port: 80, host: 'x'}\nmodels:\n- &m\n  name: a\n  type: chat\n"
    "  serve:\n  - {engine: openai, url: http://x, key: '${env:KEY}', headers: {a: b}}\n"
    "  - engine: script\n    turns:\n    - say: |\n        hello\n  price: {input: 1.5}\n  fallbacks: [b]\n"
    "- <<: *m\n  name: b\n  fallbacks: []\n  timeouts: {idle_s: 3}\n"
    "- name: c\n  type: embedding\n  serve: {engine: vllm, model: x, flags: {a: 1, b: true}}\n  retries: 3\n"
)
ENVIRONMENT = {"HOME": "/home", "KEY": SECRET}
PARTS = [
    "name", "models", "serve", "engine", "gateway", "port", "echo", "openai", "url", "http://x", "fallbacks", "a", "b",
    ": ", ":", "\n", "\n  ", "\n    ", "\n- ", "- ", " ", "  ", "[", "]", "{", "}", ", ", "&a ", "*a", "<<: ", "? ",
    "'", '"', "|\n", ">\n", "# ", "---\n", "...\n", "!x ", "!", "%", "@", "${env:KEY}", "${env:NO}", "${env:NO:-x}",
    "null", "~", "1", "-1", ".inf", "yes", "2026-11-22", "2026-13-45", "0x_", "\t", "\r\n", "\r", "\x85", "한옥", "=",
]  # fmt: skip
TAGS = ["int", "float", "bool", "null", "str", "timestamp", "binary", "set", "omap", "pairs", "map", "seq", "merge"]
READABLE = st.characters(codec="utf-8", exclude_categories=["Cc", "Cn", "Cs"], exclude_characters="\ufffe\uffff")


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("anywhere") / "platform.yaml"


def look(file: Path, content: str | bytes) -> tuple[Problem, ...]:
    """Load the file and see that it is a platform, or that each problem has its place within it, in order."""
    data = content.encode() if isinstance(content, str) else content
    file.write_bytes(data)
    try:
        assert isinstance(load(file, ENVIRONMENT), Loaded)
    except SpecError as error:
        assert error.problems
        lines = len(LINE_END.split(data.decode("utf-8", "replace")))
        for problem in error.problems:
            assert 0 <= problem.line <= lines
            assert (problem.column >= 1) == (problem.line >= 1)
            assert problem.message
            assert problem.hint != ""
        places = [(problem.line, problem.column) for problem in error.problems]
        assert places == sorted(places)
        return error.problems
    return ()


@UNHURRIED
@given(text=st.text(READABLE | st.sampled_from("\n\t\r:-#[]{}&*!|>'\"%@`,? ")))
def test_any_readable_text_is_told_or_taken(anywhere: Path, text: str) -> None:
    look(anywhere, text)


@UNHURRIED
@given(content=st.text() | st.binary())
def test_any_text_and_any_bytes_are_told_or_taken(anywhere: Path, content: str | bytes) -> None:
    look(anywhere, content)


@UNHURRIED
@given(text=st.lists(st.sampled_from(PARTS), max_size=30).map("".join))
def test_any_heap_of_yaml_is_told_or_taken(anywhere: Path, text: str) -> None:
    look(anywhere, text)


@UNHURRIED
@given(
    tag=st.sampled_from(TAGS),
    value=st.sampled_from(["''", "x", "1", "[a]", "{a: b}", "", "é", "0x", "1:2", "2026-11-22", "[a: b]", "[[a]]"]),
    place=st.sampled_from(["name", "state", "models", "zzz", "<<"]),
)
def test_any_tag_on_any_value_is_told_or_taken(anywhere: Path, tag: str, value: str, place: str) -> None:
    look(anywhere, f"{place}: !!{tag} {value}\n" + ("" if place == "models" else MODEL))


@UNHURRIED
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(VALID)), st.integers(0, 12), st.sampled_from(["", "", *PARTS])),
        min_size=1,
        max_size=3,
    )
)
def test_any_slip_of_the_pen_is_told_or_taken(anywhere: Path, edits: list[tuple[int, int, str]]) -> None:
    text = VALID
    for place, length, instead in edits:
        text = text[:place] + instead + text[place + length :]
    look(anywhere, text)


WORDS = st.sampled_from([*string.ascii_lowercase[:3], "name", "models", "serve", "engine", "echo", "type", "${env:NO}"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | WORDS
    | st.text(READABLE, max_size=20)
    | st.dates(datetime.date(1, 1, 1))
)
STRUCTURES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | SCALARS, inner, max_size=4),
    max_leaves=12,
)


@UNHURRIED
@given(structure=STRUCTURES, flow=st.sampled_from([None, True, False]))
def test_any_structure_is_told_or_taken(anywhere: Path, structure: Any, flow: bool | None) -> None:
    look(anywhere, yaml.safe_dump(structure, allow_unicode=True, default_flow_style=flow))


def replaced(tree: Any, choices: Iterator[int], instead: Any) -> Any:
    """The tree with one of its values exchanged, or one of its keys."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    if not keys or (choice := next(choices, 0)) == 0:
        return instead
    key = keys[choice % len(keys)]
    if isinstance(tree, list):
        return [replaced(item, choices, instead) if index == key else item for index, item in enumerate(tree)]
    if choice % 5 == 0 and not isinstance(instead, dict | list):
        return {(instead if each == key else each): value for each, value in tree.items()}
    return {each: replaced(value, choices, instead) if each == key else value for each, value in tree.items()}


@UNHURRIED
@given(choices=st.lists(st.integers(0, 20), max_size=6), instead=STRUCTURES)
def test_any_value_at_any_place_is_told_or_taken(anywhere: Path, choices: list[int], instead: Any) -> None:
    look(anywhere, yaml.safe_dump(replaced(yaml.safe_load(VALID), iter(choices), instead), allow_unicode=True))


@UNHURRIED
@given(choices=st.lists(st.integers(0, 20), max_size=6), instead=STRUCTURES)
def test_any_mistake_is_told_in_plain_words_with_a_hint(anywhere: Path, choices: list[int], instead: Any) -> None:
    text = yaml.safe_dump(replaced(yaml.safe_load(VALID), iter(choices), instead), allow_unicode=True)
    problems = look(anywhere, text)
    pydantic = re.compile(r"input should|valid (integer|number|string|list|dict)|unhashable|_type")
    assert [problem for problem in problems if not problem.hint or pydantic.search(problem.message)] == []
    assert len({(each.line, each.column, each.path, each.message) for each in problems}) == len(problems)
    assert SECRET not in " ".join(map(str, problems))


def test_what_is_valid_stays_valid_when_it_is_written_again(file: Path) -> None:
    file.write_text(VALID, "utf-8")
    first = load(file, ENVIRONMENT).platform
    for flow in (None, True, False):
        file.write_text(yaml.safe_dump(yaml.safe_load(VALID), default_flow_style=flow), "utf-8")
        assert load(file, ENVIRONMENT).platform == first
