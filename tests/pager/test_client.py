"""One attempt against a real HTTP server that fails in every way that receivers are known to."""

from __future__ import annotations

import asyncio
import datetime
import logging
import ssl
from collections.abc import AsyncIterator
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backends.paging_client import Attempt, Message, PagingClient, Result
from tests.pager.receiver import (
    Conduct,
    Receiver,
    answers,
    cut_body,
    drip,
    drop,
    drop_in_the_middle,
    flood,
    hang,
    nonsense,
    receiving,
)

SECRET = "T0KEN-b7f1c9"
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
async def client() -> AsyncIterator[PagingClient]:
    made = PagingClient(total_s=20.0)
    yield made
    await made.close()


def message(receiver: Receiver) -> Message:
    return Message(f"{receiver.url}/hook/{SECRET}", b'{"a": 1}', {"x-key": KEY})


async def sent(client: PagingClient, receiver: Receiver, conduct: Conduct) -> Attempt:
    receiver.script.append(conduct)
    attempt = await client.send(message(receiver))
    assert SECRET not in attempt.why  # I27
    assert KEY not in attempt.why
    return attempt


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "202 Accepted", "204 No Content"])
async def test_any_2xx_is_a_delivery(client: PagingClient, receiver: Receiver, status: str) -> None:
    assert await sent(client, receiver, answers(status)) == Attempt(Result.DELIVERED)


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "410 Gone", "422 No"]
)
async def test_a_refusal_is_final(client: PagingClient, receiver: Receiver, status: str) -> None:
    attempt = await sent(client, receiver, answers(status, b"\x1b[31mbad"))
    assert attempt == Attempt(Result.GIVEN_UP, f"it answered {status[:3]}")  # I26


@pytest.mark.parametrize("status", ["400 Bad", "403 No", "429 Slow", "500 Oops", "302 Found"])
@pytest.mark.parametrize(
    "said",
    [
        "q=pa%2Bss%20w0rd",
        "pa+ss w0rd",  # the same, URL-decoded
        "/hook/T0KEN b7/x",
        "T0KEN%20b7",
        "user:s3cr3t",
        "s3cr3t",
        "Basic dXNlcjpzM2NyM3Q=",
    ],
)
async def test_nothing_that_a_receiver_echoes_is_kept(
    client: PagingClient, receiver: Receiver, status: str, said: str
) -> None:
    """Raw or decoded, in the body, a header or the status line. # I27"""
    receiver.script.append(answers(f"{status} {said}", said.encode(), location=f"/{said}", x_echo=said))
    base = receiver.url.replace("://", "://user:s3cr3t@")
    attempt = await client.send(Message(f"{base}/hook/T0KEN%20b7/x?q=pa%2Bss%20w0rd", b"{}", {}))
    redirect = ": redirects are not followed; mend the address" if status.startswith("3") else ""
    assert attempt.why == f"it answered {status[:3]}{redirect}"


@pytest.mark.parametrize(
    "status",
    ["408 Timeout", "425 Early", "429 Slow", "500 Oops", "502 Bad", "503 Busy", "504 Late", "599 Odd"],
)
async def test_what_may_pass_is_tried_again(client: PagingClient, receiver: Receiver, status: str) -> None:
    attempt = await sent(client, receiver, answers(status))
    assert (attempt.result, attempt.why, attempt.rest_s) == (Result.FAILED, f"it answered {status[:3]}", 0.0)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent", "304 Same"])
async def test_redirects_are_not_followed(client: PagingClient, receiver: Receiver, status: str) -> None:
    async with receiving() as elsewhere:
        attempt = await sent(client, receiver, answers(status, location=f"{elsewhere.url}/x"))
        assert elsewhere.received == []
    assert attempt.result is Result.FAILED
    assert "redirects are not followed" in attempt.why


@pytest.mark.parametrize(
    ("said", "rest"),
    [("7", 7.0), (" 7 ", 7.0), ("999999999", 900.0), ("-1", 0.0), ("soon", 0.0), ("0", 0.0), ("1e3", 0.0)],
)
@pytest.mark.parametrize("status", ["429 Slow", "503 Busy"])
async def test_a_rest_is_granted_within_bounds(
    client: PagingClient, receiver: Receiver, status: str, said: str, rest: float
) -> None:
    assert (await sent(client, receiver, answers(status, retry_after=said))).rest_s == rest


async def test_a_rest_may_be_a_date(client: PagingClient, receiver: Receiver) -> None:
    now = datetime.datetime.now(datetime.UTC)
    for ahead, least, most in ((60, 50, 60), (-60, 0, 0), (86_400, 900, 900)):
        text = format_datetime(now + datetime.timedelta(seconds=ahead), usegmt=True)
        attempt = await sent(client, receiver, answers("429 Slow", retry_after=text))
        assert least <= attempt.rest_s <= most


async def test_only_429_and_503_ask_for_a_rest(client: PagingClient, receiver: Receiver) -> None:
    assert (await sent(client, receiver, answers("500 Oops", retry_after="60"))).rest_s == 0


@pytest.mark.parametrize(
    ("conduct", "why"),
    [
        (hang, "no answer in 0.3 s"),
        (drip, "no answer in 0.3 s"),
        (drop, "the connection broke before an answer came"),
        (drop_in_the_middle, "the connection broke before an answer came"),
        (nonsense, "the connection broke before an answer came"),
    ],
)
async def test_no_answer_is_tried_again(receiver: Receiver, conduct: Conduct, why: str) -> None:
    client = PagingClient(total_s=0.3 if conduct in (hang, drip) else 20.0)
    began = asyncio.get_running_loop().time()
    assert await sent(client, receiver, conduct) == Attempt(Result.FAILED, why)
    assert asyncio.get_running_loop().time() - began < 20  # dripping goes on for minutes
    await client.close()


async def test_a_good_answer_that_breaks_off_is_a_delivery(client: PagingClient, receiver: Receiver) -> None:
    assert await sent(client, receiver, cut_body) == Attempt(Result.DELIVERED)


async def test_a_body_without_end_is_cut(client: PagingClient, receiver: Receiver) -> None:
    attempt = await sent(client, receiver, flood)
    assert attempt == Attempt(Result.FAILED, "it answered 500")


async def test_a_packed_body_is_not_unpacked(client: PagingClient, receiver: Receiver) -> None:
    attempt = await sent(client, receiver, answers("500 Oops", b"\x1f\x8b junk", content_encoding="gzip"))
    assert attempt == Attempt(Result.FAILED, "it answered 500")


async def test_nobody_listens(client: PagingClient) -> None:
    async with receiving() as gone:
        lost = message(gone)
    assert await client.send(lost) == Attempt(Result.FAILED, "no connection")


async def test_an_address_that_is_none(client: PagingClient) -> None:
    attempt = await client.send(Message(f"http://[{SECRET}", b"", {}))
    assert attempt.result is Result.FAILED
    assert SECRET not in attempt.why


def certificate(folder: Path, name: str, days: int = 1) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context with a certificate of its own, and the file that a client may trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, path


@pytest.mark.parametrize(
    ("name", "days", "trusted", "why"),
    [
        ("localhost", 1, True, ""),
        ("localhost", 1, False, "self-signed certificate"),
        ("localhost", -1, True, "certificate has expired"),
        ("other.example", 1, True, "Hostname mismatch"),
    ],
)
async def test_certificates_are_verified(
    tmp_path: Path, name: str, days: int, trusted: bool, why: str
) -> None:
    context, path = certificate(tmp_path, name, days)
    verify = ssl.create_default_context(cafile=str(path) if trusted else None)
    client = PagingClient(verify, total_s=20.0)
    async with receiving(context) as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        attempt = await client.send(Message(f"{url}/{SECRET}", b"{}", {}))
        assert bool(receiver.received) is not bool(why)
    await client.close()
    assert attempt.result is (Result.FAILED if why else Result.DELIVERED)
    assert why in attempt.why


async def test_http_where_tls_is_expected(client: PagingClient) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read(10)
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        attempt = await client.send(Message(f"https://127.0.0.1:{port}", b"{}", {}))
    assert (attempt.result, attempt.why.startswith("TLS failed: ")) == (Result.FAILED, True)


async def test_no_secret_is_logged(
    client: PagingClient, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the level, also of the libraries. # I27"""
    caplog.set_level(logging.DEBUG)
    for conduct in (answers("200 OK"), answers("400 Bad"), drop):
        await sent(client, receiver, conduct)
    assert SECRET not in caplog.text
    assert KEY not in caplog.text
