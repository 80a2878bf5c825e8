"""TLS: whom the house trusts, and that everything else is as without."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hanok.errors import EngineBroken, EngineTimeout, EngineUnreachable
from hanok.serving.client import Pool
from tests.hostile import (
    HASTY,
    NO_TIME,
    PATIENT,
    Request,
    chunked,
    exchanges,
    forever,
    hostile,
    left,
    on_both_loops,
    plain,
    pool_to,
    read_request,
    send,
    then_close,
    then_reset,
    then_wait,
    turns,
    until_eof,
)

MIB = 1024 * 1024
OK = plain(b"ok")


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate: its file, and a server's TLS context that shows it."""

    file: str
    tls: ssl.SSLContext


def make_certificate(folder: Path, *names: str, days: int = 1) -> Certificate:
    """Sign a certificate for these names oneself; with negative `days` it is over."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hostile")])
    now = datetime.now(UTC)
    kinds = [x509.IPAddress(ip_address(each)) if each[0].isdigit() else x509.DNSName(each) for each in names]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(kinds), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = serialization.NoEncryption()
    parts = [
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret),
        certificate.public_bytes(serialization.Encoding.PEM),
    ]
    both, public = folder / "both.pem", folder / "public.pem"
    both.write_bytes(b"".join(parts))
    public.write_bytes(parts[1])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(both)
    return Certificate(str(public), tls)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificate]:
    return make_certificate(tmp_path_factory.mktemp("good"), "127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def misnamed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificate]:
    return make_certificate(tmp_path_factory.mktemp("misnamed"), "127.0.0.2", "elsewhere.example")


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificate]:
    return make_certificate(tmp_path_factory.mktemp("expired"), "127.0.0.1", days=-1)


async def ask(pool: Any, body: bytes = b"") -> bytes:
    response = await pool.request("POST", "/", body)
    return await response.whole(MIB)


# trust


@on_both_loops
async def test_a_certificate_nobody_vouches_for_is_refused(good: Certificate) -> None:
    requests: list[Request] = []
    async with hostile(exchanges(OK, requests=requests), tls=good.tls) as server:
        with pool_to(server) as pool:
            with pytest.raises(EngineUnreachable, match="failed the TLS handshake: CERTIFICATE_VERIFY_FAILED"):
                await ask(pool, b"secret")
            assert not requests
            assert pool.connections() == (0, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@on_both_loops
async def test_a_certificate_in_the_given_file_is_trusted(good: Certificate, host: str) -> None:
    async with hostile(forever(OK), tls=good.tls) as server:
        url = f"https://{host}:{server.port}"
        with pool_to(server, url=url, ca_file=good.file) as pool:
            for _ in range(3):
                assert await ask(pool) == b"ok"
            assert server.connections == 1


@on_both_loops
async def test_any_certificate_is_taken_when_told_not_to_look(misnamed: Certificate) -> None:
    async with hostile(forever(OK), tls=misnamed.tls) as server:
        with pool_to(server, verify_tls=False) as pool:
            assert await ask(pool) == b"ok"


@on_both_loops
async def test_a_certificate_for_someone_else_is_refused(misnamed: Certificate) -> None:
    requests: list[Request] = []
    async with hostile(exchanges(OK, requests=requests), tls=misnamed.tls) as server:
        for host in ("127.0.0.1", "localhost"):
            pool = Pool(f"https://{host}:{server.port}", timeouts=PATIENT, ca_file=misnamed.file)
            with pytest.raises(EngineUnreachable, match="failed the TLS handshake: CERTIFICATE_VERIFY_FAILED"):
                await ask(pool)
            pool.close()
        assert not requests


@on_both_loops
async def test_a_certificate_whose_time_is_over_is_refused(expired: Certificate) -> None:
    async with hostile(forever(OK), tls=expired.tls) as server:
        with pool_to(server, ca_file=expired.file) as pool, pytest.raises(EngineUnreachable, match="TLS handshake"):
            await ask(pool)


@on_both_loops
async def test_one_file_does_not_vouch_for_another_certificate(good: Certificate, expired: Certificate) -> None:
    async with hostile(forever(OK), tls=good.tls) as server:
        with pool_to(server, ca_file=expired.file) as pool, pytest.raises(EngineUnreachable, match="TLS handshake"):
            await ask(pool)


@on_both_loops
async def test_an_engine_without_tls_cannot_be_reached_with_it(good: Certificate) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(plain(b"who are you?", status=b"400 Bad Request"))

    async with hostile(talk) as server:
        url = f"https://127.0.0.1:{server.port}"
        with pool_to(server, url=url) as pool, pytest.raises(EngineUnreachable, match="TLS handshake"):
            await ask(pool)


@on_both_loops
async def test_an_engine_with_tls_does_not_answer_without_it(good: Certificate) -> None:
    async with hostile(forever(OK), tls=good.tls) as server:
        url = f"http://127.0.0.1:{server.port}"
        with pool_to(server, url=url) as pool, pytest.raises(EngineBroken):
            await ask(pool)


@on_both_loops
async def test_a_handshake_that_does_not_end_runs_out_of_time() -> None:
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await left(reader)
        gone.set()

    async with hostile(talk) as server:
        with pool_to(server, NO_TIME, url=f"https://127.0.0.1:{server.port}") as pool:
            with pytest.raises(EngineUnreachable, match=r"did not accept a connection for 0\.1 s"):
                await ask(pool)
            await gone.wait()


@on_both_loops
async def test_a_handshake_that_is_broken_off_is_told() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with hostile(talk) as server:
        with pool_to(server, url=f"https://127.0.0.1:{server.port}") as pool:
            with pytest.raises(EngineUnreachable) as caught:
                await ask(pool)
            assert str(caught.value).startswith(f"https://127.0.0.1:{server.port} ")


# and the rest as without


@on_both_loops
async def test_bodies_come_through_tls_byte_for_byte(good: Certificate) -> None:
    body = bytes(range(256)) * 4000
    answers = [plain(body), chunked(*[body[at : at + 999] for at in range(0, len(body), 999)]), plain(b"")]
    cuts = [[raw[at : at + 50_001] for at in range(0, len(raw), 50_001)] for raw in answers]
    async with hostile(exchanges(*cuts), tls=good.tls) as server:
        with pool_to(server, ca_file=good.file) as pool:
            for expected in (body, body, b""):
                assert await (await pool.request("POST", "/", body)).whole(4 * MIB) == expected
            assert server.connections == 1


@on_both_loops
async def test_a_body_until_the_end_comes_through_tls(good: Certificate) -> None:
    async with hostile(then_close(until_eof(b"hello "), b"world"), tls=good.tls) as server:
        with pool_to(server, ca_file=good.file) as pool:
            for _ in range(2):
                assert await ask(pool) == b"hello world"


@pytest.mark.parametrize("end", [then_close, then_reset])
@on_both_loops
async def test_a_body_cut_short_is_seen_through_tls(good: Certificate, end: Any) -> None:
    raws = [plain(b"hello")[:-1], chunked(b"hello")[:-1], b"HTTP/1.1 200 OK\r\n", b""]
    async with hostile(*[end(raw) for raw in raws], tls=good.tls) as server:
        with pool_to(server, ca_file=good.file) as pool:
            for _ in raws:
                with pytest.raises(EngineBroken, match="closed the connection"):
                    await ask(pool)
            assert pool.connections() == (0, 0)


@on_both_loops
async def test_a_kept_tls_connection_that_the_engine_closed_is_replaced_once(good: Certificate) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await send(writer, OK)
        await read_request(reader)

    async with hostile(talk, forever(OK), tls=good.tls) as server:
        with pool_to(server, ca_file=good.file) as pool:
            for _ in range(3):
                assert await ask(pool) == b"ok"
            assert server.connections == 2


@on_both_loops
async def test_an_engine_that_speaks_unasked_through_tls_loses_the_connection(good: Certificate) -> None:
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await send(writer, OK)
        await turns(20)
        await send(writer, plain(b"not asked for"))
        await left(reader)
        gone.set()

    async with hostile(talk, forever(plain(b"mine")), tls=good.tls) as server:
        with pool_to(server, ca_file=good.file) as pool:
            assert await ask(pool) == b"ok"
            await gone.wait()
            assert await ask(pool) == b"mine"


@on_both_loops
async def test_time_runs_out_through_tls(good: Certificate) -> None:
    async def check(begun: bytes, what: str) -> None:
        async with hostile(then_wait(begun), tls=good.tls) as server:
            with pool_to(server, HASTY, ca_file=good.file) as pool:
                with pytest.raises(EngineTimeout, match=what):
                    await ask(pool)
                await server.nobody_is_left()

    await asyncio.gather(check(b"", "did not begin"), check(plain(b"hello")[:-1], "fell silent"))


@on_both_loops
async def test_a_cancelled_or_closed_response_closes_its_tls_connection(good: Certificate) -> None:
    async with hostile(then_wait(plain(b"hello")[:-1]), tls=good.tls) as server:
        with pool_to(server, ca_file=good.file) as pool:
            response = await pool.request("GET", "/")
            task = asyncio.create_task(response.whole(MIB))
            await turns()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            (await pool.request("GET", "/")).close()
            await server.nobody_is_left()
            assert pool.connections() == (0, 0)


@on_both_loops
async def test_an_engine_that_is_faster_than_the_reader_has_to_wait_through_tls(good: Certificate) -> None:
    sent = 0
    size = 20 * MIB

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with hostile(talk, tls=good.tls) as server:
        with pool_to(server, ca_file=good.file) as pool:
            response = await pool.request("GET", "/")
            before = -1
            while before != sent:
                before = sent
                await turns(50)
            assert sent < size
            assert response._connection._buffered < MIB
            assert len(await response.whole(size)) == size


@on_both_loops
async def test_closing_the_pool_cuts_tls_connections(good: Certificate) -> None:
    async with hostile(exchanges(OK), then_wait(), then_wait(plain(b"hello")[:-1]), tls=good.tls) as server:
        with pool_to(server, ca_file=good.file) as pool:
            idle = await pool.request("GET", "/")
            asking = asyncio.create_task(pool.request("GET", "/"))
            while pool.connections() != (2, 0):
                await turns()
            reading = asyncio.create_task((await pool.request("GET", "/")).whole(MIB))
            assert await idle.whole(MIB) == b"ok"
            assert pool.connections() == (2, 1)
            await turns()
            pool.close()
            for task in (asking, reading):
                with pytest.raises(EngineBroken):
                    await task
            await server.nobody_is_left()
            assert pool.connections() == (0, 0)
