"""What goes wrong between a command and its answer: lost replies, a killed process, a probe that hangs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from cockpit.cli import probing
from cockpit.domain.desk import RunRow
from tests.authority.desk import until
from tests.cli.bastion import SLOW, Bastion, manned
from tests.cli.commands import ROOT, cockpit, inside, moved, trip_arguments
from tests.cli.proxies import proxy
from tests.trading_platform import Platform

BTC, ETH = "instrument:BTC-USD", "instrument:ETH-USD"


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    return {**SLOW, "reset_interval_s": 1, "quiet_period_s": 1, "late_trip_s": 0.2}


@pytest.fixture
async def bastion(platform: Platform) -> AsyncIterator[Bastion]:
    async with manned(platform) as made:
        yield made


async def counter(platform: Platform, breaker_id: str) -> int:
    async with platform.redis_line() as line:
        return int(await line.command("GET", f"trip:{breaker_id}") or 0)


async def trips(platform: Platform, breaker_id: str, wanted: int) -> list[dict[str, Any]]:
    """The audited trips of a breaker, once there are so many."""
    async with platform.connection() as connection:

        async def audited() -> list[Any]:
            rows: list[Any] = await connection.fetch(
                "SELECT event_id::text, user_id, details FROM audit_log"
                " WHERE action = 'CIRCUIT_BREAKER_TRIP' AND target = $1 ORDER BY seq",
                breaker_id,
            )
            return rows if len(rows) >= wanted else []

        return [
            {"event_id": row["event_id"], "user_id": row["user_id"], **json.loads(row["details"])}
            for row in await until(audited)
        ]


async def test_a_lost_reply_is_tripped_again_under_the_same_event(bastion: Bastion) -> None:  # I8 F3
    """At least once: two epochs, one person's trip in the audit log, the other one named its repetition,
    and nothing that would hold up a resume."""
    platform = bastion.platform
    before = await counter(platform, BTC)
    async with proxy(platform.valkey.port, b"INCR", lose=1) as between:
        config = moved(bastion.config, "lossy.toml", redis=between.port)
        done = await inside(config, *trip_arguments(BTC))
    assert (done.code, done.document["outcome"]) == (0, "done"), done.err
    assert done.document["epoch"] == before + 2 == await counter(platform, BTC)
    event_id = done.document["event_id"]
    assert between.seen.count(event_id.encode()) >= 2
    first, second = await trips(platform, BTC, 2)
    assert (first["event_id"], first["user_id"]) == (event_id, "operator1")
    assert second["event_id"] != event_id
    assert event_id in second["notes"], second
    async with platform.connection() as connection:
        critical = await connection.fetch("SELECT title FROM incidents WHERE severity IN ('P0', 'P1')")
    assert critical == []


async def test_a_reply_that_never_comes_is_not_called_a_halt(platform: Platform) -> None:  # I25 F3
    """Without an authority: recorded in Postgres, pending, and it says that it may be halted already."""
    async with proxy(platform.valkey.port, b"INCR", hold=True) as between:
        done = await cockpit(moved(platform.config, "mute.toml", redis=between.port), *trip_arguments(BTC))
    assert (done.code, done.document["outcome"]) == (5, "pending"), done.out
    assert done.document["delivered"] == {"redis": False, "postgres": True}
    assert "may be halted already" in done.document["message"]


async def test_a_killed_trip_is_delivered_by_the_next_and_labelled_late(bastion: Bastion) -> None:  # F7 I8
    platform = bastion.platform
    before = await counter(platform, ETH)
    async with proxy(platform.valkey.port, b"INCR", hold=True) as between:
        config = moved(bastion.config, "mute.toml", redis=between.port)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cockpit", *trip_arguments(ETH), "--config", str(config)),
            cwd=ROOT,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(60):
                await between.met.wait()
        finally:
            process.kill()
            await process.wait()
    [file] = platform.settings.spool_dir.glob("*.trip.json")
    spooled = json.loads(file.read_text())
    assert await counter(platform, ETH) == before
    assert "1 trips were never delivered" in (await cockpit(bastion.config, "doctor")).out

    done = await cockpit(bastion.config, *trip_arguments(BTC))
    assert done.code == 0
    assert "From the spool" in done.err and "Delivered late: requested at" in done.err, done.err
    assert await counter(platform, ETH) == before + 1
    assert list(platform.settings.spool_dir.iterdir()) == []
    [late] = await trips(platform, ETH, 1)
    assert (late["event_id"], late["user_id"], late["late"]) == (spooled["event_id"], "operator1", True)


async def test_a_hung_probe_fails_the_run_by_its_deadline(
    bastion: Bastion, monkeypatch: pytest.MonkeyPatch
) -> None:  # F11 I9 I10
    started = probing._run

    async def due_soon(bench: Any, row: RunRow, *more: Any, **named: Any) -> Any:
        """The run's time begins to run out with its first probe, however long it took to get there."""
        async with bastion.platform.connection() as owner:
            deadline = await owner.fetchval(
                "UPDATE probe_runs SET deadline = clock_timestamp() + interval '2 s'"
                " WHERE run_id = $1::text::uuid RETURNING deadline",
                row.run.run_id,
            )
        return await started(bench, replace(row, run=replace(row.run, deadline=deadline)), *more, **named)

    monkeypatch.setattr(probing, "_run", due_soon)
    tripped = await bastion.trip(BTC)
    assert (await bastion.half_open(BTC)).code == 0
    async with proxy(int(bastion.venue.url.rpartition(":")[2]), b"POST", hold=True) as mute:
        config = bastion.config.with_name("hung.toml")
        config.touch(0o600)
        config.write_text(
            bastion.config.read_text().replace(bastion.venue.url, f"http://127.0.0.1:{mute.port}")
        )
        done = await inside(config, "probe", BTC, "--json")
    assert (done.code, done.document["state"], done.document["outcome"]) == (4, "OPEN", "refused"), done.out
    assert done.document["probes"] == []
    await bastion.becomes(BTC, "OPEN")
    assert await counter(bastion.platform, BTC) == tripped.document["epoch"] + 1
    assert (await bastion.close(BTC)).code == 4
