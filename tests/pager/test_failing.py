"""A pager whose receiver fails: what is tried again and when, what is given up, and that both are shown."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from cockpit.config import BadSettings
from cockpit.demo.servers import DataDirLock, Postgres
from cockpit.pager import service
from cockpit.pager.courier import FIRST_S, MOST_S, wait_s
from cockpit.pager.service import Pager
from tests.pager.outbox import Desk, paged, paging, turns, until
from tests.pager.receiver import Receiver, answers, drop, hang


def test_waits_grow_to_a_bound() -> None:
    assert [wait_s(attempt, 0.0) for attempt in (1, 2, 3, 9, 10, 1_000_000)] == [1, 2, 4, 256, 300, 300]
    assert wait_s(1, 1.0) == FIRST_S / 2
    assert wait_s(10_000, 1.0) == MOST_S / 2


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "404 Not Found"])
async def test_what_is_refused_for_good_is_given_up_and_shown(
    desk: Desk, receiver: Receiver, status: str
) -> None:
    receiver.default = answers(status, b"no_service")
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        incident = await desk.incident("P0")
        await receiver.until(1)

        async def shown() -> bool:
            return any(each["given_up"] for each in (await desk.state())["rows"])

        await until(shown)
        (row,) = (await desk.state())["rows"]
        await desk.resolve(incident, "P0")
        await desk.settled()
    assert (row["incident_id"], row["severity"], row["receiver"]) == (str(incident), "P0", "webhook")
    assert row["last_error"] == f"it answered {status[:3]}"
    assert len(receiver.received) == 1  # neither again, nor the end of what it never took
    state = await desk.state()
    assert (state["waiting"], state["failed"], len(state["rows"])) == (0, 1, 1)  # told for a day
    await desk.owner.execute("UPDATE page_deliveries SET given_up_at = now() - interval '2 days'")
    assert (await desk.state())["rows"] == []


async def test_a_rest_is_kept_by_every_pager(desk: Desk, receiver: Receiver) -> None:
    """It asked for ten minutes: nobody speaks to it before they are over, not even with a newer page."""
    receiver.script.append(answers("429 Too Many", retry_after="600"))
    settings = paged(desk.platform, webhook_url=receiver.url)

    async def rests() -> bool:
        lasts = "paused_until > clock_timestamp() + interval '5 minutes'"
        return bool(await desk.owner.fetchval(f"SELECT {lasts} FROM pager_receivers"))

    async with paging(settings, holder="one") as one, paging(settings, holder="two") as two:
        await desk.incident()
        await until(rests)
        await desk.owner.execute("UPDATE page_deliveries SET next_attempt_at = clock_timestamp()")
        await desk.incident("P0")
        await asyncio.gather(turns(one), turns(two))
        assert len(receiver.received) == 1
        assert len(await desk.deliveries()) == 2, "both have looked at the newer page, too"
        await desk.owner.execute("UPDATE pager_receivers SET paused_until = clock_timestamp()")
        await receiver.until(3)
        assert receiver.received[1].body["severity"] == "P0"  # the gravest first


async def test_after_hanging_and_dropping_it_arrives(desk: Desk, receiver: Receiver) -> None:
    receiver.script.extend([hang, drop, answers("200 OK")])
    async with paging(paged(desk.platform, webhook_url=receiver.url), total_s=2.0):
        await desk.incident()
        await desk.settled()
        state = await desk.state()
    assert [each.body["attempt"] for each in receiver.received] == [1, 2, 3]
    assert (state["failed"], state["faults"]) == (0, [])


async def test_a_living_pager_says_what_is_wrong(
    desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "SIGN_S", 0.2)
    receiver.default = answers("500 Oops")
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        await desk.incident()

        async def told() -> bool:
            return bool((await desk.state())["faults"] == ["webhook: it answered 500"])

        await until(told)


async def test_what_is_alive_is_told_again_until_it_is_over(desk: Desk, receiver: Receiver) -> None:
    """A receiver that forgets, as Alertmanager does; its time has come whenever the test says so."""
    due = "UPDATE page_deliveries SET resend_at = clock_timestamp() WHERE resend_at > clock_timestamp()"

    async def time_has_come() -> bool:
        return bool(await desk.owner.execute(f"{due} AND busy_until IS NULL") == "UPDATE 1")

    async with paging(paged(desk.platform, alertmanager_url=receiver.url)):
        incident = await desk.incident()
        await receiver.until(1)
        receiver.script.append(answers("500 Oops"))  # one that fails is tried again, too
        await until(time_has_come)
        await receiver.until(2)
        await receiver.until(3)
        await until(time_has_come)
        await receiver.until(4)
        await desk.resolve(incident)
        await desk.settled()
        count = len(receiver.received)
        quiet = await desk.owner.fetchval("SELECT count(*) FROM page_deliveries WHERE resend_at IS NOT NULL")
    assert quiet == 0
    assert len(receiver.received) == count
    ends = ["endsAt" in each.body[0] for each in receiver.received]
    assert ends == [False] * (count - 1) + [True]
    assert (await desk.deliveries(incident))[0]["attempts"] == 1


async def test_postgres_may_start_anew(tmp_path: Path, desk: Desk, receiver: Receiver) -> None:
    """The server ends and comes back while pages wait: nothing is lost, and the pager never ended."""
    from backends.postgres_admin import PostgresAdmin
    from cockpit.config import Credentials
    from cockpit.domain.permissions import Service

    with DataDirLock(tmp_path), Postgres(tmp_path) as server:
        admin = PostgresAdmin(server.owner_dsn)
        await admin.upgrade(desk.platform.catalogue)
        await admin.set_service_login(Service.PAGER, "secret")
        await admin.close()
        dsn = server.owner_dsn.replace("://", "://pager:secret@", 1)
        if "@" in server.owner_dsn:
            dsn = f"postgresql://pager:secret@{server.owner_dsn.rpartition('@')[2]}"
        settings = replace(
            paged(desk.platform, webhook_url=receiver.url),
            logins={"pager": Credentials("pager", "", dsn)},
        )
        insert = "INSERT INTO outbox (dedup_key, severity, title) VALUES ($1, 'P1', 'late')"
        async with paging(settings):
            await execute(server, insert, "first")
            await receiver.until(1)
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            await execute(server, insert, "second")

            async def both() -> bool:  # what was not recorded before the end is sent once more
                return {each.body["dedup_key"] for each in receiver.received} == {"first", "second"}

            await until(both)


async def execute(server: Postgres, query: str, *arguments: object) -> None:
    import asyncpg

    connection = await asyncpg.connect(server.owner_dsn, timeout=60)
    await connection.execute(query, *arguments)
    await connection.close()


async def test_a_pager_that_pages_nobody_does_not_start(desk: Desk) -> None:
    with pytest.raises(BadSettings, match="so nobody is paged"):
        Pager(desk.platform.settings)


async def test_a_pager_without_an_address_of_postgres_does_not_start(desk: Desk, receiver: Receiver) -> None:
    from cockpit.config import Credentials

    settings = paged(desk.platform, webhook_url=receiver.url)
    with pytest.raises(BadSettings, match=r"logins\.pager\.postgres_dsn"):
        Pager(replace(settings, logins={"pager": Credentials("pager", "", "")}))
