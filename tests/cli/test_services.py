"""The guard and the exporter as services: who they may be, how they end, and that they tell no secret."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.authority.desk import until
from tests.cli.commands import ROOT, cockpit
from tests.cli.objectives import ORDERS, sample, write_objectives
from tests.trading_platform import Platform


@contextlib.asynccontextmanager
async def service(platform: Platform, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cockpit",
        *words,
        "--config",
        str(platform.config),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"},
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(process: asyncio.subprocess.Process) -> str:
    """What it said on stderr, once SIGTERM has ended it well."""
    process.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    assert out == b""
    return err.decode()


@pytest.mark.parametrize(
    ("name", "login", "wanted"),
    [
        ("guard", "operator1", "automation-role"),
        ("guard", "monitor1", "automation-role"),
        ("exporter", "admin1", "monitoring-read"),
        ("exporter", "automation1", "monitoring-read"),
    ],
)
async def test_a_login_with_other_rights_is_refused(
    platform: Platform, name: str, login: str, wanted: str
) -> None:
    done = await cockpit(platform.config, name, "--login", login, "--json")
    assert done.code == 3, done.err
    assert wanted in done.document["error"]["message"]


async def test_a_port_that_is_none(platform: Platform) -> None:
    for port in ("-1", "65536", "http", "1e3", "٣"):
        done = await cockpit(platform.config, "exporter", "--login", "monitor1", f"--port={port}")
        assert (done.code, "port" in done.err) == (2, True)


async def test_the_guard_acts_and_ends(platform: Platform) -> None:
    await platform.open_for_trading()
    async with service(platform, "guard", "--login", "automation1") as guard:

        async def acts() -> bool:
            done = await cockpit(platform.config, "triggers", "--json")
            found = done.document["guard"]
            return bool(found and found["alive"] and done.document["triggers"])

        await until(acts, 60)
        done = await cockpit(platform.config, "doctor")
        assert "OK    guard: " in done.out
        said = await ended(guard)
    assert not [secret for secret in secrets(platform) if secret in said]


async def test_the_exporter_answers_and_ends(platform: Platform, unused_tcp_port: int) -> None:
    await platform.open_for_trading()
    port = unused_tcp_port
    async with service(platform, "exporter", "--login", "monitor1", "--port", str(port)) as exporter:
        async with httpx.AsyncClient(verify=False, trust_env=False) as http:

            async def answers() -> str:
                with contextlib.suppress(httpx.TransportError):
                    text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
                    if "breaker_state{" in text:  # it has read Redis
                        return text
                return ""

            text = await until(answers, 60)
        assert "cb_staleness_seconds" in text
        said = await ended(exporter)
    assert not [secret for secret in secrets(platform) if secret in said + text]


def secrets(platform: Platform) -> list[str]:
    urls = [url for each in platform.settings.logins.values() for url in (each.redis_url, each.postgres_dsn)]
    return [word for word in (urlsplit(url).password for url in urls) if word]


async def test_no_command_shows_a_password(platform: Platform) -> None:  # I27
    """Also not the one in the address of a Prometheus that does not answer."""
    text = platform.config.read_text()
    platform.config.write_text('prometheus_url = "http://reader:hunter2@127.0.0.1:1"\n' + text)
    gateway = 'gateway_url = "http://desk:hunter2@127.0.0.1:1/?key=hunter2"\n'
    platform.config.write_text(gateway + platform.config.read_text())
    query = "spec: {query: orders_total}"
    remote = ORDERS.replace("spec: {sli: order_success}", query).replace("type: Postgres", "type: Prometheus")
    write_objectives(platform, remote=remote)
    await sample(platform, "order_success", 1, 1)
    said = ""
    for words in (
        ("slo",),
        ("slo", "order-success"),
        ("slo", "check"),
        ("triggers",),
        ("triggers", "check"),
        ("status",),
        ("doctor",),
        ("info",),
    ):
        for more in ((), ("--json",)):
            done = await cockpit(platform.config, *words, *more)
            assert done.code in (0, 5, 6), (words, done.err)
            said += done.out + done.err
    assert "hunter2" not in said
    assert not [secret for secret in secrets(platform) if secret in said]
