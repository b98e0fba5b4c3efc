"""Kill switches that are interrupted: deaths between every two steps, lost replies, stores that are away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from cockpit.domain.breakers import GLOBAL
from cockpit.domain.documents import Reading
from cockpit.domain.kill import Ack, Held, OpenOrder, Step, StepOutcome, Tripped, Verdict
from cockpit.domain.kill_records import facts_of, finished
from cockpit.domain.refusals import Code, Refused
from cockpit.domain.states import State
from cockpit.operations.kill import KillSwitch
from cockpit.operations.kill_reports import send_waiting
from cockpit.operations.kill_venue import read_venue
from tests.authority.desk import NOTES
from tests.demo.trading import until
from tests.kill.ground import BRIEF, HOPELESS, QUICK, Ground, ran
from tests.kill.mortal import Death, Life, Lossy, mortal_ports


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last reports are waited for only briefly, where none can arrive."""
    monkeypatch.setattr("cockpit.operations.kill._LAST_REPORTS_S", 0.2)


def watch(ground: Ground) -> list[str]:
    """Every fill of a reduce-only order that took a position farther from nothing, or past it."""
    venue: Any = ground.plant.venue
    wrong: list[str] = []
    filled = venue._filled

    def watched(order: Any, expected: Any) -> Any:
        before = venue.positions[order.symbol].quantity
        made = filled(order, expected)
        now = venue.positions[order.symbol].quantity
        if order.reduce_only and (abs(now) > abs(before) or now * before < 0):
            wrong.append(f"{order.symbol}: {before} -> {now}")
        return made

    venue._filled = watched
    return wrong


async def resumed(
    ground: Ground, kill_id: str, login: str = "admin1", bastion: str = "a", **more: Any
) -> KillSwitch:
    """Gone on with by what its bastion kept, or else by what the desk shows."""
    ports = ground.ports_of(login, bastion=bastion, **more)
    kept = ports.journal.get(kill_id)
    if kept is not None:
        facts = kept.facts
    else:
        async with ground.platform.connection() as connection:
            rows = await connection.fetch(
                "SELECT step, details::text AS details FROM kill_steps WHERE kill_id = $1 ORDER BY at",
                kill_id,
            )
        import json

        facts = facts_of((row["step"], json.loads(row["details"])) for row in rows)
    switch = KillSwitch.resume(ports, login, kill_id, facts, datetime.now(UTC), QUICK)
    return await ran(switch)


async def test_death_between_every_two_steps(ground: Ground) -> None:  # F7, I15, I16, I17
    wrong = watch(ground)
    died = 0
    for after in (False, True):
        for ends in range(1, 60, 1 if not after else 3):
            await ground.load()
            counter = (await ground.desk.epoch(GLOBAL)).counter
            life = Life(ends, after)
            lossy = Lossy(ground.trading.gateway)
            ports = mortal_ports(ground.ports_of("admin1", gateway=lossy), life)
            kill_id = ""
            try:
                switch = KillSwitch.begin(ports, "admin1", NOTES, datetime.now(UTC), QUICK)
                kill_id = switch.kill_id
                await ran(switch)
            except Death:
                died += 1
            else:
                assert switch.report.flat
                if life.touches < ends:
                    break
            now = (await ground.desk.epoch(GLOBAL)).counter
            assert now >= counter
            if not kill_id:
                continue
            by, bastion = ("admin2", "b") if ends % 2 else ("admin1", "a")
            later = await resumed(ground, kill_id, by, bastion, gateway=lossy)
            assert later.report.flat, (ends, after, later.report.line)
            assert (await ground.desk.epoch(GLOBAL)).counter > counter
            assert not ground.plant.venue.resting and not any(
                position.quantity for position in ground.plant.venue.positions.values()
            )
    assert died > 20 and not wrong


async def test_a_lost_reply_is_asked_for_under_the_same_key(ground: Ground) -> None:  # F3, I16
    await ground.load()
    await ground.trading.gateway.set_faults({"closed_market": 1})
    lossy = Lossy(ground.trading.gateway, lose=4)
    switch = ground.begin(gateway=lossy)
    async for _ in switch.run():
        if len(lossy.sent) == 4:
            await ground.trading.gateway.heal()
    assert switch.report.flat
    rounds = [key.rpartition(":")[2] for key in lossy.sent if ":flatten:" in key]
    assert rounds[:3] == ["1", "1", "1"] and rounds[3:] == ["2"], lossy.sent


async def test_a_new_key_only_after_an_answer_and_a_look(ground: Ground) -> None:  # F13, I16
    await ground.load()
    wrong = watch(ground)
    await ground.trading.gateway.set_faults({"closed_market": 1})
    lossy = Lossy(ground.trading.gateway)
    switch = ground.begin(gateway=lossy)
    rounds: list[int] = []
    async for progress in switch.run():
        rounds.append(progress.report.state(Step.FLATTEN).round)
        if max(rounds) == 2:
            await ground.trading.gateway.heal()
            venue = ground.plant.venue  # and a fill overlaps with what comes next
            symbol = next(name for name, each in venue.positions.items() if each.quantity)
            held = venue.positions[symbol].quantity
            side = "SELL" if held > 0 else "BUY"
            from cockpit.demo.orders import Side

            if abs(held) > Decimal("0.2"):
                venue._execute(symbol, Side[side], Decimal("0.2"), venue.market.price(symbol))
    assert switch.report.flat and max(rounds) >= 2 and not wrong
    assert rounds == sorted(rounds)


async def test_redis_away_the_venue_is_emptied_all_the_same(ground: Ground) -> None:  # F9, I6
    await ground.load()
    ground.redis_down = True
    switch = await ran(ground.begin(pace=HOPELESS))
    report = switch.report
    assert report.verdict is Verdict.UNPROVED and "Redis has not confirmed" in report.line
    assert report.state(Step.TRIP).outcome is StepOutcome.WAITING
    assert report.state(Step.CANCEL).outcome is not None  # it went on
    ground.redis_down = False
    later = await resumed(ground, switch.kill_id)
    assert later.report.flat


async def test_postgres_away_the_record_follows(ground: Ground, impatient: None) -> None:  # F8
    await ground.load()
    ground.postgres_down = True
    switch = await ran(ground.begin())
    assert switch.report.flat and any("not in the audit log yet" in note for note in switch.notes)
    ground.postgres_down = False
    ports = ground.ports_of()
    sent, left = await send_waiting("admin1", ports.inbox, ports.journal)
    assert sent >= 5 and left == 0
    assert await send_waiting("admin1", ports.inbox, ports.journal) == (0, 0)

    async def recorded() -> bool:
        async with ground.platform.connection() as connection:
            rows = await connection.fetch(
                "SELECT * FROM kill_steps WHERE kill_id = $1 ORDER BY at", switch.kill_id
            )
        return bool(rows) and rows[-1]["outcome"] == "flat"

    await until(recorded, 60)
    (row,) = (await (await ground.desk.store("admin1")).snapshot()).kills
    assert finished(row.steps)


async def test_what_was_resumed_since_is_tripped_again(ground: Ground) -> None:  # I14, I15
    for login in ("admin1", "admin2"):
        await ground.load()
        epoch = await ground.desk.epoch(GLOBAL)
        facts, now = (Tripped(epoch),), datetime.now(UTC)
        if login == "admin1":
            assert await ground.desk.state(GLOBAL) is State.CLOSED  # at this very epoch
        else:  # by another server's word
            facts = (Tripped(replace(epoch, run_id="gone")),)
        ports = ground.ports_of(login)
        switch = await ran(KillSwitch.resume(ports, login, str(uuid4()), facts, now, QUICK))
        assert switch.trip_outcome is not None and switch.report.flat, switch.report.line
        assert await ground.desk.state(GLOBAL) is State.OPEN
        assert (await ground.desk.epoch(GLOBAL)).counter > epoch.counter
    standing = await ground.desk.epoch(GLOBAL)
    again = KillSwitch.resume(ports, login, str(uuid4()), (Tripped(standing),), now, QUICK)
    assert (await ran(again)).report.flat and await ground.desk.epoch(GLOBAL) == standing


async def test_flat_needs_global_open_at_the_end(ground: Ground) -> None:  # I15
    """What is resumed while it runs is tripped again; what cannot be read is not FLAT."""
    said: list[Any] = []
    ports = ground.ports_of()

    async def closed_once() -> Reading:
        found = await ports.standing()
        said.append(found)
        return replace(found, state=State.CLOSED) if len(said) == 1 else found

    before = (await ground.desk.epoch(GLOBAL)).counter
    begun = KillSwitch.begin(replace(ports, standing=closed_once), "admin1", NOTES, datetime.now(UTC), QUICK)
    assert (await ran(begun)).report.flat and len(said) > 1
    assert (await ground.desk.epoch(GLOBAL)).counter == before + 2

    async def unreadable() -> Reading:
        raise Refused(Code.STORE, "Redis is unreachable: cut off by the test.")

    blind = replace(ground.waiting_for_the_plant(ports), standing=unreadable)
    switch = await ran(KillSwitch.begin(blind, "admin1", NOTES, datetime.now(UTC), BRIEF))
    assert switch.report.verdict is Verdict.UNPROVED
    assert switch.report.unproved == ("global could not be read as OPEN after the venue was read",)


async def test_a_refused_step_waits(ground: Ground) -> None:  # I17
    ports = ground.ports_of()

    class Revoked:
        async def identity(self) -> Any:
            return await ports.inbox.identity()

        async def submit(self, signed: Any, request_id: str) -> None:
            raise Refused(Code.REVOKED, "The login has been revoked.")

    revoked = replace(ports, inbox=Revoked())
    switch = await ran(KillSwitch.begin(revoked, "admin1", NOTES, datetime.now(UTC), QUICK))
    assert any("Postgres refuses a step" in note for note in switch.notes)
    assert any("not in the audit log yet" in note for note in switch.notes)
    kept = len(ports.journal.waiting("admin1"))
    assert kept >= 5 and await send_waiting("admin1", Revoked(), ports.journal) == (0, kept)
    assert await send_waiting("admin1", ports.inbox, ports.journal) == (kept, 0)


async def test_where_no_store_vouches_nothing_is_cancelled(ground: Ground, impatient: None) -> None:
    await ground.load()
    before = dict(ground.plant.venue.resting)
    ground.redis_down = ground.postgres_down = True
    lossy = Lossy(ground.trading.gateway)
    switch = await ran(ground.begin("operator1", pace=HOPELESS, gateway=lossy))
    assert not lossy.sent and switch.refusal is not None and switch.refusal.exit_code == 5
    assert before
    ground.redis_down = ground.postgres_down = False
    other = await ran(ground.begin("operator2", gateway=lossy))
    assert not lossy.sent and other.refusal is not None and other.refusal.exit_code == 3


async def test_a_gateway_that_never_acknowledges(ground: Ground) -> None:  # I14
    await ground.load()
    ground.gateways = ("plant", "other")
    ports = ground.waiting_for_the_plant(ground.ports_of())
    switch = await ran(KillSwitch.begin(ports, "admin1", NOTES, datetime.now(UTC), BRIEF))
    assert switch.report.verdict is Verdict.UNPROVED
    assert switch.report.unproved == ("not acknowledged by other",)
    assert not ground.plant.venue.resting  # cancelled all the same


async def test_what_cannot_be_read_is_not_flat(ground: Ground) -> None:  # I15
    lossy = Lossy(ground.trading.gateway, unreadable=True)
    switch = await ran(ground.begin(pace=HOPELESS, gateway=lossy))
    assert switch.report.verdict is Verdict.UNPROVED
    assert switch.report.state(Step.VERIFY).outcome is StepOutcome.FAILED
    down = await ran(ground.begin(pace=HOPELESS, gateway=Lossy(ground.trading.gateway, down=True)))
    assert down.report.state(Step.CANCEL).outcome is StepOutcome.FAILED
    assert down.report.epoch is not None  # I17


async def test_another_admin_sees_it_and_goes_on(ground: Ground) -> None:
    await ground.load()
    lossy = Lossy(ground.trading.gateway, down=True)
    switch = await ran(ground.begin(pace=HOPELESS, gateway=lossy))
    store = await ground.desk.store("admin2")

    async def shown() -> bool:
        return bool((await store.snapshot()).kills)

    await until(shown, 60)
    (row,) = (await store.snapshot()).kills
    assert row.kill_id == switch.kill_id and not finished(row.steps)
    later = await resumed(ground, switch.kill_id, "admin2", "b")
    assert later.report.flat
    denied = await resumed(ground, switch.kill_id, "operator1", "c")
    assert denied.refusal is not None and denied.refusal.exit_code == 3


@pytest.mark.parametrize("folder", ["file"])
async def test_a_journal_that_cannot_be_written_stops_nothing(ground: Ground, folder: str) -> None:
    (ground.folder / "a").mkdir(exist_ok=True)
    (ground.folder / "a" / "kill").write_text("no folder")
    switch = await ran(ground.begin())
    assert switch.report.flat and any("cannot be written" in note for note in switch.notes)


async def test_orders_are_read_before_positions() -> None:  # I15
    """What fills between the two readings shows in one of them."""

    class Between:
        resting, held = True, Decimal(0)

        def fills(self) -> None:
            self.held, self.resting = (Decimal(1), False) if self.resting else (self.held, False)

        async def open_orders(self) -> list[OpenOrder]:
            found = [OpenOrder("o", "BTC-USD", "buy", Decimal(1))] if self.resting else []
            self.fills()
            return found

        async def positions(self) -> list[Held]:
            found = [Held("BTC-USD", self.held)]
            self.fills()
            return found

    read = await read_venue(Between(), 0)  # type: ignore[arg-type]
    assert read.orders or any(each.quantity for each in read.positions or ())


async def test_another_redis_is_tripped_again(ground: Ground) -> None:  # F1, I14
    """The gateways follow a server that has seen no trip of it: one more is sent and acknowledged."""
    ports = ground.ports_of()
    acks, odd = ports.acks, [True]

    async def restarted() -> Mapping[str, Ack]:
        found = dict(await acks())
        return {"plant": Ack("another server", 1)} if odd and odd.pop() else found

    before = (await ground.desk.epoch(GLOBAL)).counter
    ports = replace(ports, acks=restarted)
    switch = await ran(KillSwitch.begin(ports, "admin1", NOTES, datetime.now(UTC), QUICK))
    assert switch.report.flat
    assert (await ground.desk.epoch(GLOBAL)).counter == before + 2
