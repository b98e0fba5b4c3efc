"""What is wrong with some samples, or takes too long to sum, spoils no other objective. # I25, F14"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from backends.sli_questions import Objective
from backends.sli_store import SliStore
from cockpit.domain.budgets import Counts
from cockpit.domain.slos import Consecutive, Op, Slices, Statistic
from tests.stores.test_sli_readings import AT, US, WINDOW_S, Sample, insert, limit, slo, threshold
from tests.trading_platform import Platform


@pytest.fixture
async def store(platform: Platform) -> AsyncIterator[SliStore]:
    made = SliStore(platform.login("monitor1").postgres_dsn)
    yield made
    await made.close()


@pytest.mark.parametrize("when", ["infinity", "-infinity", "0044-03-15 BC", "20000-01-01", "1969-12-31"])
@pytest.mark.parametrize("also", [False, True], ids=["alone", "beside a real one"])
async def test_samples_of_no_possible_time(
    platform: Platform, store: SliStore, when: str, also: bool
) -> None:  # F14
    async with platform.connection("gateway") as gateway:
        await gateway.execute(
            "INSERT INTO sli_samples (sli, good, total, value, observed_at)"
            " VALUES ('odd', 1, 2, 9, $1::text::timestamptz)",
            when,
        )
    found = [Sample(AT - US, Decimal(3), Decimal(4), 5.0)]
    await insert(platform, "fine", found)
    if also:
        await insert(platform, "odd", found)
    asked: list[Objective] = [
        slo("odd", consecutive=Consecutive(3, "orders")),
        slo("odd", counter=True, name="counter"),
        slo("odd", limit("odd", Op.LTE, 6), name="limit", consecutive=Consecutive(3, "bars")),
        slo("odd", name="sliced", slices=Slices(60, Decimal("0.5"))),
        threshold("odd", Statistic.LATEST),
        slo("fine"),
    ]
    readings = dict(await store.read(asked, [], AT))
    assert readings.pop("fine").counts[300] == Counts(Decimal(3), Decimal(4))
    for name, reading in readings.items():
        assert reading.newest_at == (AT - US if also else None), name
        assert reading.fault == "" if also else "its only samples are of the future" in reading.fault
        assert reading.streak == (4 if also and name == "odd" else 0)
        assert (reading.value == 5.0) is (also and name in ("limit", "odd-latest"))


@pytest.mark.parametrize("digits", [400, 5_000])
async def test_numbers_beyond_sense_spoil_no_other_objective(
    platform: Platform, store: SliStore, digits: int
) -> None:
    huge = Decimal(10) ** digits
    some = [Sample(AT - timedelta(seconds=k), Decimal(1), huge + k, None) for k in (3, 2, 1)]
    await insert(platform, "huge", some)
    await insert(platform, "fine", [Sample(AT, Decimal(3), Decimal(4), 5.0)])
    asked = [
        slo("huge"),
        slo("huge", counter=True, name="counter", consecutive=Consecutive(3, "o")),
        slo("fine"),
    ]
    readings = await store.read(asked, [], AT)
    assert readings["fine"].counts[300] == Counts(Decimal(3), Decimal(4))
    assert "cannot be" in readings["counter"].fault


class Costs(NamedTuple):
    """What a reading has sent to the server: the names asked in each statement."""

    asked: list[list[str]]

    @classmethod
    def watch(cls, store: SliStore, monkeypatch: pytest.MonkeyPatch) -> Costs:
        asked: list[list[str]] = []
        ask = store._ask

        async def watched(group: Any, *more: Any) -> Any:
            asked.append([each.name for each in group])
            return await ask(group, *more)

        monkeypatch.setattr(store, "_ask", watched)
        return cls(asked)


@pytest.mark.parametrize("sli", ["slow", "b"], ids=["slices", "a limit"])
async def test_a_costly_objective_fails_by_itself(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, sli: str
) -> None:
    """A policy makes the buckets of one SLI slow to read, as many of them would."""
    cheap = [slo("a", name=f"cheap{k}") for k in range(50)]
    costly = [slo("slow", name=f"sliced{k}", slices=Slices(60, Decimal("0.5"))) for k in range(3)]
    limited = slo("b", limit("b", Op.LTE, 6), name="limited")
    for each in ("a", "b", "slow"):
        await insert(platform, each, [Sample(AT - timedelta(seconds=200), Decimal(3), Decimal(4), 5.0)])
    store = SliStore(platform.login("monitor1").postgres_dsn, command_timeout_s=2.5)
    seen = Costs.watch(store, monkeypatch)
    before = await store.read([*cheap, limited], [], AT)
    assert len(seen.asked) == 1  # one round trip, where nothing is costly
    assert not any(each.fault for each in before.values())
    async with platform.connection() as owner:
        await owner.execute(
            "CREATE FUNCTION stall(sli text) RETURNS boolean LANGUAGE plpgsql STABLE COST 1000000 AS"
            f" $$BEGIN IF sli = '{sli}' THEN PERFORM pg_sleep(8); END IF; RETURN true; END$$;"
            "CREATE POLICY slow ON sli_buckets FOR SELECT USING (stall(sli));"
            "ALTER TABLE sli_buckets ENABLE ROW LEVEL SECURITY"
        )
    seen.asked.clear()
    readings = await store.read([*costly, *cheap, limited], [], AT)
    for name, reading in readings.items():
        if name.startswith("sliced" if sli == "slow" else "limited"):
            assert "gave up after 2.5 s" in reading.fault or "not asked this time" in reading.fault
        elif name in before:
            assert (reading.fault, reading.counts) == ("", before[name].counts), name
        else:
            assert reading.counts[WINDOW_S] == Counts(Decimal(1), Decimal(1))
    async with platform.connection() as owner:
        await owner.execute("ALTER TABLE sli_buckets DISABLE ROW LEVEL SECURITY")
    readings = await store.read([*costly, *cheap, limited], [], AT)
    assert not any(each.fault for each in readings.values())
    await store.close()
