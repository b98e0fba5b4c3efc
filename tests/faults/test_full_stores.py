"""Stores that take nothing more: the evidence store, Redis's memory, its stream (F19, F26)."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from cockpit.authority import watch
from cockpit.authority.service import Authority, running_authority
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from tests.authority.desk import BTC, Desk, until
from tests.cli.commands import cockpit, trip_arguments


def _hide(desk: Desk, part: str) -> tuple[Path, Path]:
    """A file in place of a folder: root may write into a folder without the right to. The authority may make
    the folder anew in between; then that is moved away too."""
    folder = Path(desk.settings.evidence_url.removeprefix("file://")) / part
    hidden = folder.with_name("hidden")
    hidden.mkdir(parents=True)
    while True:
        with contextlib.suppress(FileExistsError):
            folder.touch(exist_ok=False)
            return folder, hidden
        _move(folder, hidden)
        with contextlib.suppress(OSError):  # it has just got an object more
            folder.rmdir()


def _show(folder: Path, hidden: Path) -> None:
    """Undo `_hide`; the authority may be the first to make the folder again."""
    folder.unlink()
    folder.mkdir(exist_ok=True)
    _move(hidden, folder)


def _move(source: Path, target: Path) -> None:
    for path in source.iterdir():
        with contextlib.suppress(FileNotFoundError):  # a name that its writer uses until it is whole
            path.rename(target / path.name)


@pytest.mark.parametrize("point", ["half-open", "close"])
async def test_evidence_that_cannot_be_written_stops_a_loosening_and_no_trip(
    desk: Desk, authority: Authority, point: str
) -> None:  # I6, I7, F19
    """The store answers, and takes no object of a transition (its disk is full, say)."""
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    if point == "close":
        assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
        await desk.run_status(await desk.probe(BTC), "passed")
    folder, hidden = _hide(desk, "transitions")
    row = await desk.ask(Kind.HALF_OPEN if point == "half-open" else Kind.CLOSE, BTC)
    assert row.status in ("void", "refused"), row.message
    assert await desk.state(BTC) is (State.OPEN if point == "half-open" else State.HALF_OPEN)
    event_id = await desk.trip(BTC)
    assert await desk.state(BTC) is State.OPEN
    _show(folder, hidden)

    async def written() -> bool:
        return (folder / f"{event_id}-OPEN.json").exists()

    await until(written)


async def test_genesis_waits_for_the_evidence_store(desk: Desk) -> None:  # I7, F19
    """A grant that cannot be proved is kept, not used up."""
    folder, _ = _hide(desk, "transitions")
    async with running_authority(desk.settings):  # it acts once its first turn has tried the grant
        assert await desk.state(BTC) is State.OPEN
        folder.unlink()
        await desk.becomes(BTC, State.CLOSED)
        await desk.becomes(GLOBAL, State.CLOSED)


async def test_a_full_redis_says_what_became_of_the_trip(desk: Desk, authority: Authority) -> None:  # I8, F26
    await desk.becomes(BTC, State.CLOSED)
    async with desk.platform.redis_line() as line:
        await line.command("CONFIG", "SET", "maxmemory", "1")
        try:
            done = await cockpit(desk.platform.config, *trip_arguments(BTC))
            assert done.code == 5
            assert done.document["outcome"] == "pending"
            assert done.document["delivered"] == {"redis": False, "postgres": True}
        finally:
            await line.command("CONFIG", "SET", "maxmemory", "0")
    await desk.audited(done.document["event_id"], "CIRCUIT_BREAKER_TRIP")
    assert await desk.state(BTC) is State.OPEN


async def test_a_stream_that_takes_no_entry_stops_no_trip(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:  # I6, F26
    monkeypatch.setattr(watch, "STREAM_S", 3_600.0)  # its first turn has looked; it mends nothing meanwhile
    async with running_authority(desk.settings):
        await desk.becomes(BTC, State.CLOSED)
        async with desk.platform.redis_line("operator2") as line:
            top = f"{2**64 - 1}-{2**64 - 1}"
            await line.command("XADD", "circuit_breaker:events", top, "kind", "TRIP")
        done = await cockpit(desk.platform.config, *trip_arguments(BTC))
        assert done.code == 0, done.out
        assert await desk.state(BTC) is State.OPEN
        assert "Note" in done.document["message"]
        await desk.audited_last(BTC, "CIRCUIT_BREAKER_TRIP")
        assert (await desk.ask(Kind.ACKNOWLEDGE, BTC, target=await _incident(desk))).status == "done"
        assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
        await desk.run_status(await desk.probe(BTC), "passed")
        assert (await desk.ask(Kind.CLOSE, BTC)).status == "done"


async def test_the_authority_rebuilds_a_poisoned_stream(desk: Desk, authority: Authority) -> None:  # F26
    await desk.becomes(BTC, State.CLOSED)
    async with desk.platform.redis_line("operator2") as line:
        top = f"{2**64 - 1}-{2**64 - 1}"
        await line.command("XADD", "circuit_breaker:events", top, "kind", "TRIP")

    async def takes_entries() -> bool:
        async with desk.platform.redis_line() as line:
            if not await line.command("EXISTS", "circuit_breaker:events"):
                return True
            info = await line.command("XINFO", "STREAM", "circuit_breaker:events")
            fields = dict(zip(info[::2], info[1::2], strict=True))
            return not fields[b"last-generated-id"].startswith(b"18446744073709551615")

    await until(takes_entries)
    event_id = await desk.trip(BTC)
    row = await desk.audited(event_id, "CIRCUIT_BREAKER_TRIP")
    assert json.loads(row["details_text"])["attributed"] is True


async def _incident(desk: Desk) -> str:
    async with desk.platform.connection() as connection:
        return str(
            await connection.fetchval(
                "SELECT incident_id FROM incidents WHERE severity = 'P1' AND status = 'open'"
            )
        )
