"""What the plant measures of itself, on real stores: every fault moves its figure, and healing brings it
back."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from cockpit.demo import venue as venue_module
from cockpit.demo.slis import COUNTS, Sample, Slis
from tests.demo.trading import Trading, until

VALUES = (
    "bar_staleness_p99_s",
    "daily_pnl_usd",
    "data_age_s",
    "data_quality_errors",
    "data_stale_warnings",
    "drawdown",
    "feed_age_s",
    "invariant_violations",
    "reconciliation_mismatch_runs",
    "settlement_lag_s",
    "signal_latency_p99_ms",
)
ALL = {*COUNTS, *VALUES, "reconciliation_pass"}


async def test_every_figure_is_known_within_seconds(trading: Trading) -> None:
    async def all_known() -> bool:
        rows = await trading.fetch("SELECT sli FROM sli_samples WHERE total > 0 GROUP BY sli")
        return {row["sli"] for row in rows} >= ALL - {"api_errors"}

    await until(all_known)
    rows = await trading.fetch("SELECT * FROM sli_samples")
    assert {row["sli"] for row in rows} == ALL
    for row in rows:
        assert 0 <= row["good"] <= row["total"]
        assert row["value"] is None or math.isfinite(row["value"])
        if row["sli"] in VALUES:
            assert (row["value"] is None) == (row["total"] == 0)
    usual: dict[str, Callable[[Any], bool]] = {
        "data_feed": clean,
        "operations": clean,
        "data_quality_errors": within(0),
        "data_stale_warnings": within(0),
        "settlement_lag_s": within(3),
        "invariant_violations": within(0),
        "daily_pnl_usd": within(50),
        "drawdown": within(0.001),
    }
    for sli, condition in usual.items():  # a machine that stands still makes a feed old for a moment

        async def seen(sli: str = sli, condition: Callable[[Any], bool] = condition) -> bool:
            return condition((await trading.samples(sli))[0])

        await until(seen)


async def test_a_halt_gives_samples_without_traffic(trading: Trading) -> None:
    await trading.trip("global")

    async def quiet() -> bool:
        for sli in ("order_success", "execution_latency", "signal_latency_p99_ms"):
            newest = (await trading.samples(sli))[0]
            if (newest["total"], newest["value"]) != (0, None):
                return False
        return bool((await trading.samples("operations"))[0]["total"] > 0)

    await until(quiet)


def bad(row: Any) -> bool:
    return bool(row["good"] < row["total"])


def clean(row: Any) -> bool:
    return bool(row["good"] == row["total"] > 0)


def over(bound: float) -> Callable[[Any], bool]:
    return lambda row: bool(row["value"] is not None and row["value"] > bound)


def within(bound: float) -> Callable[[Any], bool]:
    return lambda row: bool(row["value"] is not None and abs(row["value"]) <= bound)


FAULTS: list[tuple[dict[str, float], dict[str, tuple[Callable[[Any], bool], Callable[[Any], bool]]]]] = [
    (
        {"latency_ms": 400},
        {"execution_latency": (bad, clean), "signal_latency_p99_ms": (over(400), within(300))},
    ),
    ({"reject_rate": 1}, {"order_success": (bad, clean), "operations": (bad, clean)}),
    ({"feed_gap_s": 60}, {"data_feed": (bad, clean), "feed_age_s": (over(2.5), within(1))}),
    (
        {"data_delay_s": 4000, "bad_tick_rate": 0.2},
        {
            "data_age_s": (over(3999), within(2)),
            "data_quality_errors": (over(0), within(0)),
            "data_stale_warnings": (over(3), within(0)),
        },
    ),
    ({"settlement_lag_s": 60}, {"settlement_lag_s": (over(3), within(2.5))}),
    ({"ledger_violations": 2}, {"invariant_violations": (over(0), within(0))}),
    (
        {"recon_drift": 0.1},
        {
            "reconciliation_pass": (bad, clean),
            "reconciliation_mismatch_runs": (over(0), within(0)),
        },
    ),
    (
        {"position_runaway": 1.6, "price_shock": 0.1},
        {
            "daily_pnl_usd": (lambda row: row["value"] < -5_000, within(250)),
            "drawdown": (over(0.05), within(0.01)),
        },
    ),
    ({"slippage": 0.5}, {"daily_pnl_usd": (lambda row: row["value"] < -500, within(250))}),
]


@pytest.mark.parametrize(("faults", "moved"), FAULTS, ids=lambda each: "+".join(each))
async def test_fault_moves_the_figure_and_healing_returns_it(
    trading: Trading,
    faults: Mapping[str, float],
    moved: Mapping[str, tuple[Callable[[Any], bool], Callable[[Any], bool]]],
) -> None:
    async def becomes(which: int, since: object) -> None:
        for sli, conditions in moved.items():

            async def seen(sli: str = sli, condition: Callable[[Any], bool] = conditions[which]) -> bool:
                return any(condition(row) for row in (await trading.samples(sli, since))[:1])

            await until(seen)

    began = await trading.now()
    await trading.gateway.set_faults(faults)
    await becomes(0, began)
    healed = await trading.now()
    assert set((await trading.gateway.heal()).values()) == {0.0}
    await becomes(1, healed)
    await until(trading.ledger_agrees)


async def test_a_runaway_order_is_a_position_and_is_undone(trading: Trading) -> None:
    async def share() -> Decimal:
        row = (await trading.fetch("SELECT * FROM positions WHERE symbol = 'BTC-USD'"))[0]
        return Decimal(abs(row["quantity"]) / row["max_quantity"])

    async def over_the_limit() -> bool:
        return await share() > Decimal("1.5")

    async def undone() -> bool:
        return await share() < Decimal("0.3")

    await trading.gateway.set_faults({"position_runaway": 3})  # which the strategies reduce from then on
    await until(over_the_limit)
    await trading.gateway.heal()
    await until(undone)


async def test_no_answer_in_time_is_an_api_error(trading: Trading, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venue_module, "TIMEOUT_S", 0.2)
    await trading.gateway.set_faults({"latency_ms": 250})

    async def counted() -> bool:
        rows = await trading.samples("api_errors")
        return bool(sum(row["total"] for row in rows) > 3 and not any(row["good"] for row in rows))

    await until(counted)
    scraped = scrape(await text_of(trading))
    assert scraped["venue_requests_total", ("timeout",)] > 3


async def test_samples_wait_for_postgres(trading: Trading, monkeypatch: pytest.MonkeyPatch) -> None:  # F8
    """Taken on time while none can be written, written later, none lost and none twice."""
    taken: list[Sample] = []
    taking = Slis._row

    def noting(self: Slis, *measured: Any) -> None:
        taking(self, *measured)
        taken.append(self.waiting[-1])

    monkeypatch.setattr(Slis, "_row", noting)
    waiting = trading.plant.measuring.slis.waiting

    async def killed() -> bool:
        await trading.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'plant' AND datname = current_database()"
        )
        return len({each.observed_at for each in waiting if each.sli == "data_feed"}) >= 5

    async with trading.platform.connection() as owner, owner.transaction():
        await owner.execute("LOCK TABLE sli_samples IN ACCESS EXCLUSIVE MODE")
        await until(killed)
    taken_then = list(taken)

    async def caught_up() -> bool:
        return not {id(each) for each in taken_then} & {id(each) for each in waiting}

    await until(caught_up)
    stored = await trading.fetch("SELECT sli, good, total, value, observed_at FROM sli_samples")
    written = Counter(tuple(row.values()) for row in stored)
    assert taken_then
    for each in taken_then:
        assert written[each.sli, each.good, each.total, each.value, each.observed_at] == 1, each
    await until(trading.ledger_agrees)


async def text_of(trading: Trading, accept: str = "") -> str:
    answer = await trading.http.get("/metrics", headers={"accept": accept})
    assert answer.status_code == 200
    kind = "application/openmetrics-text" if "openmetrics" in accept else "text/plain"
    assert answer.headers["content-type"].startswith(kind)
    return answer.text


def scrape(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    parse = open_metrics if text.rstrip().endswith("# EOF") else plain_text
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in parse(text)
        for sample in family.samples
    }


async def test_metrics_in_both_formats(trading: Trading) -> None:
    await trading.gateway.health()
    await trading.http.get("/no/such/route")
    plain = scrape(await text_of(trading))
    opened = scrape(await text_of(trading, "application/openmetrics-text;version=1.0.0"))
    odd = await trading.http.get("/metrics", headers={"accept": "application/openmetrics-text;version=x"})
    assert odd.status_code == 200
    for name in ("settlement_lag_seconds", "invariant_violation_total", "daily_pnl_usd", "feed_age_seconds"):
        assert (name, ()) in plain
        assert (name, ()) in opened
    assert opened["orders_total", ("rejected", "BTC-USD")] == 0  # there before the first one
    assert sum(value for (name, _), value in opened.items() if name == "orders_total") > 0
    assert opened["gateway_requests_total", ("200", "GET", "/health")] >= 1
    assert opened["gateway_requests_total", ("404", "GET", "other")] == 1
    assert opened["position_limit", ("BTC-USD",)] == 1
    assert opened["engine_seq", ()] >= opened["ledger_seq", ()]
    assert opened["fault_in_force", ("latency_ms",)] == 0
    assert ("event_loop_lag_seconds_bucket", ("+Inf",)) in opened
    assert all(math.isfinite(value) for value in opened.values())
