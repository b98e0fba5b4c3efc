"""The plant on real stores: it trades, asks the gate, keeps its books, and breaks when told to."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from backends.gateway import Gateway, OrderNotPermitted
from cockpit.domain.breakers import BreakerId
from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.states import State
from tests.demo.trading import Trading, reserved_port, trading_on, until
from tests.trading_platform import Platform

BTC = BreakerId("instrument:BTC-USD")


async def test_trades_every_instrument_by_its_rights_only(trading: Trading) -> None:
    async def all_traded() -> bool:
        rows = await trading.fetch("SELECT DISTINCT symbol FROM recent_orders WHERE status = 'filled'")
        return len(rows) == 4

    await until(all_traded)
    row = (await trading.fetch("SELECT * FROM recent_orders WHERE status = 'filled' LIMIT 1"))[0]
    assert row["strategy"] == "momentum"
    assert row["quantity"] > 0
    assert row["latency_ms"] > 0
    assert row["slippage"] == 0
    assert len(await trading.fetch("SELECT FROM positions WHERE max_quantity >= abs(quantity)")) == 4

    async def all_run() -> bool:
        running = await trading.fetch("SELECT FROM automations WHERE status = 'running'")
        return len(running) == len(trading.platform.catalogue) - 1

    await until(all_run)
    await trading.ordinary()


@pytest.mark.parametrize("tripped", [BTC, "component:execution", "global"])
async def test_trip_stops_orders_and_is_acknowledged(trading: Trading, tripped: str) -> None:  # I14
    await trading.trip(tripped)

    async def acknowledged() -> bool:
        return bool((await trading.acked()).get("epochs", {}).get(tripped) == 2)

    async def booked() -> bool:
        rows = await trading.fetch(
            "SELECT FROM automations WHERE breaker_id = $1 AND status = 'paused_risk'", BTC
        )
        left = await trading.fetch(
            "SELECT FROM recent_orders WHERE symbol = 'BTC-USD' AND status IN ('new', 'open')"
        )
        return bool(rows) and not left

    await until(acknowledged)
    since = (await trading.fetch("SELECT clock_timestamp() AS now"))[0]["now"]
    await until(booked)
    before = len(await trading.fetch("SELECT FROM recent_orders"))
    elsewhere = tripped == BTC

    async def goes_on() -> bool:
        trading.plant.venue.match()
        flushed = await trading.fetch(
            "SELECT FROM positions WHERE updated_at > $1::timestamptz + interval '2 s'", since
        )
        return bool(flushed) and (
            not elsewhere or len(await trading.fetch("SELECT FROM recent_orders")) > before
        )

    await until(goes_on)
    late = await trading.fetch("SELECT symbol FROM recent_orders WHERE placed_at > $1", since)
    assert {row["symbol"] for row in late} & (
        {"BTC-USD"} if elsewhere else {r["symbol"] for r in late}
    ) == set()
    await trading.ordinary()  # the gateway is; trading is halted
    assert tripped in str((await trading.gateway.health()).halt_reason)


async def test_resumes_when_closed_again(trading: Trading) -> None:
    await trading.trip(BTC)

    async def status(wanted: str) -> bool:
        return bool(
            await trading.fetch("SELECT FROM automations WHERE breaker_id = $1 AND status = $2", BTC, wanted)
        )

    await until(lambda: status("paused_risk"))
    await trading.platform.open_for_trading(BTC)
    await until(lambda: status("running"))
    since = (await trading.fetch("SELECT clock_timestamp() AS now"))[0]["now"]

    async def trades() -> bool:
        return bool(
            await trading.fetch(
                "SELECT FROM recent_orders WHERE symbol = 'BTC-USD' AND placed_at > $1", since
            )
        )

    await until(trades)


async def test_paper_order_meets_the_gate(trading: Trading) -> None:
    placed = await trading.gateway.place_paper("BTC-USD", "buy", Decimal("0.001"))
    assert placed.status == "filled"
    await trading.trip(BTC)
    with pytest.raises(OrderNotPermitted, match="probe order not permitted: instrument:BTC-USD is OPEN"):
        await trading.gateway.place_paper("BTC-USD", "buy", Decimal("0.001"))
    await trading.halted(BTC)  # else an order on its way fills after the flattening
    held = trading.plant.venue.positions["BTC-USD"].quantity
    if held:
        answer = await trading.http.post("/positions/flatten")  # reduce-only is permitted under a halt
        assert "BTC-USD" not in answer.json()["positions"]


async def test_faults_change_what_happens(trading: Trading) -> None:
    await trading.gateway.set_faults({"reject_rate": 1})
    assert (await trading.gateway.place_paper("ETH-USD", "buy", Decimal("0.001"))).status == "rejected"

    async def rejected() -> bool:
        return bool(await trading.fetch("SELECT FROM recent_orders WHERE status = 'rejected' AND NOT paper"))

    async def degraded() -> bool:
        return not (await trading.gateway.health()).healthy

    async def healthy() -> bool:
        return (await trading.gateway.health()).healthy

    await until(rejected)
    await until(degraded)
    await trading.gateway.heal()
    await until(healthy)

    await trading.gateway.set_faults({"latency_ms": 400, "slippage": 0.02})
    placed = await trading.gateway.place_paper("ETH-USD", "buy", Decimal("0.001"))
    assert placed.latency_ms >= 400
    assert placed.slippage == Decimal("0.02")
    await until(degraded)
    await trading.gateway.heal()
    await until(healthy)

    await trading.gateway.set_faults({"feed_gap_s": 60})
    price = trading.plant.venue.market.price("BTC-USD")

    async def stale() -> bool:
        return ((await trading.gateway.health()).feed_age_s or 0) > 2

    await until(stale)
    assert trading.plant.venue.market.price("BTC-USD") == price
    assert await degraded()
    await trading.gateway.heal()
    await until(healthy)

    await trading.gateway.set_faults({"recon_drift": 0.1})

    async def mismatch() -> bool:
        return bool(await trading.fetch("SELECT FROM reconciliation_runs WHERE status = 'mismatch'"))

    await until(mismatch)
    assert await degraded()

    async def drifted() -> bool:  # it trades on between the one look and the other
        venue = {each.symbol: each.quantity for each in await trading.gateway.positions()}
        return venue["BTC-USD"] - trading.plant.venue.positions["BTC-USD"].quantity == Decimal("0.1")

    await until(drifted)


BAD_REQUESTS: list[tuple[str, str, object, int, str]] = [
    ("PUT", "/faults", {"latency_ms": -1}, 422, "latency_ms"),
    ("PUT", "/faults", {"reject_rate": 1.5}, 422, "reject_rate"),
    ("PUT", "/faults", {"slippage": "x"}, 422, "slippage"),
    ("PUT", "/faults", {"feed_gap_s": True}, 422, "feed_gap_s"),
    ("PUT", "/faults", {"other": 1}, 422, "other"),
    ("PUT", "/faults", [], 422, "JSON object"),
    ("POST", "/orders", {"symbol": "X", "side": "buy", "quantity": 1}, 422, "symbol"),
    ("POST", "/orders", {"symbol": ["BTC-USD"], "side": "buy", "quantity": 1}, 422, "symbol"),
    ("POST", "/orders", {"symbol": "BTC-USD", "side": "hold", "quantity": 1}, 422, "side"),
    ("POST", "/orders", {"symbol": "BTC-USD", "side": "buy", "quantity": "NaN"}, 422, "quantity"),
    ("POST", "/orders", {"symbol": "BTC-USD", "side": "buy", "quantity": 0}, 422, "quantity"),
    ("POST", "/orders", {"symbol": "BTC-USD", "side": "buy", "quantity": 1, "paper": 1}, 422, "paper"),
    ("POST", "/orders", {"symbol": "BTC-USD", "side": "buy", "quantity": 1, "\x1b": 1}, 422, "no field"),
    ("POST", "/orders", {"symbol": "BTC-USD", "side": "buy", "quantity": "1000"}, 409, "over"),
    ("GET", "/nowhere", None, 404, "route"),
    ("DELETE", "/orders", None, 405, "DELETE"),
]


async def test_bad_requests_get_one_clear_line(trading: Trading) -> None:  # I26
    for method, path, body, status, named in BAD_REQUESTS:
        answer = await trading.http.request(method, path, json=body)
        line = answer.json()["error"]
        assert (answer.status_code, named in line) == (status, True), (body, line)
        assert "\n" not in line
        assert "\x1b" not in line


async def test_no_json_and_too_much(trading: Trading) -> None:
    assert (await trading.http.post("/orders", content=b"{")).status_code == 400
    assert (await trading.http.put("/faults", content=b"[" * 20_000)).status_code == 413
    assert (await trading.http.put("/faults", content=b"[" * 10_000)).status_code == 400


async def test_places_nothing_while_redis_is_away(platform: Platform) -> None:  # F9 F20
    await platform.open_for_trading()
    async with trading_on(platform) as trading:
        trading.platform.valkey.pause()
        try:

            async def paused() -> bool:
                return len(await trading.fetch("SELECT FROM automations WHERE status = 'running'")) == 0

            await until(paused)
            since = (await trading.fetch("SELECT clock_timestamp() AS now"))[0]["now"]
            with pytest.raises(OrderNotPermitted, match="unreadable"):
                await trading.gateway.place_paper("BTC-USD", "buy", Decimal("0.001"))
            marked = "SELECT FROM positions WHERE updated_at > $1::timestamptz + interval '1 s'"
            await until(lambda: trading.fetch(marked, since))
            assert not await trading.fetch("SELECT FROM recent_orders WHERE placed_at > $1", since)
        finally:
            trading.platform.valkey.resume()

        async def trades() -> bool:
            return bool(await trading.fetch("SELECT FROM recent_orders WHERE placed_at > $1", since))

        await until(trades)


async def test_books_wait_for_postgres(trading: Trading) -> None:  # F8
    """Its session is killed, again and again: no order is lost that was filled."""
    for _ in range(3):
        await trading.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'plant'"
        )
        await asyncio.sleep(0)
    before = (await trading.fetch("SELECT count(*) AS n FROM recent_orders"))[0]["n"]

    async def more() -> bool:
        return bool((await trading.fetch("SELECT count(*) AS n FROM recent_orders"))[0]["n"] > before + 3)

    await until(more)
    await trading.halted()  # nothing is filled any more
    now = {name: each.quantity for name, each in trading.plant.venue.positions.items() if each.quantity}

    async def agrees() -> bool:
        rows = await trading.fetch("SELECT symbol, quantity FROM positions")
        sums = await trading.fetch(
            "SELECT symbol, sum(CASE side WHEN 'buy' THEN quantity ELSE -quantity END) AS quantity"
            " FROM recent_orders WHERE status = 'filled' AND NOT paper GROUP BY symbol"
        )
        held = [{row["symbol"]: row["quantity"] for row in each if row["quantity"]} for each in (rows, sums)]
        return held == [now, now]

    await until(agrees)
    assert now


async def test_unreachable_gateway_is_named() -> None:
    with reserved_port() as port:
        async with Gateway(f"http://127.0.0.1:{port}") as gateway:
            with pytest.raises(StoreUnreachable, match="gateway is unreachable"):
                await gateway.health()


async def test_quiet_period_cuts_sizes(trading: Trading) -> None:
    from datetime import UTC, datetime, timedelta

    from backends.signing import sign_document
    from cockpit.demo.market import LISTINGS
    from cockpit.domain.documents import Document, Epoch

    async with trading.platform.redis_line() as line:
        info = (await line.command("INFO", "server")).decode()
        run_id = next(row.partition(":")[2] for row in info.splitlines() if row.startswith("run_id:"))
        now = datetime.now(UTC)
        document = Document(
            BTC,
            State.QUIET_PERIOD,
            Epoch(run_id, 1),
            trading.platform.catalogue.ancestors(BTC),
            2,
            "operator1",
            "",
            "",
            "e",
            now,
            quiet_until=now + timedelta(minutes=5),
            size_share=Decimal("0.25"),
        )
        await line.command("SET", f"breaker:{BTC}", sign_document(document, trading.platform.authority_key))
    since = (await trading.fetch("SELECT clock_timestamp() AS now"))[0]["now"]

    async def several() -> bool:
        query = (
            "SELECT quantity FROM recent_orders"
            " WHERE symbol = 'BTC-USD' AND placed_at > $1::timestamptz + interval '0.5 s'"
        )
        rows = await trading.fetch(query, since)
        most = LISTINGS["BTC-USD"].normal_quantity / 4
        assert all(row["quantity"] <= most for row in rows)
        return len(rows) >= 2

    await until(several)
