"""Documents on the web: `url`, and what nobody on the web may make Hanok ask."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import ssl
import threading
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hanok import __version__
from hanok.errors import DocumentRefused, SourceUnreadable
from hanok.knowledge.sources.page_client import Page
from hanok.knowledge.sources.web_client import Web
from hanok.knowledge.values import Entry
from tests.rooms.knowledge.opening import LIMIT_BYTES, around, entries_of, read_from, source_of
from tests.website import Site, running_site


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


def read_page(url: str, *, limit_bytes: int = LIMIT_BYTES, web: Web | None = None) -> bytes:
    """A page's bytes, as the source reads it."""
    opened = partial(Page, web=web) if web else Page
    entry = Entry(uri=url, path=url)
    return read_from(Path(), entry, opened=opened, url="http://x.example/", private=True, limit_bytes=limit_bytes)


def only(*addresses: str) -> Any:
    """A resolver that finds these, whatever the name; it remembers what it was asked."""

    def resolve(host: str, port: int) -> Sequence[str]:
        resolve.asked.append(host)
        return addresses

    resolve.asked = []
    return resolve


def test_a_page_is_known_by_its_url_and_its_version_is_its_etag(site: Site, tmp_path: Path) -> None:
    url = site.page("/a", "text", ETag='"v1"', Last_Modified="Mon", Content_Type="text/HTML; charset=utf-8")
    (entry,) = entries_of(tmp_path, url=url, private=True, team="red", metadata={"a": 1})
    assert entry == Entry(uri=url, path=url, version='"v1"', media_type="text/html", reader="red", metadata={"a": 1})
    assert site.methods("/a") == ["HEAD"]
    assert read_from(tmp_path, entry, url=url, private=True) == b"text"


def test_listing_an_unchanged_page_fetches_no_page(site: Site, tmp_path: Path) -> None:
    url = site.page("/a", "text", Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT")
    first, second = (entries_of(tmp_path, url=url, private=True)[0] for _ in range(2))
    assert first.version == second.version == "Mon, 01 Jan 2024 00:00:00 GMT"
    assert site.methods("/a") == ["HEAD", "HEAD"]


def test_servers_that_know_no_heads_are_asked_for_the_page(site: Site, tmp_path: Path) -> None:
    def get_only(request: BaseHTTPRequestHandler) -> None:
        request.send_response(405 if request.command == "HEAD" else 200)
        request.send_header("etag", "e")
        request.end_headers()

    site.replies["/a"] = get_only
    (entry,) = entries_of(tmp_path, url=f"{site.url}/a", private=True)
    assert entry.version == "e"


@pytest.mark.parametrize("status", [404, 410, 500, 403])
def test_a_page_that_does_not_answer_is_unreadable_and_none_is_taken_for_gone(
    site: Site, tmp_path: Path, status: int
) -> None:
    url = site.page("/a", "", status=status)
    with pytest.raises(SourceUnreadable, match=f"/a answered {status}"):
        entries_of(tmp_path, url=url, private=True)
    with pytest.raises(DocumentRefused, match=f"/a answered {status}") as refused:
        read_page(url)
    assert refused.value.code == {404: "gone", 410: "gone", 403: "forbidden"}.get(status, "unreachable")


def test_a_host_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="cannot be read: Connection refused"):
        entries_of(tmp_path, url="http://127.0.0.1:1/a", private=True)
    with pytest.raises(SourceUnreadable, match="cannot be found"):
        entries_of(tmp_path, url="http://nowhere.invalid/a", private=True)


def test_hanok_says_who_it_is(site: Site) -> None:
    read_page(site.page("/a", "text"))
    assert site.asked[0][2]["user-agent"] == f"hanok/{__version__}"


def test_paths_and_queries_in_any_script_are_asked_for(site: Site) -> None:
    site.page("/%ED%95%9C%20%EA%B5%AD?q=%EA%B0%80&a%20b=%2F", "text")
    assert read_page(f"{site.url}/한 국?q=가&a%20b=%2F#part") == b"text"


def test_a_declared_page_may_have_a_query(site: Site, tmp_path: Path) -> None:
    url = site.page("/a?lang=ko", "text", ETag="e")
    (entry,) = entries_of(tmp_path, url=url, private=True)
    assert (entry.uri, entry.version) == (url, "e")


def test_a_host_is_asked_one_thing_at_a_time(site: Site, tmp_path: Path) -> None:
    for number in range(8):
        site.page(f"/{number}", "text")
    pages = [Page(source_of(url=site.url, private=True), around(tmp_path)) for _ in range(2)]

    async def read_all() -> list[bytes]:
        entries = [Entry(uri=f"{site.url}/{number}", path="") for number in range(8)]
        return await asyncio.gather(*(page.read(entry, 100) for page in pages for entry in entries))

    assert asyncio.run(read_all()) == [b"text"] * 16
    assert site.most_at_once == 1


# Redirects.


def test_a_redirect_is_followed(site: Site) -> None:
    site.page("/b/c", "text")
    for place in ("/b/c", "b/c", f"{site.url}/b/c#part"):
        assert read_page(site.page("/a", "", 302, Location=place)) == b"text"


def test_redirects_in_circles_come_to_an_end(site: Site) -> None:
    with pytest.raises(DocumentRefused, match="redirects more than 5 times"):
        read_page(site.page("/a", "", 301, Location="/a"))
    assert len(site.asked) == 6


@pytest.mark.parametrize(
    "place",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://0xA9FEA9FE/",
        "http://[::ffff:169.254.169.254]/",
        "http://0.0.0.0:{port}/b",
        "http://user:hunter2@127.0.0.1:{port}/b",
        "http://127.0.0.1:{port}\\@example.com/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/b",
        "gopher://127.0.0.1:{port}/_b",
        "http://[::1/",
        "http://127.0.0.1:99999/",
    ],
)
def test_a_redirect_to_where_nobody_may_go_is_refused(site: Site, place: str) -> None:
    site.page("/b", "secret")
    url = site.page("/a", "", 302, Location=place.format(port=site.port))
    with pytest.raises(DocumentRefused) as refused:
        read_page(url)
    assert refused.value.code == "forbidden_address"
    assert "hunter2" not in str(refused.value)
    assert [path for _, path, _ in site.asked] == ["/a"]


def test_every_address_behind_a_redirect_is_judged_anew(site: Site) -> None:
    """The first host is public by name, and the one that it sends to is of a private network."""
    addresses = {"public.example": ["127.0.0.1"], "inside.example": ["93.184.216.34", "169.254.169.254"]}
    web = Web(private=True, resolve=lambda host, _: addresses[host])
    site.page("/a", "", 302, Location="http://inside.example/")
    with pytest.raises(DocumentRefused, match=r"inside\.example/ is not asked: 169\.254\.169\.254"):
        read_page(f"http://public.example:{site.port}/a", web=web)


# Addresses.


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:7f00:1]"]
)
def test_private_networks_are_closed_unless_that_is_declared(site: Site, tmp_path: Path, host: str) -> None:
    with pytest.raises(SourceUnreadable, match="is of a private network") as refused:
        entries_of(tmp_path, url=f"http://{host}:{site.port}/a")
    assert "private: true" in (refused.value.hint or "")
    assert site.asked == []


def test_one_bad_address_among_good_ones_closes_a_host() -> None:
    web = Web(resolve=only("93.184.216.34", "10.0.0.1"))
    with pytest.raises(DocumentRefused, match=r"10\.0\.0\.1 is of a private network"):
        read_page("http://docs.example/", web=web)


def test_a_name_is_resolved_once_and_that_address_is_connected_to(site: Site) -> None:
    """What the name resolves to a moment later, as in DNS rebinding, has no say: the system is not asked."""
    resolve = only("127.0.0.1")
    site.page("/a", "text")
    assert read_page(f"http://docs.invalid:{site.port}/a", web=Web(private=True, resolve=resolve)) == b"text"
    assert resolve.asked == ["docs.invalid"]
    assert site.asked[0][2]["host"] == f"docs.invalid:{site.port}"


def test_names_in_any_script_are_asked_for_in_ascii(site: Site) -> None:
    resolve = only("127.0.0.1")
    site.page("/a", "text")
    assert read_page(f"http://한옥.invalid:{site.port}/a", web=Web(private=True, resolve=resolve)) == b"text"
    assert resolve.asked == ["xn--wk5b71z.invalid"]
    assert site.asked[0][2]["host"] == f"xn--wk5b71z.invalid:{site.port}"


def test_a_name_that_moves_between_redirects_is_refused_where_it_moved(site: Site) -> None:
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    web = Web(private=True, resolve=lambda *_: next(answers))
    site.page("/a", "", 302, Location="/b")
    with pytest.raises(DocumentRefused, match=r"169\.254\.169\.254 is where a cloud"):
        read_page(f"http://docs.invalid:{site.port}/a", web=web)


# TLS.


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server of that name and one who trusts it need."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    text = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    text += key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "pair.pem").write_bytes(text)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "pair.pem")
    return server, ssl.create_default_context(cafile=folder / "pair.pem")


def test_tls_checks_the_name_that_was_asked_for_at_the_address_that_was_judged(tmp_path: Path) -> None:
    server, trusting = certificate(tmp_path, "docs.invalid")
    names: list[str | None] = []
    server.sni_callback = lambda _wire, name, _context: names.append(name)  # type: ignore[assignment]
    with running_site(server) as site:
        site.page("/a", "text")
        web = Web(private=True, resolve=only("127.0.0.1"), tls=lambda: trusting)
        assert read_page(f"https://docs.invalid:{site.port}/a", web=web) == b"text"
        with pytest.raises(DocumentRefused, match="CERTIFICATE_VERIFY_FAILED"):
            read_page(f"https://other.invalid:{site.port}/a", web=web)
        with pytest.raises(DocumentRefused, match="CERTIFICATE_VERIFY_FAILED"):
            read_page(f"https://docs.invalid:{site.port}/a", web=Web(private=True, resolve=only("127.0.0.1")))
    assert names == ["docs.invalid", "other.invalid", "docs.invalid"]


def test_a_redirect_from_https_to_http_is_refused(tmp_path: Path) -> None:
    server, trusting = certificate(tmp_path, "docs.invalid")
    with running_site(server) as site:
        site.page("/a", "", 302, Location="http://docs.invalid/b")
        web = Web(private=True, resolve=only("127.0.0.1"), tls=lambda: trusting)
        with pytest.raises(DocumentRefused, match="redirects from https to http"):
            read_page(f"https://docs.invalid:{site.port}/a", web=web)


# Limits.


def test_a_page_that_is_too_large_is_refused_before_it_is_read_when_it_says_so(site: Site) -> None:
    url = site.page("/a", "12345")
    assert read_page(url, limit_bytes=5) == b"12345"
    with pytest.raises(DocumentRefused, match="is larger than") as refused:
        read_page(url, limit_bytes=4)
    assert refused.value.code == "too_large"


def test_a_page_that_never_ends_is_cut_off(site: Site) -> None:
    def pour(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(b"x" * 65536)

    site.replies["/a"] = pour
    with pytest.raises(DocumentRefused, match="is larger than"):
        read_page(f"{site.url}/a")


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("identity", bytes),
    ],
)
def test_packed_pages_are_unpacked_as_far_as_the_limit(site: Site, encoding: str, pack: Any) -> None:
    text = b"the same again and again " * 4000
    assert read_page(site.page("/a", pack(text), Content_Encoding=encoding)) == text
    bomb = site.page("/b", pack(bytes(30 * 1024 * 1024))[: 1024 * 1024], Content_Encoding=encoding)
    with pytest.raises(DocumentRefused, match="is larger than"):
        read_page(bomb, limit_bytes=1024 * 1024 - 1)


def test_packing_that_is_broken_cut_short_or_unknown_is_refused(site: Site) -> None:
    packed = gzip.compress(b"text" * 1000)
    cases = {"gzip": b"no gzip", "x-gzip": packed[:-20], "br": b"text"}
    for encoding, body in cases.items():
        with pytest.raises(DocumentRefused, match=r"cannot be read|not asked for"):
            read_page(site.page("/a", body, Content_Encoding=encoding))


def test_a_page_that_is_cut_short_is_refused(site: Site) -> None:
    with pytest.raises(DocumentRefused, match="cut short"):
        read_page(site.page("/a", "12345", Content_Length="10"))


@pytest.mark.parametrize("where", ["head", "body"])
def test_a_server_that_sends_a_byte_now_and_then_is_left_in_time(site: Site, where: str) -> None:
    stop = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.0 200 OK\r\n" + (b"\r\n" if where == "body" else b"a: "))
        while not stop.wait(0.01):
            request.wfile.write(b"x")

    site.replies["/a"] = drip
    try:
        with pytest.raises(DocumentRefused, match=r"takes longer than 0\.3 s"):
            read_page(f"{site.url}/a", web=Web(private=True, total_s=0.3))
    finally:
        stop.set()


def test_what_is_no_http_is_refused(site: Site) -> None:
    site.replies["/a"] = lambda request: request.wfile.write(b"SSH-2.0-OpenSSH\r\n") and None
    with pytest.raises(DocumentRefused, match="cannot be read"):
        read_page(f"{site.url}/a")


@pytest.mark.parametrize("media_type", ["video/mp4", "image/png", "audio/mpeg", "font/woff2"])
def test_what_has_no_text_is_refused(site: Site, media_type: str) -> None:
    with pytest.raises(DocumentRefused, match=f"is {media_type}") as refused:
        read_page(site.page("/a", "x", Content_Type=media_type))
    assert refused.value.code == "unsupported_type"


def test_text_in_an_encoding_that_the_server_names_comes_in_utf8(site: Site) -> None:
    korean = "한국어 문서"
    body = korean.encode("euc-kr")
    assert read_page(site.page("/a", body, Content_Type='text/plain; charset="EUC-KR"')) == korean.encode()
    assert (
        read_page(site.page("/a", body, Content_Type="text/html;charset=euc-kr")) == b"\xef\xbb\xbf" + korean.encode()
    )
    for told in ("text/plain; charset=klingon", "text/plain; charset=hex", "application/pdf; charset=euc-kr"):
        assert read_page(site.page("/a", body, Content_Type=told)) == body
