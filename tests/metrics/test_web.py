"""The little HTTP server: what it serves, refuses and survives."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx
import pytest

from cockpit.config import BadSettings, load_settings
from cockpit.exporter import web as web_module
from cockpit.exporter.service import Exporter, running_exporter
from cockpit.exporter.web import Reply, Request, Web, said
from tests.authority.desk import until
from tests.prometheus.server import free_port
from tests.trading_platform import Platform


async def test_metrics_health_and_nothing_else(exporter: Exporter) -> None:
    base = exporter.url.removesuffix("/metrics")
    async with httpx.AsyncClient(timeout=60, verify=False) as client:
        assert (await client.get(f"{base}/-/healthy")).status_code == 200
        assert (await client.get(f"{base}/metrics?x=1")).status_code == 200
        for path in ("/", "/metrics/", "/metrics/../etc/passwd", "/-/reload", "//metrics", "/%2e%2e/"):
            assert (await client.get(base + path)).status_code == 404, path
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            refused = await client.request(method, f"{base}/metrics")
            assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
        head = await client.head(f"{base}/metrics")
        assert head.status_code == 200
        assert head.content == b""
        assert int(head.headers["content-length"]) > 1_000


@pytest.mark.parametrize(
    "sent",
    [b"nonsense\r\n\r\n", b"GET /metrics HTTP/2\r\n\r\n", b"\r\n\r\n", b"\xff\xfe\r\n\r\n"],
)
async def test_what_is_no_http_is_refused(exporter: Exporter, sent: bytes) -> None:
    assert (await raw(exporter, sent)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("application/openmetrics-text", "application/openmetrics-text"),
        ("application/openmetrics-text;version=x.y", "text/plain"),
        (";;;,,,=", "text/plain"),
    ],
)
async def test_any_accept_header_is_answered(exporter: Exporter, accept: str, kind: str) -> None:
    async with httpx.AsyncClient(timeout=60, verify=False) as client:
        reply = await client.get(exporter.url, headers={"Accept": accept})
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith(kind)


async def test_an_endless_head_is_refused(exporter: Exporter) -> None:
    sent = b"GET /metrics HTTP/1.1\r\n" + b"x: y\r\n" * 10_000
    assert (await raw(exporter, sent)).startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_goes_away_ends_nothing(exporter: Exporter) -> None:
    for sent in (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\n\r\n"):
        _reader, writer = await connect(exporter)
        writer.write(sent)
        writer.close()
    assert (await raw(exporter, b"GET /-/healthy HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_too_many_connections_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_module, "MOST_CONNECTIONS", 2)
    hold = asyncio.Event()

    async def wait(_request: Request) -> Reply:
        await hold.wait()
        return said(HTTPStatus.OK, "done")

    web = Web(wait)
    await web.open("127.0.0.1", 0)
    async with httpx.AsyncClient(timeout=60, verify=False) as client:
        held = [asyncio.create_task(client.get(f"http://{web.address}/")) for _ in range(2)]

        async def refused() -> bool:
            # The first may come before those that are held; then it is held itself, and times out.
            return (await client.get(f"http://{web.address}/", timeout=1)).status_code == 503

        await until(lambda: _quiet(refused()))
        hold.set()
        assert {reply.status_code for reply in await asyncio.gather(*held)} <= {200, 503}
    await web.close()


async def test_silent_connections_keep_no_scrape_out(
    monkeypatch: pytest.MonkeyPatch, exporter: Exporter
) -> None:  # F8
    monkeypatch.setattr(web_module, "MOST_CONNECTIONS", 4)
    monkeypatch.setattr(web_module, "MOST_UNREAD", 8)
    monkeypatch.setattr(web_module, "REQUEST_S", 600.0)  # none of them makes room by itself meanwhile
    silent = [await connect(exporter) for _ in range(8)]
    silent[1][1].write(b"GET /metrics HTTP/1.1\r\nX: ")  # half a head is none
    async with httpx.AsyncClient(timeout=60, verify=False) as client:
        for _ in range(3):
            assert (await client.get(exporter.url)).status_code == 200
    assert await asyncio.wait_for(_ended(silent[0][0]), 30)  # the oldest made room
    newest = silent[-1]
    newest[1].write(b"GET /-/healthy HTTP/1.1\r\n\r\n")
    assert (await asyncio.wait_for(newest[0].read(), 30)).startswith(b"HTTP/1.1 200 ")
    for _reader, writer in silent:
        writer.close()


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def _quiet(attempt: Awaitable[bool]) -> bool:
    try:
        return await attempt
    except httpx.TimeoutException:
        return False


async def test_a_fault_of_ours_is_500_and_no_end(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_request: Request) -> Reply:
        raise KeyError("a fault")

    web = Web(broken)
    await web.open("127.0.0.1", 0)
    async with httpx.AsyncClient(timeout=60, verify=False) as client:
        for _ in range(2):
            reply = await client.get(f"http://{web.address}/")
            assert reply.status_code == 500
            assert "a fault" not in reply.text
    await web.close()
    assert "a scrape failed" in caplog.text


async def test_a_slow_client_is_let_go(monkeypatch: pytest.MonkeyPatch, exporter: Exporter) -> None:
    monkeypatch.setattr(web_module, "REQUEST_S", 0.1)
    reader, writer = await connect(exporter)
    writer.write(b"GET /metrics")
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()


async def test_the_port_is_taken(platform: Platform, exporter: Exporter) -> None:
    port = urlsplit(exporter.url).port or 0
    with pytest.raises(BadSettings, match=f"metrics_port: cannot listen on 127.0.0.1:{port}: "):
        async with running_exporter(platform.settings, "monitor1", port):
            pass


async def test_it_listens_where_the_settings_say(platform: Platform) -> None:
    assert platform.settings.exporter_host == "127.0.0.1"
    with platform.config.open("a") as config:
        config.write('[exporter]\nhost = "127.0.0.2"\nlogin = "monitor1"\n')
    settings = load_settings(platform.config, env={})
    async with running_exporter(settings, None) as exporter:
        assert urlsplit(exporter.url).hostname == "127.0.0.2"


SERVE = """
import asyncio, signal, sys
from pathlib import Path
from cockpit.config import load_settings
from cockpit.exporter import collection, service
from cockpit.exporter.service import run

collection.TIMEOUT_S = service.STORE_S = 600.0  # so slow that no scrape ends by itself
read = collection.Collection._read

async def told(self):
    print("asked", flush=True)
    return await read(self)

collection.Collection._read = told

async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings, port = load_settings(Path(sys.argv[1]), env={}), int(sys.argv[2])
    await run(settings, "monitor1", port, stop, ready=lambda: print("ready", flush=True))

asyncio.run(main())
"""


async def test_sigterm_ends_it_at_once_even_in_a_slow_scrape(platform: Platform) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, str(platform.config), str(port), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 120) == b"ready\n"
        platform.valkey.pause()
        _reader, idle = await asyncio.open_connection("127.0.0.1", port)
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        await writer.drain()
        assert await asyncio.wait_for(process.stdout.readline(), 60) == b"asked\n"
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0
        assert time.monotonic() - begun < 10
        writer.close()
        idle.close()
    finally:
        platform.valkey.resume()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def connect(exporter: Exporter) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(exporter.url)
    return await asyncio.open_connection(address.hostname, address.port)


async def raw(exporter: Exporter, sent: bytes) -> bytes:
    """Whatever comes back, also where the server resets the rest."""
    reader, writer = await connect(exporter)
    writer.write(sent)
    try:
        got = await asyncio.wait_for(reader.read(200), 30)
    finally:
        writer.close()
    return got
