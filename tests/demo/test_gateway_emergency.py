"""What the gateway does in an emergency: idempotent cancel-all and flatten, modes, withdrawals."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from backends.gateway import OrderNotPermitted
from cockpit.demo import venue as venue_module
from cockpit.demo.idempotency import KEPT_S, MOST, MOST_CANCELS, Answers, BadKey, Made
from cockpit.demo.orders import OrderStatus, Side
from cockpit.domain.breakers import WITHDRAWALS, BreakerId
from cockpit.domain.modes import Mode, switch_for
from cockpit.domain.states import State
from tests.demo.trading import PATIENCE_S, Trading, trading_on, until
from tests.demo.trading import rest as rest_at
from tests.trading_platform import Platform

BTC, ETH = "BTC-USD", "ETH-USD"


def rest(trading: Trading, symbol: str) -> str:
    return rest_at(trading.plant.venue, symbol, Side.BUY, kept=True)


def hold(trading: Trading, symbol: str, quantity: str) -> None:
    venue, amount = trading.plant.venue, Decimal(quantity)
    held = venue.positions[symbol].quantity
    change = amount - held
    if change:
        side = Side.BUY if change > 0 else Side.SELL
        venue._execute(symbol, side, abs(change), venue.market.price(symbol))


async def set_mode(trading: Trading, mode: Mode, symbol: str = BTC) -> None:
    """Set it as a person would, and wait until the authority's document would stand too."""
    name = switch_for(mode, symbol)
    assert name is not None
    await trading.trip(name)
    await trading.platform.open_for_trading(name, state=State.OPEN)


async def test_a_repeat_gets_the_first_answer_and_submits_nothing(trading: Trading) -> None:  # I16
    await trading.halted()
    hold(trading, ETH, "2")
    order_id = rest(trading, BTC)
    first = await trading.gateway.cancel_all(key="k1")
    assert order_id in first.cancelled
    later = rest(trading, BTC)
    again = await trading.gateway.cancel_all(key="k1")
    assert again == first and later in trading.plant.venue.resting
    assert later in (await trading.gateway.cancel_all(key="k2")).cancelled

    flat = await trading.gateway.flatten(key="f1")
    assert flat.orders >= 1 and not flat.refused
    assert trading.plant.venue.positions[ETH].quantity == 0
    hold(trading, ETH, "3")
    assert (await trading.gateway.flatten(key="f1")) == flat
    assert trading.plant.venue.positions[ETH].quantity == 3
    other = await trading.http.post("/orders/cancel-all", headers={"idempotency-key": "f1"})
    assert other.status_code == 422 and "was used for flatten" in other.json()["error"]
    bad = await trading.http.post("/positions/flatten", headers={"idempotency-key": "a b"})
    assert bad.status_code == 422


async def test_overlapping_flattens_and_fills_flip_nothing(
    trading: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:  # F13, I16
    monkeypatch.setattr(venue_module, "TIMEOUT_S", 600.0)
    await trading.halted()
    await trading.gateway.set_faults({"latency_ms": 60_000})
    hold(trading, ETH, "2")
    hold(trading, BTC, "-1")
    seen: list[Decimal] = []
    venue = trading.plant.venue
    held = [each for each in venue.positions.values() if each.quantity]
    one, two = (
        asyncio.create_task(trading.gateway.flatten(key="a")),
        asyncio.create_task(trading.gateway.flatten(key="b")),
    )
    same = asyncio.create_task(trading.gateway.flatten(key="a"))

    async def travelling() -> bool:  # one for each position, of each of the two
        orders = trading.plant.measuring.record.report(venue).orders.values()
        return sum(each.reduce_only and each.status is OrderStatus.NEW for each in orders) == 2 * len(held)

    await until(travelling)
    hold(trading, ETH, "0.5")  # a fill that overlaps
    await trading.gateway.heal()  # and all of them arrive
    while not (one.done() and two.done() and same.done()):
        seen.append(venue.positions[ETH].quantity)
        assert venue.positions[ETH].quantity >= 0 and venue.positions[BTC].quantity <= 0
        await asyncio.sleep(0)
    assert await one == await same
    assert not any(position.quantity for position in venue.positions.values())
    assert seen == sorted(seen, reverse=True)  # never farther from nothing


async def test_answers_outlive_the_plant(platform: Platform) -> None:  # I16
    await platform.open_for_trading()
    async with trading_on(platform, gate_s=PATIENCE_S) as before:
        await before.halted()
        answer = await before.gateway.cancel_all(symbol=BTC, key="kept")

        async def written() -> bool:
            return bool(await before.fetch("SELECT FROM plant.answers WHERE key = 'kept'"))

        await until(written)
    await platform.open_for_trading()
    async with trading_on(platform, gate_s=PATIENCE_S) as after:
        resting = rest(after, BTC)
        assert await after.gateway.cancel_all(symbol=BTC, key="kept") == answer
        assert resting in after.plant.venue.resting


async def test_one_symbol_s_orders(trading: Trading) -> None:
    await set_mode(trading, Mode.SOFT_HALT)
    await set_mode(trading, Mode.SOFT_HALT, ETH)
    mine, other = rest(trading, BTC), rest(trading, ETH)
    answer = await trading.gateway.cancel_all(symbol=BTC)
    assert mine in answer.cancelled and other not in answer.cancelled
    assert other in trading.plant.venue.resting
    wrong = await trading.http.post("/orders/cancel-all", json={"symbol": "nothing"})
    assert wrong.status_code == 422


@pytest.mark.parametrize("mode", [Mode.CANCEL_ONLY, Mode.SOFT_HALT, Mode.HARD_HALT])
async def test_a_mode_is_enforced(trading: Trading, mode: Mode) -> None:
    hold(trading, BTC, "1")
    await set_mode(trading, mode)
    order_id = rest(trading, BTC)
    body = {"symbol": BTC, "side": "sell", "quantity": "0.1", "reduce_only": True}
    placed = await trading.http.post("/orders", json=body)
    assert placed.status_code == 409 and mode.value.lower() in placed.json()["error"].lower()
    flat = await trading.gateway.flatten()
    assert mode.value in flat.refused[BTC]
    assert mode.value.lower() in str((await trading.gateway.health()).halt_reason).lower()
    venue = trading.plant.venue
    for _ in range(30):  # whoever fills, the gate is asked first
        venue.due = lambda: list(venue.resting.values())  # type: ignore[method-assign]
        await trading.plant._fill_resting()
    assert (order_id in venue.resting) is (not mode.fills)
    if mode is Mode.HARD_HALT:
        refused = await trading.gateway.cancel_all(symbol=BTC)
        assert not refused.cancelled and "HARD_HALT" in refused.why
        assert (await trading.http.post("/orders/cancel-all", json={"symbol": BTC})).status_code == 409
        whole = await trading.gateway.cancel_all()
        assert "HARD_HALT" in whole.refused[order_id]
    elif mode is Mode.SOFT_HALT:
        assert order_id in (await trading.gateway.cancel_all(symbol=BTC)).cancelled


async def test_a_latch_leaves_cancels_and_reducing(trading: Trading) -> None:
    latch = BreakerId(f"latch:{BTC}")
    hold(trading, BTC, "1")
    await trading.trip(latch)
    await trading.platform.open_for_trading(latch, state=State.OPEN)
    refused = await trading.http.post("/orders", json={"symbol": BTC, "side": "buy", "quantity": "0.001"})
    assert refused.status_code == 409
    rest(trading, BTC)
    assert not (await trading.gateway.cancel_all(symbol=BTC)).refused
    assert BTC not in (await trading.gateway.flatten()).refused


async def test_withdrawals_are_halted_where_they_are_made(platform: Platform) -> None:  # I18
    await platform.open_for_trading(*platform.catalogue.everything)
    async with trading_on(platform, gate_s=PATIENCE_S) as trading:
        sent = await trading.gateway.withdraw("treasury", "USD", Decimal("10.5"), key="w1")
        assert sent.status == "sent"
        assert await trading.gateway.withdraw("treasury", "USD", Decimal("10.5"), key="w1") == sent
        await trading.trip(WITHDRAWALS)
        with pytest.raises(OrderNotPermitted, match="withdrawals are halted"):
            await trading.gateway.withdraw("treasury", "USD", Decimal("10.5"))
        for body in (
            {},
            {"account": "a", "asset": "USD", "amount": 5},
            {"account": "", "asset": "USD", "amount": "1"},
        ):
            assert (await trading.http.post("/withdrawals", json=body)).status_code == 422
    async with trading_on(platform, gate_s=PATIENCE_S) as again:  # another process would read the same
        with pytest.raises(OrderNotPermitted, match="withdrawal not permitted"):
            await again.gateway.withdraw("treasury", "USD", Decimal("10.5"))
        await platform.open_for_trading(WITHDRAWALS)
        assert (await again.gateway.withdraw("treasury", "USD", Decimal("1"))).status == "sent"


async def test_a_closed_market_and_refused_cancels(trading: Trading) -> None:  # F12
    await trading.halted()
    hold(trading, ETH, "2")
    order_id = rest(trading, BTC)
    await trading.gateway.set_faults({"closed_market": 1, "cancel_failures": 1})
    assert (await trading.gateway.flatten()).refused[ETH] == "market closed"
    assert "refused" in (await trading.gateway.cancel_all()).refused[order_id]
    assert trading.plant.venue.positions[ETH].quantity == 2
    await trading.gateway.heal()
    assert order_id in (await trading.gateway.cancel_all()).cancelled


async def test_keys_are_kept_for_a_day(trading: Trading) -> None:  # I16
    answers, done = Answers(), 0

    async def work() -> Made:
        nonlocal done
        done += 1
        return 200, {"n": done}

    for number in range(1_005):
        await answers.once(f"w{number}", f"withdrawal a USD {number}", work)
    await answers.once("c0", "cancel-all *", work)
    await answers.save(trading.db)
    assert await answers.once("w0", "withdrawal a USD 0", work) == (200, {"n": 1})
    age = "UPDATE plant.answers SET answered_at = answered_at - make_interval(secs => $1) WHERE key = $2"
    await trading.db.execute(age, KEPT_S + 1, "w1")
    await trading.db.execute(age, KEPT_S - 60, "w2")
    later = Answers()
    await later.load(trading.db)
    for number, again in ((0, 1), (1, 1_007), (2, 3), (1_004, 1_005)):
        assert await later.once(f"w{number}", f"withdrawal a USD {number}", work) == (200, {"n": again})
    assert await later.once("c0", "cancel-all *", work) == (200, {"n": 1_006})
    await trading.db.execute(age, KEPT_S + 1, "w3")
    await later.save(trading.db)
    kept = {row["key"] for row in await trading.fetch("SELECT key FROM plant.answers")}
    assert "w3" not in kept and {"w0", "w2", "c0"} <= kept


async def test_keys_are_bounded_and_failures_are_not_kept() -> None:
    answers, done = Answers(), 0

    async def work() -> Made:
        nonlocal done
        done += 1
        if done == 1:
            raise OSError("the first one breaks")
        return (409, {"n": done}) if done == 2 else (200, {"n": done})

    with pytest.raises(OSError, match="breaks"):
        await answers.once("k", "flatten", work)
    assert (await answers.once("k", "flatten", work))[0] == 409
    assert (
        await answers.once("k", "flatten", work)
        == (200, {"n": 3})
        == await answers.once("k", "flatten", work)
    )
    for number in range(MOST_CANCELS + 5):  # they push out each other only
        await answers.once(f"c{number}", "cancel-all *", work)
    assert len(answers) == MOST_CANCELS + 1
    assert (await answers.once("k", "flatten", work)) == (200, {"n": 3})
    for number in range(MOST + 5):
        await answers.once(f"n{number}", "flatten", work)
    assert len(answers) == MOST + MOST_CANCELS and answers.unsaved == MOST
    release = asyncio.Event()

    async def slow() -> Made:
        await release.wait()
        return 200, {}

    first: asyncio.Task[Any] = asyncio.create_task(answers.once("slow", "flatten", slow))
    await asyncio.sleep(0)
    second = asyncio.create_task(answers.once("slow", "withdrawal", slow))
    first.cancel()  # whoever asked went away: it is finished all the same
    release.set()
    with pytest.raises(BadKey):
        await second
    assert await answers.once("slow", "flatten", work) == (200, {})
