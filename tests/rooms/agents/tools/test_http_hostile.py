"""What servers, names and addresses may try with a tool that asks them, and what they must not find out."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler

import pytest

from hanok.agents.tools.http_tool import HttpToolbox
from hanok.web.client import Web
from tests.rooms.agents.tools.calling import Waits, call_of, declare, opened, use
from tests.website import Site, running_site

ODD = 'sk-"q"/+&<1>'
TOKEN = "tok-0123456789"


@pytest.fixture(scope="module")
def listening() -> Iterator[Site]:
    with running_site() as running:
        yield running


@pytest.fixture
def site(listening: Site) -> Site:
    listening.replies.clear()
    listening.asked.clear()
    listening.bodies.clear()
    return listening


def raw(data: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer with exactly these bytes."""
    return lambda request: request.wfile.write(data) and None


# Addresses.


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:7f00:1]",
        "１２７.0.0.1",
    ],
)
def test_this_machine_is_not_asked_in_any_spelling_of_its_name(site: Site, host: str) -> None:
    result = use(f"http://{host}:{site.port}/", private=False)
    assert result.failed
    assert "is of a private network (declare `private: true` if it is yours)" in result.content
    assert site.asked == []


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "2852039166", "0xA9FEA9FE", "[fd00:ec2::254]", "[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]"],
)
def test_where_clouds_keep_credentials_nobody_is_asked_private_or_not(host: str) -> None:
    result = use(f"http://{host}/latest/meta-data/", private=True)
    assert result.data == {"error": "forbidden_address"}


def test_a_name_that_resolves_to_something_else_a_moment_later_gains_nothing(site: Site) -> None:
    """Rebinding: the address that was judged is the one that is connected to, and each redirect is judged anew."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    web = Web(private=True, resolve=lambda *_: next(answers))
    site.page("/a", "", 302, Location="/b")
    site.page("/b", "credentials")
    result = use(f"http://rebinding.invalid:{site.port}/a", web=web)
    assert "169.254.169.254 is where a cloud tells machines their credentials" in result.content
    assert [path for _, path, _ in site.asked] == ["/a"]


def test_one_bad_address_among_good_ones_closes_a_host() -> None:
    web = Web(resolve=lambda *_: ["93.184.216.34", "::ffff:10.0.0.1"])
    assert "is of a private network" in use("http://x.example/", web=web, private=False).content


def test_hosts_in_any_script_are_asked_in_ascii(site: Site) -> None:
    site.page("/a", "text")
    web = Web(private=True, resolve=lambda host, _: ["127.0.0.1"] if host == "xn--wk5b71z.invalid" else [])
    assert use(f"http://한옥.invalid:{site.port}/a", web=web).content == "text"


# Redirects.


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("http://169.254.169.254/latest", "redirects to another host"),
        ("http://127.0.0.1:1/", "redirects to another host"),
        ("http://user:pw@127.0.0.1/", "has a name or password"),
        ("file:///etc/passwd", "is neither http nor https"),
        ("//evil.example/", "redirects to another host"),
    ],
)
def test_a_redirect_elsewhere_is_not_followed(site: Site, place: str, said: str) -> None:
    result = use(site.page("/a", "", 302, Location=place))
    assert result.failed
    assert said in result.content


def test_a_declared_host_is_judged_by_its_addresses_all_the_same(site: Site) -> None:
    addresses = {"public.example": ["127.0.0.1"], "meta.inside.example": ["169.254.169.254"]}
    web = Web(private=True, resolve=lambda host, _: addresses[host])
    site.page("/a", "", 302, Location="http://meta.inside.example/")
    result = use(f"http://public.example:{site.port}/a", web=web, hosts=["*.inside.example"])
    assert "is where a cloud tells" in result.content


def test_hosts_may_be_patterns_and_name_ports(site: Site) -> None:
    web = Web(private=True, resolve=lambda *_: ["127.0.0.1"])
    site.page("/b", "there")

    def reached(host: str, pattern: str) -> bool:
        site.page("/a", "", 302, Location=f"http://{host}:{site.port}/b")
        return not use(f"http://a.example:{site.port}/a", web=web, hosts=[pattern]).failed

    assert reached("b.example", "b.example")
    assert reached("x.B.example", "*.b.example")
    assert reached("b.example", "*")
    assert not reached("b.example", "*.b.example")
    assert not reached("evilb.example", "*.b.example")
    assert not reached("b.example.evil", "b.example")
    site.page("/a", "", 302, Location="http://b.example:8443/b")
    assert "redirects to another host" in use(f"http://a.example:{site.port}/a", web=web, hosts=["*"]).content


def test_another_server_gets_no_credentials_and_the_same_one_does(site: Site) -> None:
    web = Web(private=True, resolve=lambda *_: ["127.0.0.1"])
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Api-Key": TOKEN, "Cookie": "a=b", "Accept-Language": "ko"}
    site.page("/same", "", 307, Location="/other")
    site.page("/other", "", 307, Location=f"http://b.example:{site.port}/end")
    site.page("/end", "text")
    use(f"http://a.example:{site.port}/same", method="POST", web=web, hosts=["b.example"], headers=headers)
    first, second, third = (headers for _, _, headers in site.asked)
    assert {"authorization", "x-api-key", "cookie", "idempotency-key"} <= first.keys() & second.keys()
    assert not {"authorization", "x-api-key", "cookie", "idempotency-key"} & third.keys()
    assert third["accept-language"] == "ko"


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "DELETE", "GET"),
        (302, "PUT", "PUT"),
        (307, "POST", "POST"),
        (308, "PATCH", "PATCH"),
    ],
)
def test_methods_follow_redirects_as_the_standard_says(site: Site, status: int, method: str, then: str) -> None:
    url = site.page("/a", "", status, Location="/b")
    site.page("/b", "text")
    assert use(url, {"n": 1}, method=method, body={"n": "{n}"}).content == "text"
    assert [each[0] for each in site.asked] == [method, then]
    assert site.bodies == [b'{"n":1}', b"" if then == "GET" else b'{"n":1}']
    assert ("content-type" in site.asked[1][2]) == (then != "GET")


# Answers without measure.


def test_packed_answers_are_unpacked_no_further_than_the_limit(site: Site) -> None:
    bomb = gzip.compress(gzip.compress(bytes(20_000_000)))
    assert use(site.page("/a", gzip.compress(b"text"), Content_Encoding="gzip")).content == "text"
    for body in (gzip.compress(bytes(3_000_000)), bomb):
        result = use(site.page("/b", body, Content_Encoding="gzip"), max_bytes=10_000)
        assert "answers more than 10,000 bytes" in result.content


def pour(head: bytes, piece: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Send the piece again and again, as long as anybody takes it."""

    def reply(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(head)
        while True:
            request.wfile.write(piece)

    return reply


@pytest.mark.parametrize(
    ("head", "piece", "said"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, "answers more than"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n", b"x", "cannot be read"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n", b"x", "answers more than"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", b"x" * 65536, "answers more than"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 9999, "answers more than"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 9999, "answers more than"),
        (b"HTTP/1.1 200 OK\r\n", b"x-pad: " + b"x" * 8000 + b"\r\n", "its headers are longer than 64 KiB"),
        (b"HTTP/1.1 200 OK\r\nx-pad: ", b"x" * 8000, "its headers are longer than 64 KiB"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "its headers are longer than 64 KiB"),
    ],
)
def test_what_never_ends_is_cut_off(site: Site, head: bytes, piece: bytes, said: str) -> None:
    site.replies["/a"] = pour(head, piece)
    result = use(f"{site.url}/a", max_bytes=100_000, retries=0)
    assert result.failed
    assert said in result.content


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\na: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_sends_a_byte_now_and_then_is_left_in_time(site: Site, head: bytes) -> None:
    stop = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(head)
        while not stop.wait(0.01):
            request.wfile.write(b"x" if head else b"")

    site.replies["/a"] = drip
    try:
        result = use(f"{site.url}/a", timeout_s=0.2, max_bytes=1000)
    finally:
        stop.set()
    assert (result.failed, result.data) == (True, {"error": "timeout"})
    assert "takes longer than 0.19 s" in result.content


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive!", "it was cut short"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfive!", "it was cut short"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", "does not answer in HTTP/1.1"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "does not answer in HTTP/1.1",
        ),
        (b"SSH-2.0-OpenSSH\r\n", "does not answer in HTTP/1.1"),
        (b"", "it was cut short"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\n\r\nx", "comes packed as 'br'"),
    ],
)
def test_answers_that_do_not_hold_together_are_refused(site: Site, data: bytes, said: str) -> None:
    site.replies["/a"] = raw(data)
    result = use(f"{site.url}/a", retries=0)
    assert result.failed
    assert said in result.content


def test_what_comes_after_an_answer_is_not_part_of_it(site: Site) -> None:
    site.replies["/a"] = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntextHTTP/1.1 200 OK\r\n\r\nmore")
    assert use(f"{site.url}/a").content == "text"


def test_who_stops_waiting_ends_the_connection(site: Site) -> None:
    asked, left = threading.Event(), threading.Event()

    def hang(request: BaseHTTPRequestHandler) -> None:
        asked.set()
        with suppress(OSError):
            request.connection.recv(1)  # nothing, when the other side has gone
        left.set()

    site.replies["/a"] = hang
    (tool,) = opened(HttpToolbox(declare(f"{site.url}/a")))

    async def give_up() -> None:
        using = asyncio.create_task(tool.use(call_of("api", {})))
        await asyncio.to_thread(asked.wait, 5)
        using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await using
        assert await asyncio.to_thread(left.wait, 5)

    asyncio.run(give_up())


# Secrets.


def test_secrets_that_a_server_echoes_are_hidden_in_every_form(site: Site) -> None:
    basic = base64.b64encode(b"user:pass-word-9").decode()
    headers = {"X-Api-Key": TOKEN, "Authorization": f"Basic {basic}", "X-Odd": ODD, "Accept": "application/json"}

    def echo(request: BaseHTTPRequestHandler) -> None:
        said = {name: request.headers[name] for name in ("x-api-key", "authorization", "accept", "x-odd")}
        text = json.dumps({**said, "decoded": "pass-word-9", "path": request.path, "upper": TOKEN.upper()})
        status = 400 if request.path.startswith("/bad") else 200
        request.wfile.write(f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n\r\n{text}".encode())

    for path in ("/good", "/bad"):
        site.replies[f"{path}?api_key=q%2Fsecret"] = echo
        result = use(f"{site.url}{path}", query={"api_key": "q/secret"}, headers=headers)
        assert "application/json" in result.content
        assert result.content.count("[secret]") == 6
        hidden = (ODD, json.dumps(ODD)[1:-1], TOKEN, TOKEN.upper(), basic, "pass-word-9", "q/secret", "q%2Fsecret")
        assert not [each for each in hidden if each in result.content or each in str(result.data)]


def test_a_secret_in_a_redirect_or_an_encodings_name_is_not_told(site: Site) -> None:
    for headers in ({"Location": f"http://{TOKEN}.example/"}, {"Content_Encoding": TOKEN}):
        result = use(site.page("/a", "x", 302 if "Location" in headers else 200, **headers), headers={"X-Key": TOKEN})
        assert result.failed
        assert TOKEN not in result.content
        assert "[secret]" in result.content


def test_a_url_is_not_told_where_it_fails(site: Site) -> None:
    result = use("http://127.0.0.1:1/bot-0123456789/send?token=abcdef", retries=0)
    assert result.content == "127.0.0.1 cannot be read: Connection refused"


# Another attempt.


def statuses(site: Site, *replies: tuple[int, dict[str, str]]) -> str:
    """Answer these in their order, then `fine`."""
    left = list(replies)

    def reply(request: BaseHTTPRequestHandler) -> None:
        status, headers = left.pop(0) if left else (200, {})
        request.send_response_only(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(b"fine" if status == 200 else b"wait")

    site.replies["/a"] = reply
    return f"{site.url}/a"


def test_what_may_be_repeated_is_tried_again_each_time_later(site: Site) -> None:
    waits = Waits()
    assert use(statuses(site, (503, {}), (502, {})), waits=waits).content == "fine"
    assert waits.slept == [0.25, 0.5]
    assert (
        use(statuses(site, (500, {}), (500, {}), (500, {}))).content
        == "127.0.0.1 answered 500 Internal Server Error: wait"
    )
    assert use(statuses(site, (404, {}))).failed


def test_servers_say_when_to_come_back_and_are_heard_if_there_is_time(site: Site) -> None:
    waits = Waits()
    assert use(statuses(site, (429, {"Retry-After": "3"})), waits=waits).content == "fine"
    assert waits.slept == [3.25]
    date = {"Date": "Mon, 01 Jan 2024 00:00:00 GMT", "Retry-After": "Mon, 01 Jan 2024 00:00:05 GMT"}
    assert use(statuses(site, (503, date)), waits=(waits := Waits())).content == "fine"
    assert waits.slept == [5.25]
    late = use(statuses(site, (429, {"Retry-After": "3600"})), waits=(waits := Waits()))
    assert late.content == "127.0.0.1 answered 429 Too Many Requests: wait (it may be asked again in 3600 s)"
    assert waits.slept == []


def test_a_post_that_was_sent_is_not_sent_again(site: Site) -> None:
    assert use(statuses(site, (503, {})), method="POST").failed
    assert len(site.asked) == 1
    site.replies["/b"] = raw(b"")
    result = use(f"{site.url}/b", method="POST")
    assert "it is not known whether it was done" in result.content
    assert site.methods("/b") == ["POST"]


def test_a_post_that_certainly_reached_nobody_is_sent_again(site: Site) -> None:
    addresses = iter([OSError("no such host"), ["127.0.0.1"]])

    def resolve(_host: str, _port: int) -> list[str]:
        if isinstance(found := next(addresses), OSError):
            raise found
        return found

    site.page("/a", "fine")
    web = Web(private=True, resolve=resolve)
    assert use(f"http://x.invalid:{site.port}/a", method="POST", web=web).content == "fine"


def test_a_post_that_is_declared_safe_is_repeated_under_the_same_key(site: Site) -> None:
    assert use(statuses(site, (503, {}), (503, {})), method="POST", safe=True).content == "fine"
    first, second, third = (headers["idempotency-key"] for _, _, headers in site.asked)
    assert first == second == third
