"""Whatever stands in the keys, the gate lets no more through than the rule says (I4, I5)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from backends.gate import PERMITS, Gate
from backends.signing import canonical
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.documents import Epoch
from cockpit.domain.states import State
from tests.gate.documents import BTC, CATALOGUE, ETH, EXECUTION, LEGACY, MOMENTUM, Author, altered

CHAIN: Final = (GLOBAL, EXECUTION, BTC, MOMENTUM)
Bytes = bytes | None


@dataclass(frozen=True)
class Placed:
    """What is put under one breaker's keys, and the state that the rule gives it."""

    counter: Bytes
    document: Bytes
    rule: State


def resigned(author: Author, raw: bytes, **changes: object) -> bytes:
    fields = json.loads(raw) | changes
    del fields["signature"]
    return canonical(fields | {"signature": author.key.sign(canonical(fields))})


def spoilt(
    author: Author, stranger: Author, name: BreakerId, state: State
) -> dict[str, Callable[[], Placed]]:
    """Each way in which a document of `state` at counter 5 can fail to be current."""
    good = author.document(name, state, 5)
    raw = author.signed(good)

    def as_is(document: Bytes, counter: Bytes = b"5") -> Placed:
        return Placed(counter, document, State.OPEN)

    return {
        "missing": lambda: as_is(None),
        "no counter": lambda: as_is(raw, None),
        "tripped since": lambda: as_is(raw, b"6"),
        "counter lowered": lambda: as_is(raw, b"4"),
        "counter zero": lambda: as_is(raw, b"0"),
        "counter padded": lambda: as_is(raw, b"05"),
        "counter signed": lambda: as_is(raw, b"+5"),
        "counter spaced": lambda: as_is(raw, b" 5"),
        "counter words": lambda: as_is(raw, "\u0665".encode()),
        "counter huge": lambda: as_is(raw, b"9" * 40),
        "counter float": lambda: as_is(raw, b"5.0"),
        "other server": lambda: as_is(author.signed(replace(good, epoch=Epoch("f" * 40, 5)))),
        "no signature": lambda: as_is(altered(raw, signature="")),
        "signed by another": lambda: as_is(stranger.signed(good)),
        "says our key, signed by another": lambda: as_is(
            altered(stranger.signed(good), key_id=author.key.key_id)
        ),
        "state changed": lambda: as_is(altered(raw, state="CLOSED", actor="mallory")),
        "counter changed": lambda: as_is(altered(raw, epoch=6), b"6"),
        "other breaker": lambda: as_is(author.signed(author.document(ETH, state, 5))),
        "other ancestors": lambda: as_is(author.signed(replace(good, ancestors=(BreakerId("component:x"),)))),
        "unknown state": lambda: as_is(resigned(author, raw, state="ARMED")),
        "lower case state": lambda: as_is(resigned(author, raw, state="closed")),
        "extra field": lambda: as_is(resigned(author, raw, note="x")),
        "epoch as text": lambda: as_is(resigned(author, raw, epoch="5")),
        "epoch true": lambda: as_is(resigned(author, raw, epoch=True), b"1"),
        "share zero": lambda: as_is(resigned(author, raw, size_share="0")),
        "share over one": lambda: as_is(resigned(author, raw, size_share="1.01")),
        "share nan": lambda: as_is(resigned(author, raw, size_share="NaN")),
        "not canonical": lambda: as_is(b" " + raw),
        "huge": lambda: as_is(resigned(author, raw, notes="x" * 20_000)),
        "probe run over": lambda: as_is(
            author.signed(
                replace(good, state=State.HALF_OPEN, run_deadline=good.issued_at - timedelta(seconds=1))
            )
        ),
        "half-open for ever": lambda: as_is(resigned(author, raw, state="HALF_OPEN", run_deadline=None)),
    }


SPOILT: Final = sorted(spoilt(Author(Redis(), ""), Author(Redis(), ""), BTC, State.CLOSED))
FAITHFUL: Final = st.tuples(st.just("faithful"), st.sampled_from(State))
CASES: Final = st.one_of(
    FAITHFUL,
    st.tuples(st.just("faithful"), st.just(State.CLOSED)),
    st.tuples(st.sampled_from(SPOILT), st.sampled_from(State)),
    st.tuples(st.binary(max_size=200), st.sampled_from(State)),
    st.tuples(
        st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr), st.sampled_from(State)
    ),
)
LEGACIES: Final = st.sampled_from(["mirror"] * 6 + ["missing", "garbage", "by hand", "older", "other word"])


def put(author: Author, stranger: Author, name: BreakerId, case: str | bytes, state: State) -> Placed:
    if case == "faithful":
        return Placed(b"5", author.signed(author.document(name, state, 5)), state)
    ways = spoilt(author, stranger, name, state)
    if isinstance(case, str) and case in ways:
        return ways[case]()
    return Placed(b"5", case if isinstance(case, bytes) else case.encode("utf-8", "replace"), State.OPEN)


def legacy(kind: str, author: Author, placed: Placed) -> Bytes:
    """A value for the legacy key. Only the faithful mirror of a current document halts nothing."""
    if placed.rule is State.OPEN or kind in ("missing",):
        return None
    fields = json.loads(placed.document or b"{}")
    words = {"CLOSED": "OPEN", "QUIET_PERIOD": "QUIET_PERIOD"}
    value = {"state": words.get(fields["state"], "TRIPPED"), "event_id": fields["event_id"], "epoch": 5}
    changed = {
        "mirror": value,
        "garbage": [value],
        "by hand": {"state": "OPEN"},
        "older": value | {"epoch": 4},
        "other word": value | {"state": "CLOSED"},
    }
    return json.dumps(changed[kind]).encode()


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases=st.tuples(*[CASES] * len(CHAIN)), kind=LEGACIES)
async def test_never_looser_than_the_rule(
    redis: Redis, author: Author, cases: tuple[tuple[str | bytes, State], ...], kind: str
) -> None:  # I4 I5
    stranger = Author(redis, author.run_id)
    placed = {
        name: put(author, stranger, name, case, state)
        for name, (case, state) in zip(CHAIN, cases, strict=True)
    }
    await redis.flushall()
    for name, values in placed.items():
        for key, value in ((f"trip:{name}", values.counter), (f"breaker:{name}", values.document)):
            if value is not None:
                await redis.set(key, value)
    for name in CATALOGUE.switches:
        await author.write(name, State.CLOSED)
    mirror = legacy(kind, author, placed[GLOBAL])
    if mirror is not None:
        await redis.set(LEGACY, mirror)
    order = [State.CLOSED, State.QUIET_PERIOD, State.HALF_OPEN, State.OPEN]
    expected = max((values.rule for values in placed.values()), key=order.index)
    if kind != "mirror":
        expected = State.OPEN

    decision = await Gate(redis, CATALOGUE, author.keys, timeout_s=60).decide("BTC-USD", "momentum")

    assert decision.effective_state is expected
    assert decision.permits == PERMITS[expected]
    assert (decision.halted_by is None) == (expected is State.CLOSED)
    assert (decision.size_share > 0) == (expected in (State.CLOSED, State.QUIET_PERIOD))


async def test_every_single_spoilt_document_halts(redis: Redis, author: Author) -> None:  # I4, one at a time
    stranger = Author(redis, author.run_id)
    gate = Gate(redis, CATALOGUE, author.keys, timeout_s=60)
    for name in CHAIN:
        for way in SPOILT:
            await redis.flushall()
            await author.close_all()
            assert (await gate.decide("BTC-USD", "momentum")).effective_state is State.CLOSED
            values = put(author, stranger, name, way, State.CLOSED)
            for key, value in ((f"trip:{name}", values.counter), (f"breaker:{name}", values.document)):
                await (redis.delete(key) if value is None else redis.set(key, value))
            decision = await gate.decide("BTC-USD", "momentum")
            assert (decision.effective_state, decision.halted_by) == (State.OPEN, name), (name, way)


async def test_documents_of_another_type_halt(redis: Redis, author: Author) -> None:  # I4
    gate = Gate(redis, CATALOGUE, author.keys, timeout_s=60)
    for key in (f"breaker:{BTC}", f"trip:{EXECUTION}", LEGACY):
        await redis.flushall()
        await author.close_all()
        await redis.delete(key)
        await redis.lpush(key, "x")
        assert (await gate.decide("BTC-USD")).effective_state is State.OPEN
