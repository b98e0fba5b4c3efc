"""Pages from the outbox to a real HTTP server, by the pager's own login."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tests.pager.outbox import Desk, paged, paging, until
from tests.pager.receiver import Receiver, answers, receiving


async def test_details_that_nobody_can_read_do_not_hold_a_page_back(desk: Desk, receiver: Receiver) -> None:
    await desk.incident()
    await desk.owner.execute("""UPDATE outbox SET details = '{"n": 1e6000}'""")
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        await receiver.until(1)
    body = receiver.received[0].body
    assert (body["details"], body["title"]) == ({}, "Feed of BTC-USD is silent")


async def test_an_incidents_pages_arrive_in_order_under_one_key(desk: Desk, receiver: Receiver) -> None:
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        incident = await desk.incident()
        await receiver.until(1)
        await desk.acknowledge(incident)
        await desk.resolve(incident)
        await desk.settled()
    assert receiver.events == ["trigger", "acknowledge", "resolve"]
    assert {each.body["dedup_key"] for each in receiver.received} == {f"incident:{incident}"}
    assert len({each.headers["idempotency-key"] for each in receiver.received}) == 3
    assert receiver.received[1].body["acknowledged_by"] == "operator1"
    assert receiver.received[0].body["details"] == {"run": "r-1"}
    state = await desk.state()
    assert (state["waiting"], state["failed"], state["rows"]) == (0, 0, [])
    assert list(state["delivered"]) == [str(incident)]


async def test_what_is_under_the_minimum_is_not_sent_and_says_so(desk: Desk, receiver: Receiver) -> None:
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        small = await desk.incident("P2")
        await desk.resolve(small, "P2")
        grave = await desk.incident("P0")
        await desk.settled()
    assert [each.body["incident_id"] for each in receiver.received] == [str(grave)]
    rows = await desk.owner.fetch(
        "SELECT unsent FROM outbox WHERE incident_id = $1 ORDER BY outbox_id", small
    )
    assert rows[0]["unsent"] == "below the minimum severity"
    assert [each["skipped"] for each in await desk.deliveries(small)] == ["nothing of it was sent there"]


async def test_warning_also_pages_p2_but_never_p3(desk: Desk, receiver: Receiver) -> None:
    async with paging(paged(desk.platform, webhook_url=receiver.url, min_severity="warning")):
        await desk.incident("P3")
        await desk.incident("P2")
        await desk.settled()
    assert [each.body["severity"] for each in receiver.received] == ["P2"]


async def test_an_incident_that_is_escalated_over_the_minimum_is_paged(
    desk: Desk, receiver: Receiver
) -> None:
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        incident = await desk.incident("P2")
        await desk.page(incident, "trigger", "P0")
        await receiver.until(1)
        await desk.resolve(incident, "P0")
        await desk.settled()
    assert [(each.body["event"], each.body["severity"]) for each in receiver.received] == [
        ("trigger", "P0"),
        ("resolve", "P0"),
    ]


async def test_what_was_resolved_before_it_was_sent_is_moot(desk: Desk, receiver: Receiver) -> None:
    incident = await desk.incident()
    await desk.acknowledge(incident)
    await desk.resolve(incident)
    open_one = await desk.incident()
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        await desk.settled()
    assert [each.body["incident_id"] for each in receiver.received] == [str(open_one)]
    skipped = [each["skipped"] for each in await desk.deliveries(incident)]
    assert skipped == ["resolved before it was sent", *["nothing of it was sent there"] * 2]


async def test_a_trigger_that_may_have_arrived_is_never_moot(desk: Desk, receiver: Receiver) -> None:
    """Its answer was lost: the receiver may show it, so it hears of the end too, and in order."""
    receiver.script.extend([answers("500 Oops")])
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        incident = await desk.incident()
        await receiver.until(1)
        await desk.resolve(incident)
        await desk.settled()
    assert receiver.events == ["trigger", "trigger", "resolve"]
    keys = [each.headers["idempotency-key"] for each in receiver.received]
    assert keys[0] == keys[1] != keys[2]


async def test_the_end_waits_for_the_trigger(desk: Desk, receiver: Receiver) -> None:
    """Two failures put the trigger off for seconds; nothing overtakes it."""
    receiver.script.extend([answers("502 Bad Gateway"), answers("503 Unavailable")])
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        incident = await desk.incident()
        await receiver.until(1)
        await desk.acknowledge(incident)
        await desk.resolve(incident)
        await desk.settled()
    assert receiver.events == ["trigger"] * 3 + ["acknowledge", "resolve"]


async def test_an_escalation_takes_the_place_of_a_trigger_that_waits(desk: Desk, receiver: Receiver) -> None:
    receiver.default = answers("500 Oops")
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        incident = await desk.incident("P1")
        await receiver.until(1)
        receiver.default = answers("200 OK")
        await desk.page(incident, "trigger", "P0", "It is worse")
        await desk.settled()
    assert receiver.received[-1].body["severity"] == "P0"
    first, second = await desk.deliveries(incident)
    assert first["skipped"] in ("a later page says more", None)
    assert second["delivered_at"] is not None


async def test_a_hung_receiver_delays_no_other(desk: Desk, receiver: Receiver) -> None:
    over = asyncio.Event()

    async def hang_until_over(writer: asyncio.StreamWriter) -> None:
        await over.wait()
        await answers("200 OK")(writer)

    async with receiving() as slow:
        slow.default = hang_until_over
        settings = paged(desk.platform, webhook_url=receiver.url, slack_url=slow.url)
        async with paging(settings, total_s=90.0):
            incidents = [str(await desk.incident()) for _ in range(12)]

            async def delivered() -> bool:
                return sorted((await desk.state())["delivered"]) == sorted(incidents)

            await until(delivered, 60)  # the first hung attempt is not even over
            assert (await desk.state())["waiting"] == 12
            assert (len(slow.received), slow.most_open) == (4, 4)  # bounded, also while it hangs
            over.set()


async def test_two_pagers_share_the_work(desk: Desk, receiver: Receiver) -> None:
    settings = paged(desk.platform, webhook_url=receiver.url)
    async with paging(settings, holder="one"), paging(settings, holder="two"):
        incidents = [await desk.incident() for _ in range(30)]
        for incident in incidents:
            await desk.acknowledge(incident)
            await desk.resolve(incident)
        await desk.settled()
        assert await desk.owner.fetchval("SELECT count(*) FROM pagers") == 2
    told: dict[str, list[str]] = {}
    for each in receiver.received:
        told.setdefault(each.body["incident_id"], []).append(each.body["event"])
    whole = ["trigger", "acknowledge", "resolve"]
    assert all(events in (whole, []) for events in told.values())  # no page twice, none out of order
    assert len(receiver.received) == len({each.headers["idempotency-key"] for each in receiver.received})


async def test_a_pager_that_dies_between_sending_and_recording_sends_again(
    desk: Desk, receiver: Receiver
) -> None:
    """At least once, under the same keys. # F7"""
    incident = await desk.incident()
    async with desk.platform.connection("pager") as dead:
        await dead.execute("SELECT pager_sign('dead', '{webhook}', 'critical', '{}')")
        await dead.execute("SELECT pager_spread('{webhook}', '{P0,P1}')")
        (row,) = await dead.fetch("SELECT * FROM pager_claim('webhook', 4, 1, false)")
        assert (row["event"], row["attempt"], row["incident_id"]) == ("trigger", 1, incident)
        await desk.let_go()
    await desk.resolve(incident)  # it may have been sent: not moot
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        await desk.settled()
    assert receiver.events == ["trigger", "resolve"]
    assert receiver.received[0].body["attempt"] == 2


async def test_a_late_record_undoes_nothing(desk: Desk, receiver: Receiver) -> None:
    await desk.incident()
    async with desk.platform.connection("pager") as late:
        await late.execute("SELECT pager_sign('late', '{webhook}', 'critical', '{}')")
        await late.execute("SELECT pager_spread('{webhook}', '{P0,P1}')")
        (row,) = await late.fetch("SELECT * FROM pager_claim('webhook', 4, 1, false)")
        await desk.let_go()
        async with paging(paged(desk.platform, webhook_url=receiver.url)):
            await desk.settled()
        record = "SELECT pager_record('webhook', $1, 1, false, $2, 'late', 60, 0, NULL)"
        await late.execute(record, row["outbox_id"], "given-up")
        await late.execute(record, row["outbox_id"], "failed")
        newest = record.replace("1, false", "2, false")
        await late.execute(newest, row["outbox_id"], "given-up")
    (delivery,) = await desk.deliveries()
    assert (delivery["delivered_at"] is None, delivery["given_up_at"]) == (False, None)


async def test_what_another_pager_has_in_hand_is_its_own(desk: Desk) -> None:
    """The first one comes back late and says that it gave up: the second is still at it."""
    record = "SELECT pager_record('webhook', $1, $2, false, 'given-up', 'refused', 0, 0, NULL)"
    incident = await desk.incident()
    async with desk.platform.connection("pager") as pager:
        await pager.execute("SELECT pager_sign('p', '{webhook}', 'critical', '{}')")
        await pager.execute("SELECT pager_spread('{webhook}', '{P0,P1}')")
        claim = "SELECT outbox_id, attempt FROM pager_claim('webhook', 4, 60, false)"
        (first,) = await pager.fetch(claim)
        assert await pager.fetch(claim) == []  # in hand
        await desk.let_go()
        (again,) = await pager.fetch(claim)
        assert again["attempt"] == 2
        await pager.execute(record, first["outbox_id"], 1)
        assert (await desk.deliveries(incident))[0]["given_up_at"] is None
        await pager.execute(record, first["outbox_id"], 2)
        assert (await desk.deliveries(incident))[0]["given_up_at"] is not None


async def test_the_database_may_go_away_in_between(desk: Desk, receiver: Receiver) -> None:
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        await desk.incident()
        await receiver.until(1)
        await desk.settled()
        async with desk.platform.connection() as other:
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pager'"
                " AND datname = current_database()"
            )
        await desk.incident()
        await receiver.until(2)
        await desk.settled()
    assert len(receiver.received) == 2


async def test_a_page_is_not_settled_before_every_living_pager_has_it(desk: Desk, receiver: Receiver) -> None:
    """One pager has a receiver that the other lacks, and has not looked yet."""
    async with desk.platform.connection("pager") as slower:
        await slower.execute("SELECT pager_sign('slower', '{slack}', 'critical', '{}')")
        async with paging(paged(desk.platform, webhook_url=receiver.url)):
            await desk.incident()

            async def delivered() -> bool:
                return bool((await desk.state())["delivered"])

            await until(delivered)
        assert (await desk.state())["waiting"] == 1
        await slower.execute("SELECT pager_spread('{slack}', '{P0,P1}')")
        (row,) = await slower.fetch("SELECT event FROM pager_claim('slack', 4, 1, false)")
        assert row["event"] == "trigger"


async def test_receivers_that_come_later_get_no_old_pages(desk: Desk, receiver: Receiver) -> None:
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        await desk.incident()
        await desk.settled()
    async with receiving() as other:
        async with paging(paged(desk.platform, webhook_url=receiver.url, slack_url=other.url)):
            await desk.incident()
            await desk.settled()
        assert (len(receiver.received), len(other.received)) == (2, 1)


async def test_a_platform_that_never_paged_pages_what_is_unknown_to_everybody(
    desk: Desk, receiver: Receiver
) -> None:
    """Upgraded from before: old pages of incidents that somebody knows of are not sent; the rest are."""
    known, unknown = await desk.incident("P0"), await desk.incident("P0")
    await desk.owner.execute("UPDATE incidents SET status = 'acknowledged' WHERE incident_id = $1", known)
    await desk.owner.execute("UPDATE outbox SET created_at = now() - interval '30 days'")
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        await desk.settled()
    assert [each.body["incident_id"] for each in receiver.received] == [str(unknown)]


async def test_the_state_shows_who_pages_and_what_waits(desk: Desk, receiver: Receiver) -> None:
    await desk.incident()
    state = await desk.state()
    assert (state["renewed_at"], state["receivers"], state["waiting"]) == (None, [], 1)
    receiver.default = answers("500 Oops", b"try later")
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        await receiver.until(1)

        async def failed() -> bool:
            return bool((await desk.state())["failed"])

        await until(failed)
        state = await desk.state()
    assert state["receivers"] == ["webhook"]
    (row,) = state["rows"]
    assert (row["receiver"], row["last_error"], row["given_up"]) == (
        "webhook",
        "it answered 500",
        False,
    )


@pytest.mark.parametrize(("minimum", "waiting"), [("critical", 1), ("warning", 2)])
@pytest.mark.parametrize("ended", [False, True])
async def test_while_no_pager_runs_only_what_it_would_send_waits(
    desk: Desk, minimum: str, waiting: int, ended: bool
) -> None:
    """Whether it died or ended in order: nobody was to be called for what is below its minimum."""
    for severity in ("P1", "P2", "P3"):
        await desk.incident(severity)
    assert (await desk.state())["waiting"] == 3, "nobody has said yet what is sent"
    async with desk.platform.connection("pager") as pager:
        await pager.execute("SELECT pager_sign('p', '{webhook}', $1, '{}')", minimum)
        if ended:
            await pager.execute("SELECT pager_end('p')")
    await desk.owner.execute("UPDATE pagers SET renewed_at = renewed_at - interval '2 hours'")
    assert (await desk.state())["waiting"] == waiting


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM outbox",
        "SELECT * FROM incidents",
        "UPDATE page_deliveries SET delivered_at = now()",
        "DELETE FROM outbox",
        "SELECT paging_state()",
        "SELECT guard_take('x')",
        "CREATE TABLE mine (a int)",
    ],
)
async def test_the_pagers_login_can_do_nothing_else(desk: Desk, query: str) -> None:
    """# I22"""
    async with desk.platform.connection("pager") as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(query)


@pytest.mark.parametrize("login", ["monitor1", "automation1", "operator1", "admin1", "gateway"])
async def test_nobody_else_can_take_pages_out_of_the_way(desk: Desk, login: str) -> None:
    """# I22"""
    async with desk.platform.connection(login) as connection:
        for query in (
            "SELECT pager_record('webhook', 1, 1, false, 'delivered', '', 0, 0, NULL)",
            "SELECT pager_spread('{webhook}', '{}')",
            "SELECT pager_claim('webhook', 1, 30, false)",
            "UPDATE outbox SET settled_at = now()",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(query)


async def test_thousands_of_waiting_pages_hold_up_no_grave_one(desk: Desk, receiver: Receiver) -> None:
    """A burst into tables that nobody has analysed: the planner must not look at all for each."""
    await desk.owner.execute(
        "INSERT INTO incidents (incident_id, severity, classification, title, source, dedup_key)"
        " SELECT gen_random_uuid(), 'P1', 'other', 'old', 'guard', 'old:' || n"
        " FROM generate_series(1, 3000) n"
    )
    await desk.owner.execute(
        "INSERT INTO outbox (dedup_key, incident_id, severity, title)"
        " SELECT dedup_key, incident_id, 'P1', 'old' FROM incidents"
    )
    grave = await desk.incident("P0")
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        await receiver.until(50)
        assert (await desk.state())["waiting"] > 0
    assert receiver.received[0].body["incident_id"] == str(grave)


async def test_nothing_is_done_twice_by_a_turn_that_was_stopped(desk: Desk, receiver: Receiver) -> None:
    """What was claimed too long ago is dropped, not sent: another pager has it by then. # F23"""
    from cockpit.pager import courier

    pager_settings = paged(desk.platform, webhook_url=receiver.url)
    await desk.incident()
    fresh, courier.FRESH_S = courier.FRESH_S, -1.0  # type: ignore[misc]
    try:
        async with paging(pager_settings):

            async def claimed() -> bool:
                return any(each["attempts"] for each in await desk.deliveries())

            await until(claimed)
            await asyncio.sleep(0)
    finally:
        courier.FRESH_S = fresh  # type: ignore[misc]
    assert receiver.received == []
