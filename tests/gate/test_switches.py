"""Modes, latches and the halt of withdrawals, as the gate enforces them on a real server."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from redis.asyncio import Redis

from backends.gate import Gate, Mode, OrderKind
from cockpit.demo.servers import Valkey
from cockpit.domain.breakers import GLOBAL, WITHDRAWALS, BreakerId
from cockpit.domain.documents import Epoch
from cockpit.domain.states import State
from tests.gate.documents import BTC, CATALOGUE, EXECUTION, Author
from tests.gate.test_never_looser import SPOILT, put

CANCEL_ONLY = BreakerId("cancel_only:BTC-USD")
SOFT = BreakerId("soft_halt:BTC-USD")
HARD = BreakerId("hard_halt:BTC-USD")
LATCH = BreakerId("latch:BTC-USD")
HALTED = {OrderKind.CANCEL, OrderKind.REDUCE_ONLY}


@pytest.fixture
async def gate(redis: Redis, author: Author) -> Gate:
    await author.close_all()
    return Gate(redis, CATALOGUE, author.keys, timeout_s=60)


@pytest.mark.parametrize(
    ("name", "mode", "permits"),
    [
        (CANCEL_ONLY, Mode.CANCEL_ONLY, {OrderKind.CANCEL}),
        (SOFT, Mode.SOFT_HALT, {OrderKind.CANCEL}),
        (HARD, Mode.HARD_HALT, set()),
        (LATCH, Mode.NORMAL, HALTED),
    ],
)
@pytest.mark.parametrize("documented", [False, True])
async def test_a_switch_takes_its_kinds_away(  # I2
    gate: Gate, author: Author, name: BreakerId, mode: Mode, permits: set[OrderKind], documented: bool
) -> None:
    await author.redis.incr(f"trip:{name}")
    if documented:
        await author.write(name, State.OPEN, 2)
    decision = await gate.decide("BTC-USD", "momentum")
    assert (decision.effective_state, decision.halted_by) == (State.OPEN, name)
    assert (decision.mode, decision.permits, decision.latched) == (mode, permits, name == LATCH)
    assert decision.size_share == Decimal(0) and decision.why.startswith(f"{name} is set")
    other = await gate.decide("ETH-USD")
    assert (other.mode, other.permits) == (Mode.NORMAL, set(OrderKind))
    survey = await gate.survey()
    assert survey[BTC].permits == permits and survey[EXECUTION].permits == set(OrderKind)


async def test_the_strictest_one_counts_and_breakers_are_named_first(
    gate: Gate, author: Author
) -> None:  # I5
    for name in (CANCEL_ONLY, LATCH, SOFT):
        await author.redis.incr(f"trip:{name}")
    decision = await gate.decide("BTC-USD")
    assert (decision.mode, decision.halted_by, decision.latched) == (Mode.SOFT_HALT, SOFT, True)
    assert decision.permits == {OrderKind.CANCEL}
    await author.redis.incr(f"trip:{EXECUTION}")
    decision = await gate.decide("BTC-USD")
    assert (decision.halted_by, decision.permits) == (EXECUTION, {OrderKind.CANCEL})
    assert decision.why.endswith("BTC-USD is in SOFT_HALT")
    await author.redis.delete("circuit_breaker:state")
    await author.redis.incr(f"trip:{HARD}")
    decision = await gate.decide("BTC-USD")
    assert (decision.halted_by, decision.permits) == (GLOBAL, set())


@pytest.mark.parametrize("way", SPOILT)
async def test_doubt_halts_and_traps_nothing(  # I4
    redis: Redis, author: Author, way: str
) -> None:
    """One that is known to be set still takes away what it does."""
    for name in (HARD, LATCH, CANCEL_ONLY):
        await redis.flushall()
        await author.close_all()
        gate = Gate(redis, CATALOGUE, author.keys, timeout_s=60)
        values = put(author, author, name, way, State.CLOSED)
        for key, value in ((f"trip:{name}", values.counter), (f"breaker:{name}", values.document)):
            await (redis.delete(key) if value is None else redis.set(key, value))
        decision = await gate.decide("BTC-USD")
        if way in ("signed by another", "says our key, signed by another"):  # `author` plays the stranger
            continue
        assert (decision.effective_state, decision.halted_by) == (State.OPEN, name), way
        known = {"tripped since", "probe run over"}
        if way in known and name != LATCH:
            assert decision.mode is (Mode.HARD_HALT if name == HARD else Mode.CANCEL_ONLY)
        else:
            assert (decision.mode, decision.permits) == (Mode.NORMAL, HALTED), way


async def test_a_restart_or_a_loss_loosens_no_mode_for_a_gate_that_knew_it(  # I4, F1
    gate: Gate, author: Author, redis: Redis, gate_server: Valkey
) -> None:
    await author.write(HARD, State.OPEN, 2)
    assert (await gate.decide("BTC-USD")).permits == set()
    await redis.flushall()
    decision = await gate.decide("BTC-USD")
    assert (decision.mode, decision.permits) == (Mode.HARD_HALT, set())
    gate_server.stop()
    for found in (await gate.decide("BTC-USD"), (await gate.survey())[BTC]):
        assert str(found.halted_by).startswith("unreadable")
        assert (found.mode, found.permits) == (Mode.HARD_HALT, set())
    other = await gate.decide("ETH-USD")
    assert (other.mode, other.permits) == (Mode.NORMAL, HALTED)
    gate_server.start()
    again = await Author.of(redis)
    again.key = author.key
    await again.close_all()
    decision = await gate.decide("BTC-USD")
    assert (decision.mode, decision.permits) == (Mode.NORMAL, set(OrderKind))


async def test_what_was_set_before_a_restart_is_known_to_be_set(author: Author, redis: Redis) -> None:  # F1
    await author.close_all()
    old = replace(author.document(HARD, State.OPEN, 2), epoch=Epoch("f" * 40, 2))
    await redis.set(f"breaker:{HARD}", author.signed(old))
    fresh = Gate(redis, CATALOGUE, author.keys, timeout_s=60)
    decision = await fresh.decide("BTC-USD")
    assert (decision.mode, decision.permits) == (Mode.HARD_HALT, set())


async def test_withdrawals_are_made_where_their_switch_says_so_and_nowhere_else(  # I18
    gate: Gate, author: Author, redis: Redis, gate_server: Valkey
) -> None:
    found = await gate.withdrawals()
    assert found.permitted and found.epoch == Epoch(author.run_id, 1)
    await redis.incr(f"trip:{GLOBAL}")  # a halt of trading is none of withdrawals
    assert (await gate.withdrawals()).permitted
    for way in SPOILT:
        if "signed by another" in way:
            continue
        values = put(author, author, WITHDRAWALS, way, State.CLOSED)
        for key, value in (
            (f"trip:{WITHDRAWALS}", values.counter),
            (f"breaker:{WITHDRAWALS}", values.document),
        ):
            await (redis.delete(key) if value is None else redis.set(key, value))
        found = await gate.withdrawals()
        assert not found.permitted and "halted" in found.why, way
    for state in (State.OPEN, State.QUIET_PERIOD, State.HALF_OPEN):
        await author.write(WITHDRAWALS, state)
        assert not (await gate.withdrawals()).permitted
    await author.write(WITHDRAWALS, State.CLOSED)
    assert (await gate.withdrawals()).permitted
    gate_server.stop()
    found = await gate.withdrawals()
    assert not found.permitted and found.epoch is None and found.why.startswith("unreadable")


async def test_a_strategy_alone_has_no_switches(gate: Gate, author: Author) -> None:
    await author.redis.incr(f"trip:{HARD}")
    survey = await gate.survey()
    assert survey[BreakerId("strategy:momentum")].permits == set(OrderKind)
    assert set(survey) == set(CATALOGUE.ids)
