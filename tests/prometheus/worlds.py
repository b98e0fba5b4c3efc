"""The same samples in both places: as series in a real Prometheus and as rows of `sli_samples`."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from cockpit.domain.breakers import EXECUTION
from cockpit.domain.budgets import BURN_WINDOWS
from cockpit.domain.slo_reports import NOTHING, SliReading, judge_slo
from cockpit.domain.slos import (
    Budgeting,
    Consecutive,
    Exclusion,
    Limit,
    Op,
    Ratio,
    Slices,
    Slo,
    Source,
    SourceKind,
)
from tests.prometheus.server import Series

WINDOW_S = 30 * 86_400
CLOSE = 1e-9


def moment(seconds: float) -> datetime:
    """Exactly to the millisecond."""
    return datetime.fromtimestamp(round(seconds * 1_000) // 1_000, UTC).replace(
        microsecond=round(seconds * 1_000) % 1_000 * 1_000
    )


@dataclass(frozen=True, slots=True)
class World:
    """One SLI's samples in the order of time: (Unix seconds, good, total), or (seconds, value, 0)."""

    name: str
    samples: Sequence[tuple[float, float, float]]
    measured: bool = False

    @property
    def series(self) -> list[Series]:
        if self.measured:
            return [Series(self.name, {}, [(at, value) for at, value, _ in self.samples])]
        return [
            Series(self.name, {"of": "good"}, [(at, good) for at, good, _ in self.samples]),
            Series(self.name, {"of": "total"}, [(at, total) for at, _, total in self.samples]),
        ]

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        if self.measured:
            return [(self.name, Decimal(0), Decimal(0), value, moment(at)) for at, value, _ in self.samples]
        return [
            (self.name, Decimal(repr(good)), Decimal(repr(total)), None, moment(at))
            for at, good, total in self.samples
        ]

    def indicator(self, kind: SourceKind, *, counter: bool = False, bound: float = 0.0) -> Ratio | Limit:
        if self.measured:
            return Limit(Source(kind, self.name), Op.LTE, bound)
        if kind is SourceKind.POSTGRES:
            return Ratio(Source(kind, self.name), Source(kind, self.name), None, counter)
        good, total = (Source(kind, f'{self.name}{{of="{of}"}}') for of in ("good", "total"))
        return Ratio(total, good, None, counter)


def slo(
    name: str,
    indicator: Ratio | Limit,
    *,
    slices: Slices | None = None,
    objective: str = "0.99",
    window_s: int = WINDOW_S,
    consecutive: Consecutive | None = None,
    fresh_s: float = 3_600 * 24 * 40,
) -> Slo:
    return Slo(
        name=name,
        title=name,
        description="",
        objective=Decimal(objective),
        window_s=window_s,
        indicator=indicator,
        budgeting=Budgeting.TIMESLICES if slices else Budgeting.OCCURRENCES,
        slices=slices,
        breaker=EXECUTION,
        consecutive=consecutive,
        fresh_s=fresh_s,
    )


def exclusion(slo_name: str, from_s: float, until_s: float, *, reverted: bool = False) -> Exclusion:
    return Exclusion(
        exclusion_id=f"{slo_name} {from_s}",
        slo=slo_name,
        from_at=moment(from_s),
        until_at=moment(until_s),
        notes="agreed maintenance of the venue",
        login="admin1",
        approved_by="admin2",
        audit_seq=1,
        reverted_at=moment(until_s) if reverted else None,
    )


async def insert(connection: Any, worlds: Iterable[World], seed: int = 1) -> None:
    """All rows in no order of time, in several statements: most of them come late."""
    rows = [row for world in worlds for row in world.rows]
    random.Random(seed).shuffle(rows)
    for start in range(0, len(rows), 500):
        await connection.execute(
            "INSERT INTO sli_samples (sli, good, total, value, observed_at) SELECT * FROM unnest($1::text[],"
            " $2::numeric[], $3::numeric[], $4::float8[], $5::timestamptz[])",
            *(list(column) for column in zip(*rows[start : start + 500], strict=True)),
        )


def assert_agree(slo: Slo, ours: SliReading, theirs: SliReading) -> None:
    """Counts of every window, burn rates, what is left: to 1e-9. Nothing counted is the same as no count."""
    assert (ours.fault, theirs.fault) == ("", "")
    for length in (slo.window_s, *BURN_WINDOWS):
        one, other = ours.counts.get(length, NOTHING), theirs.counts.get(length, NOTHING)
        assert float(one.good) == pytest.approx(float(other.good), rel=CLOSE, abs=CLOSE), (slo.name, length)
        assert float(one.total) == pytest.approx(float(other.total), rel=CLOSE, abs=CLOSE), (slo.name, length)
    mine, yours = judge_slo(slo, ours), judge_slo(slo, theirs)
    assert (mine.state, mine.fired) == (yours.state, yours.fired)
    close(mine.remaining, yours.remaining)
    close(mine.minutes_left, yours.minutes_left)
    for length in BURN_WINDOWS:
        close(mine.burns[length], yours.burns[length])


def close(one: Decimal | float | None, other: Decimal | float | None) -> None:
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert float(one) == pytest.approx(float(other), rel=CLOSE, abs=CLOSE)
