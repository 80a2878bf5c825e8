"""What is sent, to whom, and that nothing a caller or a configuration says can make two requests of one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from hanok.errors import EngineUnreachable
from hanok.serving.client import Origin, Pool
from hanok.wire import Caller
from tests.hostile import HASTY, PATIENT, Request, closed_port, exchanges, hostile, on_both_loops, plain, pool_to

MIB = 1024 * 1024
OK = plain(b"ok")
EVIL = [
    "\r\nevil: 1",
    "\nevil: 1",
    "\revil: 1",
    "\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
    "\x00evil",
    "\x85evil: 1",
    "\u2028x",
]


# where an engine is


@pytest.mark.parametrize(
    ("url", "secure", "host", "port", "prefix", "text"),
    [
        ("http://h", False, "h", 80, "", "http://h"),
        ("http://h/", False, "h", 80, "", "http://h"),
        ("https://h", True, "h", 443, "", "https://h"),
        ("http://h:80", False, "h", 80, "", "http://h"),
        ("http://h:", False, "h", 80, "", "http://h"),
        ("http://h:443", False, "h", 443, "", "http://h:443"),
        ("https://h:80/v1", True, "h", 80, "/v1", "https://h:80/v1"),
        ("HTTPS://Example.COM:8443/V1/", True, "example.com", 8443, "/V1", "https://example.com:8443/V1"),
        ("http://127.0.0.1:8000/v1/a", False, "127.0.0.1", 8000, "/v1/a", "http://127.0.0.1:8000/v1/a"),
        ("http://[::1]", False, "::1", 80, "", "http://[::1]"),
        ("http://[::1]:8000/v1", False, "::1", 8000, "/v1", "http://[::1]:8000/v1"),
        ("https://[2001:DB8::1]:443/", True, "2001:db8::1", 443, "", "https://[2001:db8::1]"),
        ("http://h/a%20b", False, "h", 80, "/a%20b", "http://h/a%20b"),
    ],
)
def test_a_url_is_taken_apart(url: str, secure: bool, host: str, port: int, prefix: str, text: str) -> None:
    origin = Origin.parse(url)
    assert origin == Origin(secure=secure, host=host, port=port, prefix=prefix)
    assert str(origin) == text
    assert origin.authority == text.split("/")[2]
    assert Origin.parse(text) == origin


@pytest.mark.parametrize(
    "url",
    [
        *("", "h", "h:80", "/v1", "//h/v1", "http:h", "http://", "http:///v1", "http://:80"),
        *("ftp://h", "file:///etc/passwd", "unix:///run/x", "ws://h"),
        *("http://h:port", "http://h:65536", "http://h:-1", "http://[::1", "http://::1]"),
    ],
)
def test_what_is_no_http_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Origin.parse(url)
    with pytest.raises(ValueError):
        Pool(url, timeouts=PATIENT)


@pytest.mark.parametrize("url", ["http://h/v1?api-version=2", "http://user:password@h/v1", "http://h:0/v1"])
def test_a_url_with_parts_that_would_be_lost_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Origin.parse(url)


@pytest.mark.parametrize(
    "url", ["http://h/a b", "http://h/\ud55c\uc625", "http://a b/", "http://h\x00/", "http://a..b/", "http://\ud55c.kr"]
)
def test_a_url_is_encoded_or_refused(url: str) -> None:
    try:
        origin = Origin.parse(url)
    except ValueError:
        return
    for part in (origin.authority, origin.prefix):
        assert part.isascii()
        assert not set(part) & {" ", "\x00"}
        assert ".." not in part


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/\ud55c\uc625", "http://a..b:{port}/"])
@on_both_loops
async def test_a_url_is_refused_at_once_or_asked_for_or_unreachable(url: str) -> None:
    async with hostile([OK]) as server:
        try:
            pool = Pool(url.format(port=server.port), timeouts=PATIENT)
        except ValueError:
            return
        with contextlib.suppress(EngineUnreachable):
            assert await (await pool.request("GET", "/models")).whole(MIB) == b"ok"
        pool.close()


@on_both_loops
async def test_a_refused_connection_is_told() -> None:
    with closed_port() as port:
        pool = Pool(f"http://127.0.0.1:{port}/v1", timeouts=HASTY)
        with pytest.raises(EngineUnreachable, match=f"http://127.0.0.1:{port}/v1 cannot be reached: ") as caught:
            await pool.request("GET", "/models")
        assert (caught.value.status, caught.value.retryable) == (503, True)
        assert pool.connections() == (0, 0)
        pool.close()


def test_the_reason_of_a_refused_connection_is_told() -> None:
    async def ask() -> None:
        with closed_port() as port, pytest.raises(EngineUnreachable, match="refused"):
            await Pool(f"http://127.0.0.1:{port}/v1", timeouts=HASTY).request("GET", "/models")

    asyncio.run(ask())


@on_both_loops
async def test_an_engine_may_have_an_ipv6_address() -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("no IPv6 here")
    requests: list[Request] = []
    async with hostile(exchanges(OK, requests=requests), host="::1") as server:
        with pool_to(server) as pool:
            assert await (await pool.request("GET", "/")).whole(MIB) == b"ok"
            assert requests[0].header(b"host") == b"[::1]:%d" % server.port


@on_both_loops
async def test_a_host_with_several_addresses_is_tried_at_each() -> None:
    async with hostile([OK]) as server:  # it listens on 127.0.0.1; localhost is often ::1 first
        with pool_to(server, url=f"http://localhost:{server.port}") as pool:
            assert await (await pool.request("GET", "/")).whole(MIB) == b"ok"


# what is sent


def asking(request_id: str) -> Caller:
    return Caller(key_id="", key_name="", request_id=request_id)


async def sent(method: str, path: str, body: bytes = b"", *, url: str = "", **more: Any) -> Request:
    """The request as the server got it."""
    requests: list[Request] = []
    about = {name: more.pop(name) for name in ("accept", "caller") if name in more}
    async with hostile(exchanges(OK, requests=requests)) as server:
        with pool_to(server, url=server.url + url, **more) as pool:
            assert await (await pool.request(method, path, body, **about)).whole(MIB) == b"ok"
            await asyncio.sleep(0)
            assert pool.connections() == (0, 1)  # not a byte more was answered than asked for
    assert len(requests) == 1
    assert requests[0].body == body
    return requests[0]


@on_both_loops
async def test_a_get_has_no_body_and_says_so_by_silence() -> None:
    request = await sent("GET", "/models", url="/v1/")
    assert request.line == b"GET /v1/models HTTP/1.1"
    assert {name for name, _ in request.headers} == {b"accept", b"host", b"accept-encoding", b"user-agent"}
    assert request.header(b"accept") == b"application/json"
    assert request.header(b"accept-encoding") == b"identity"
    assert request.header(b"host").startswith(b"127.0.0.1:")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"a":"\xed\x95\x9c\r\n\r\n"}', b"x" * 3 * MIB], ids=len)
@on_both_loops
async def test_a_post_has_a_body_and_says_how_long(body: bytes) -> None:
    request = await sent("POST", "/chat/completions", body, accept="text/event-stream", caller=asking("req_1"))
    assert request.line == b"POST /chat/completions HTTP/1.1"
    assert request.header(b"content-length") == b"%d" % len(body)
    assert request.header(b"content-type") == b"application/json"
    assert request.header(b"accept") == b"text/event-stream"
    assert request.header(b"x-request-id") == b"req_1"


@on_both_loops
async def test_given_headers_go_with_every_request_and_may_replace_our_own() -> None:
    given = {"authorization": "Bearer k", "host": "other.example", "user-agent": "me", "x-more": "caf\u00e9"}
    request = await sent("GET", "/", headers=given)
    assert request.header(b"authorization") == b"Bearer k"
    assert request.header(b"host") == b"other.example"
    assert request.header(b"user-agent") == b"me"
    assert request.header(b"x-more") == "caf\u00e9".encode("latin-1")


@on_both_loops
async def test_given_headers_replace_our_own_however_they_are_spelled() -> None:
    request = await sent("GET", "/", headers={"Host": "other.example", "User-Agent": "me"})
    assert request.header(b"host") == b"other.example"
    assert request.header(b"user-agent") == b"me"


# what cannot be smuggled in


@pytest.mark.parametrize("evil", EVIL)
@on_both_loops
async def test_a_request_id_cannot_end_its_line(evil: str) -> None:
    request = await sent("POST", "/", b"{}", caller=asking(f"req{evil}"))
    assert len(request.headers) == 7
    assert request.header(b"evil") is None
    assert request.header(b"x-request-id").startswith(b"req")
    assert request.raw.count(b"\r") == request.raw.count(b"\n") == 9
    assert b"\x00" not in request.raw


@pytest.mark.parametrize("evil", EVIL)
@on_both_loops
async def test_a_header_value_cannot_end_its_line(evil: str) -> None:
    request = await sent("POST", "/", b"{}", headers={"authorization": f"Bearer k{evil}", "x-other": evil})
    assert len(request.headers) == 8
    assert request.header(b"evil") is None
    assert request.header(b"authorization").startswith(b"Bearer k")
    assert request.raw.count(b"\r") == request.raw.count(b"\n") == 10


@pytest.mark.parametrize("url", ["/v1\r\nevil: 1", "/v1\nevil: 1", "/v1\r\n\r\n", "/v1\t"])
@on_both_loops
async def test_a_url_cannot_end_its_line(url: str) -> None:
    request = await sent("GET", "/models", url=url)
    assert len(request.headers) == 4
    assert request.header(b"evil") is None


@pytest.mark.parametrize("evil", EVIL[:2])
@pytest.mark.parametrize("place", ["method", "path", "accept", "name"])
@on_both_loops
async def test_nothing_else_can_end_its_line(evil: str, place: str) -> None:
    given: dict[str, Any] = {"method": "POST", "path": "/", "accept": "x/y", "name": "x-name"}
    given[place] += evil
    try:
        request = await sent(
            given["method"], given["path"], b"{}", accept=given["accept"], headers={given["name"]: "value"}
        )
    except ValueError:
        return  # refused: as good
    assert len(request.headers) == 7
    assert request.header(b"evil") is None
    assert request.raw.count(b"\r") == request.raw.count(b"\n") == 9
