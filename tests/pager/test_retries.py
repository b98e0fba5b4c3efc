"""Pages that were given up, sent again: what may be, under which keys, and who may ask for it."""

from __future__ import annotations

import asyncpg
import pytest

from tests.pager.outbox import Desk, paged, paging, until
from tests.pager.receiver import Receiver, answers


async def given_up(desk: Desk) -> dict[str, str | None]:
    """The events that were given up, with what forbids sending them again; as a login that may only read."""
    async with desk.platform.connection("monitor1") as connection:
        rows = await connection.fetch("SELECT event, obstacle FROM pages_given_up ORDER BY outbox_id")
    return {row["event"]: row["obstacle"] for row in rows}


async def retry(desk: Desk, pages: list[int] | None = None) -> list[int]:
    """As the authority has it done."""
    async with desk.platform.connection("authority") as authority:
        return [row["outbox_id"] for row in await authority.fetch("SELECT * FROM pages_retry($1)", pages)]


async def refused(desk: Desk, receiver: Receiver, count: int = 1) -> None:
    """Wait until so many deliveries were given up."""

    async def shown() -> bool:
        return len([each for each in (await desk.state())["rows"] if each["given_up"]]) >= count

    await until(shown)


async def test_it_arrives_under_the_keys_that_it_had(desk: Desk, receiver: Receiver) -> None:
    receiver.script.append(answers("400 Bad Request"))
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        await desk.incident("P0")
        await refused(desk, receiver)
        (row,) = (await desk.state())["rows"]
        assert await given_up(desk) == {"trigger": None}
        assert await retry(desk) == [row["page"]]
        await receiver.until(2)
        await desk.settled()
        first, second = receiver.received
        assert (second.body["dedup_key"], second.body["page"]) == (first.body["dedup_key"], row["page"])
        assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
        state = await desk.state()
        assert (state["failed"], state["rows"], len(state["delivered"])) == (0, [], 1)
        assert await retry(desk, [row["page"]]) == []  # there is nothing to do again
    assert len(receiver.received) == 2


async def test_an_acknowledgement_that_was_left_out_follows(desk: Desk, receiver: Receiver) -> None:
    """Else the receiver would call people to what somebody has in hand already."""
    receiver.script.append(answers("403 No"))
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        incident = await desk.incident("P1")
        await refused(desk, receiver)
        await desk.acknowledge(incident)
        await desk.settled()
        assert receiver.events == ["trigger"]
        assert len(await retry(desk)) == 1
        await receiver.until(3)
        await desk.settled()
    assert receiver.events == ["trigger", "trigger", "acknowledge"]


async def test_nothing_is_said_that_is_no_longer_so(desk: Desk, receiver: Receiver) -> None:
    receiver.default = answers("400 Bad Request")
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        over = await desk.incident("P0")
        await refused(desk, receiver)
        await desk.resolve(over, "P0")
        await desk.settled()
        assert await given_up(desk) == {"trigger": "its incident is over"}
        assert await retry(desk) == []
    assert len(receiver.received) == 1


async def test_nothing_older_is_said_after_what_is_newer(desk: Desk, receiver: Receiver) -> None:
    """An acknowledgement that arrives after the next alarm would silence that."""
    receiver.script.extend([answers("200 OK"), answers("400 No"), answers("200 OK")])
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        incident = await desk.incident("P1")
        await receiver.until(1)
        await desk.acknowledge(incident)
        await refused(desk, receiver)
        assert await given_up(desk) == {"acknowledge": None}
        await desk.owner.execute("UPDATE incidents SET status = 'open' WHERE incident_id = $1", incident)
        assert await given_up(desk) == {"acknowledge": "its incident is open again"}
        await desk.page(incident, "trigger")
        await receiver.until(3)
        await desk.settled()
        await desk.owner.execute(
            "UPDATE incidents SET status = 'acknowledged' WHERE incident_id = $1", incident
        )
        assert await given_up(desk) == {"acknowledge": "a later page of its incident went there"}
        assert await retry(desk) == []


async def test_a_receiver_that_nobody_has_gets_nothing(desk: Desk, receiver: Receiver) -> None:
    receiver.default = answers("400 Bad Request")
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        await desk.incident("P0")
        await refused(desk, receiver)
    assert await given_up(desk) == {"trigger": None}  # no pager runs: it would wait for the next
    async with desk.platform.connection("pager") as other:
        await other.execute("SELECT pager_sign('other', '{slack}', 'critical', '{}')")
    assert await given_up(desk) == {"trigger": "no running pager has this receiver"}
    assert await retry(desk) == []


@pytest.mark.parametrize("login", ["monitor1", "automation1", "operator1", "admin1", "gateway", "pager"])
async def test_only_the_authority_has_pages_sent_again(desk: Desk, login: str) -> None:
    """# I22"""
    async with desk.platform.connection(login) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT pages_retry(NULL)")
