"""A login that floods the inbox delays and blocks nobody else (F25)."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from backends.signing import sign_command
from cockpit.authority.service import Authority
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from tests.authority.desk import BTC, Desk, until

FLOOD = 500


async def _flood(desk: Desk, what: str) -> None:
    """As many badly signed requests as the inbox takes of one login."""
    template = await desk.command(
        Kind.TRIP if what == "trips" else Kind.HALF_OPEN, BTC, "monitor1", reason="drill"
    )
    payload = sign_command(template, desk.platform.keys["monitor1"]).payload.decode()
    rows = [
        (str(uuid4()), payload if what != "nonsense" else "nonsense", "0" * 16, "bad") for _ in range(FLOOD)
    ]
    async with desk.platform.connection("monitor1") as raw:
        await raw.executemany(
            "INSERT INTO requests (request_id, payload, key_id, signature) VALUES ($1, $2, $3, $4)", rows
        )


@pytest.mark.parametrize("what", ["nonsense", "half-opens", "trips"])
async def test_others_are_served_within_a_second(desk: Desk, authority: Authority, what: str) -> None:  # F25
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    await _flood(desk, what)

    async def old() -> bool:  # what waits is older than any request of the moment before
        async with desk.platform.connection() as connection:
            return bool(
                await connection.fetchval(
                    "SELECT count(*) > 50 AND min(submitted_at) < clock_timestamp() - interval '1.2 s'"
                    " FROM requests WHERE status = 'new' AND login = 'monitor1'"
                )
            )

    await until(old)
    began = time.monotonic()
    row = await desk.ask(Kind.HALF_OPEN, BTC, "operator1")
    assert row.status == "done", row.message
    assert time.monotonic() - began < 1
    await desk.run_status(await desk.probe(BTC), "passed")
    began = time.monotonic()
    row = await desk.ask(Kind.CLOSE, BTC, "operator1")
    assert row.status == "done", row.message
    assert time.monotonic() - began < 1

    async def recorded() -> bool:
        return (await desk.actions("inbox")).count("REJECTED") == FLOOD

    await until(recorded, 40)


async def test_a_full_inbox_takes_no_more_of_that_login(desk: Desk) -> None:  # F25
    """Without an authority nothing is taken out."""
    await _flood(desk, "nonsense")
    with pytest.raises(Exception, match="wait in the inbox"):
        await _flood(desk, "nonsense")
