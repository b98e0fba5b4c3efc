"""A login that floods the inbox delays and blocks nobody else (F25)."""

from __future__ import annotations

from uuid import uuid4

import pytest

from backends.signing import sign_command
from cockpit.authority.service import Authority
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from tests.authority.desk import BTC, Desk, until

FLOOD = 250
MOST = 500  # that the inbox takes of one login


async def _flood(desk: Desk, what: str, count: int = FLOOD) -> None:
    """So many badly signed requests."""
    template = await desk.command(
        Kind.TRIP if what == "trips" else Kind.HALF_OPEN, BTC, "monitor1", reason="drill"
    )
    payload = sign_command(template, desk.platform.keys["monitor1"]).payload.decode()
    rows = [
        (str(uuid4()), payload if what != "nonsense" else "nonsense", "0" * 16, "bad") for _ in range(count)
    ]
    async with desk.platform.connection("monitor1") as raw:
        await raw.executemany(
            "INSERT INTO requests (request_id, payload, key_id, signature) VALUES ($1, $2, $3, $4)", rows
        )


@pytest.mark.parametrize("what", ["nonsense", "half-opens", "trips"])
async def test_others_are_served_first(desk: Desk, authority: Authority, what: str) -> None:  # F25
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    await _flood(desk, what)

    async def waiting() -> int:  # older than any request of the moment before
        async with desk.platform.connection() as connection:
            count = await connection.fetchval(
                "SELECT count(*) FROM requests WHERE status = 'new' AND login = 'monitor1'"
                " AND submitted_at < clock_timestamp() - interval '1.2 s'"
            )
            return int(count)

    before = await until(waiting)
    row = await desk.ask(Kind.HALF_OPEN, BTC, "operator1")
    assert row.status == "done", row.message
    assert await waiting() > before / 4  # in the order of arrival none would be left
    await desk.run_status(await desk.probe(BTC), "passed")
    row = await desk.ask(Kind.CLOSE, BTC, "operator1")
    assert row.status == "done", row.message
    assert await waiting() > 0

    async def recorded() -> bool:
        return (await desk.actions("inbox")).count("REJECTED") == FLOOD

    await until(recorded, 120)


async def test_a_full_inbox_takes_no_more_of_that_login(desk: Desk) -> None:  # F25
    """Without an authority nothing is taken out."""
    await _flood(desk, "nonsense", MOST)
    with pytest.raises(Exception, match="wait in the inbox"):
        await _flood(desk, "nonsense", MOST)
