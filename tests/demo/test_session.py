"""`cockpit demo --headless` as a user starts it: what it gives, and that nothing of it outlives it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import redis

from cockpit.config import load_settings
from cockpit.demo.launch import descendants
from tests.trading_platform import run_apart

ROOT = Path(__file__).resolve().parents[2]


def until(condition: Callable[[], object], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


class Demo:
    """A running demo and what it printed."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.log = log
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        self.ready: dict[str, Any] = json.loads(line)
        self.pids = descendants(process.pid)

    def query(self, sql: str, *arguments: object) -> Any:
        async def fetch() -> Any:
            connection = await asyncpg.connect(self.ready["postgres_dsn"], timeout=60)
            try:
                return await connection.fetchval(sql, *arguments)
            finally:
                await connection.close()

        return run_apart(fetch())

    def orders(self) -> int:
        return int(self.query("SELECT count(*) FROM recent_orders WHERE status = 'filled'"))

    def child(self, words: str) -> int:
        """The pid of the descendant whose command line holds these words."""
        found = [pid for pid in descendants(self.process.pid) if words in command_of(pid)]
        assert found, words
        return found[0]

    def end(self, signum: signal.Signals) -> int:
        self.process.send_signal(signum)
        return self.process.wait(60)

    def left(self) -> list[int]:
        return [pid for pid in self.pids if alive(pid)]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@contextmanager
def running(folder: Path) -> Iterator[Demo]:
    log = folder.with_suffix(".err")
    command = [sys.executable, "-m", "cockpit", "demo", "--headless", "--data-dir", str(folder)]
    with log.open("a") as errors:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        yield Demo(process, log)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "data"


def test_first_start_trades_and_hides_its_secrets(folder: Path) -> None:  # I27
    with running(folder) as demo:
        assert demo.ready.keys() == {"ready", "config", "redis_url", "postgres_dsn", "gateway_url"}
        assert demo.ready["ready"] is True
        config = Path(demo.ready["config"])
        assert config.stat().st_mode & 0o777 == 0o600
        settings = load_settings(config, env={})
        assert set(settings.logins) >= {
            "admin1",
            "admin2",
            "operator1",
            "operator2",
            "automation1",
            "monitor1",
        }
        assert all(
            login.signing_key is None or login.signing_key.exists() for login in settings.logins.values()
        )
        assert settings.limits.quiet_period_s == 20
        assert demo.query("SELECT count(*) FROM audit_log WHERE action = 'CIRCUIT_BREAKER_GENESIS'") > 0
        until(lambda: demo.orders() > 5)
        health = demo.ready["gateway_url"] + "/health"
        until(lambda: httpx.get(health, trust_env=False, timeout=60).json()["status"] == "ok")

        said = "".join(path.read_text("utf-8", "replace") for path in (folder / "logs").iterdir())
        said += demo.log.read_text() + "".join(command_of(pid) for pid in [demo.process.pid, *demo.pids])
        secrets = re.findall(r"://[^:]+:([^@]+)@", config.read_text())
        assert len(secrets) >= 16
        assert not [secret for secret in secrets if secret in said]
        assert demo.end(signal.SIGTERM) == 0
    until(lambda: not demo.left())


def test_second_start_finds_its_history_and_trades_on(folder: Path) -> None:
    with running(folder) as demo:
        before = demo.query("SELECT min(placed_at) FROM recent_orders")
        assert before < demo.query("SELECT pg_postmaster_start_time()")
        assert demo.query("SELECT count(*) FROM genesis WHERE used_at IS NOT NULL") == 1
        orders = demo.orders()
        until(lambda: demo.orders() > orders + 3)


def test_guard_and_exporter_run_as_logins_of_their_own(folder: Path) -> None:
    with running(folder) as demo:
        for words in ("cockpit guard", "cockpit exporter"):
            assert demo.child(f"-m {words}")
        settings = load_settings(Path(demo.ready["config"]), env={})
        assert (settings.guard_login, settings.exporter_login) == ("automation1", "monitor1")
        acting = "SELECT login FROM guard_lease WHERE expires_at > clock_timestamp()"
        until(lambda: demo.query(acting) == "automation1")
        url = f"http://127.0.0.1:{settings.metrics_port}/metrics"

        def served() -> bool:
            try:
                return "breaker_state" in httpx.get(url, trust_env=False, timeout=60).text
            except httpx.TransportError:
                return False

        until(served)


def pages(demo: Demo) -> list[dict[str, Any]]:
    """What arrived at the plant's webhook."""
    answer = httpx.get(demo.ready["gateway_url"] + "/pages", trust_env=False, timeout=60)
    found: list[dict[str, Any]] = answer.json()["pages"]
    return found


def test_an_older_demo_s_settings_are_completed(folder: Path) -> None:
    """As an earlier version wrote them: no metrics port, no guard, no exporter, nobody paged."""
    config = folder / "config.toml"
    text = re.sub(r"(?m)^metrics_port = .*\n", "", config.read_text())
    text = re.sub(r"(?m)^\[(guard|exporter)\]\nlogin = .*\n+", "", text)
    text = re.sub(r"(?m)^# Pages .*\n\[paging\]\n(.+\n)+\n*", "", text)
    text = re.sub(r"(?m)^\[logins\.pager\]\n(.+\n)+\n*", "", text)
    assert not any(word in text for word in ("metrics_port", "[guard]", "[exporter]", "paging", "pager"))
    config.write_text(text)
    with running(folder) as demo:
        settings = load_settings(config, env={})
        assert (settings.guard_login, settings.exporter_login) == ("automation1", "monitor1")
        assert config.stat().st_mode & 0o777 == 0o600
        port = settings.metrics_port
        assert port != 8503
        assert demo.child("-m cockpit guard")
        assert demo.child("-m cockpit pager")
        demo.query(
            "INSERT INTO outbox (dedup_key, severity, title) VALUES ('d', 'P0', 'it burns') RETURNING 1"
        )
        until(lambda: "it burns" in [page["title"] for page in pages(demo)])
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with running(folder):
            assert load_settings(config, env={}).metrics_port not in (port, 8503)


def test_folder_in_use_is_refused(folder: Path) -> None:
    with running(folder) as demo:
        command = [sys.executable, "-m", "cockpit", "demo", "--headless", "--data-dir", str(folder)]
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 2
        assert f"process {demo.process.pid}" in second.stderr
        assert not second.stdout


@pytest.mark.parametrize("signum", [signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_it(folder: Path, signum: signal.Signals) -> None:  # F7 F21
    with running(folder) as demo:
        assert len(demo.pids) >= 4
        demo.end(signum)
        until(lambda: not demo.left())
    with running(folder) as again:  # nor is anything left locked
        assert again.ready["ready"] is True


def test_signal_while_starting(folder: Path) -> None:
    command = [sys.executable, "-m", "cockpit", "demo", "--headless", "--data-dir", str(folder)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        until(lambda: descendants(process.pid))
        pids = descendants(process.pid)
        process.terminate()
        assert process.wait(60) == 0
        until(lambda: not [pid for pid in pids if alive(pid)])


def test_what_dies_is_started_again(folder: Path) -> None:  # F1 F9 F24
    with running(folder) as demo:
        plant, authority = demo.child("cockpit.demo.plant"), demo.child("-m cockpit authority")
        os.kill(plant, signal.SIGKILL)
        os.kill(authority, signal.SIGKILL)
        until(lambda: not alive(plant) and not alive(authority))
        orders, killed_at = demo.orders(), demo.query("SELECT clock_timestamp()")
        until(lambda: demo.orders() > orders + 3)
        # A killed plant's ledger is taken up as it was stored, with nothing half-written.
        known = "SELECT max(value) FROM sli_samples WHERE sli = 'invariant_violations' AND observed_at > $1"
        until(lambda: demo.query(known, killed_at) is not None)
        assert demo.query(known, killed_at) == 0

        client = redis.Redis.from_url(demo.ready["redis_url"])
        before = client.info("server")["run_id"]
        os.kill(demo.child("valkey-server"), signal.SIGKILL)

        def back() -> bool:
            try:
                return bool(client.info("server")["run_id"] != before)
            except redis.RedisError:
                return False

        until(back)
        since = demo.query("SELECT clock_timestamp()")
        # The same server with all its data: the authority re-issues the grants, and trading goes on.
        until(lambda: demo.query("SELECT count(*) FROM recent_orders WHERE placed_at > $1", since) > 3)
        client.close()
        demo.pids = descendants(demo.process.pid)
        assert demo.end(signal.SIGTERM) == 0
        until(lambda: not demo.left())
