"""Three mismatches breach, an unknown run does neither, two clean cycles are wanted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.reconciliation import (
    BREACH_AT,
    FRESH_FOR,
    CleanCycles,
    Gap,
    Kind,
    Line,
    LineState,
    Mismatch,
    ReconRun,
    ReconSnapshot,
    Verdict,
    breach_id,
    clean_cycles_of,
    clean_in_a_row,
    consecutive_mismatches,
)

D = Decimal
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
VERDICTS = st.lists(st.sampled_from(Verdict), max_size=12)


def naive(oldest_first: list[Verdict]) -> tuple[int, int]:
    """Mismatches since the last clean run, and clean cycles, run by run as they come in."""
    mismatches = cycles = 0
    for verdict in oldest_first:
        if verdict is Verdict.CLEAN:
            mismatches, cycles = 0, cycles + 1
        elif verdict is Verdict.MISMATCH:
            mismatches, cycles = mismatches + 1, 0
        else:
            cycles = 0
    return mismatches, cycles


@given(VERDICTS)
def test_counts_in_a_row_are_what_one_counts_run_by_run(oldest_first: list[Verdict]) -> None:
    newest_first = oldest_first[::-1]
    found = (consecutive_mismatches(newest_first), clean_in_a_row(newest_first))
    assert found == naive(oldest_first)


@given(VERDICTS, st.integers(0, 12))
def test_an_unknown_run_neither_counts_nor_clears_and_begins_clean_cycles_anew(
    oldest_first: list[Verdict], place: int
) -> None:
    place = min(place, len(oldest_first))
    more = [*oldest_first[:place], Verdict.UNKNOWN, *oldest_first[place:]]
    assert consecutive_mismatches(more[::-1]) == consecutive_mismatches(oldest_first[::-1])
    assert clean_in_a_row(more[::-1]) <= clean_in_a_row(oldest_first[::-1])
    assert clean_in_a_row([*more, Verdict.UNKNOWN][::-1]) == 0


def run(verdict: Verdict = Verdict.CLEAN, *, age_s: float = 0, **fields: object) -> ReconRun:
    made = ReconRun("r", Kind.LEDGER, "BTC-USD", verdict, AT - timedelta(seconds=age_s))
    return replace(made, **fields)  # type: ignore[arg-type]


def line(last: ReconRun, consecutive: int = 0, clean: int = 0, **fields: object) -> Line:
    made = Line(last.kind, last.symbol, last, consecutive, clean, 0, 0, 0)
    return replace(made, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (line(run(), clean=1), LineState.CLEAN),
        (line(run(age_s=60), clean=1), LineState.CLEAN),
        (line(run(age_s=60.001), clean=1), LineState.STALE),
        (line(run(Verdict.MISMATCH), 1), LineState.MISMATCH),
        (line(run(Verdict.MISMATCH, age_s=61), 2), LineState.STALE),
        (line(run(Verdict.UNKNOWN), 2), LineState.UNKNOWN),
        (line(run(Verdict.UNKNOWN, age_s=61)), LineState.UNKNOWN),
        (line(run(Verdict.UNKNOWN), 3), LineState.BREACHED),
        (line(run(Verdict.MISMATCH, age_s=9_000), 7), LineState.BREACHED),
    ],
)
def test_what_is_old_or_unknown_is_never_clean(found: Line, state: LineState) -> None:  # I25
    assert found.state(AT) is state
    assert FRESH_FOR.total_seconds() == 60


def test_k_of_three_and_the_pass_rate() -> None:
    found = [line(run(Verdict.MISMATCH), count) for count in range(5)]
    assert [(each.k, each.breached) for each in found] == [
        (0, False), (1, False), (2, False), (3, True), (3, True),
    ]  # fmt: skip
    assert BREACH_AT == 3
    assert line(run()).pass_rate is None
    assert line(run(), unknown=7).pass_rate is None
    assert line(run(), passed=199, failed=1, unknown=50).pass_rate == D("0.995")


def test_lag_gaps_and_age() -> None:
    items = (
        Mismatch("gap:7-9", D(3), D(0)),
        Mismatch("gap:12-12", D(1), D(0)),
        Mismatch("gap:9-7", D(1), D(0)),
        Mismatch("gap:x-7", D(1), D(0)),
        Mismatch("BTC-USD", D("1.5"), D("1.6")),
    )
    found = line(run(Verdict.MISMATCH, mismatches=items, engine_seq=20, ledger_seq=12))
    assert (found.engine_seq, found.ledger_seq, found.lag) == (20, 12, 8)
    assert found.gaps == (Gap(7, 9), Gap(12, 12)) and [each.missing for each in found.gaps] == [3, 1]
    assert items[-1].difference == D("-0.1")
    assert run(engine_seq=1).lag is None and run(ledger_seq=1).lag is None
    assert run(engine_seq=1, ledger_seq=4).lag == -3
    assert line(run(age_s=5)).age(AT) == timedelta(seconds=5)
    assert line(run(age_s=-2)).age(AT) == timedelta(0)


def test_a_snapshot_finds_its_lines() -> None:
    one = line(run())
    other = line(replace(run(), symbol="ETH-USD", kind=Kind.ORDER))
    again = line(replace(run(), kind=Kind.ORDER))
    snapshot = ReconSnapshot(AT, (one, again, other))
    assert snapshot.line(Kind.LEDGER, "BTC-USD") is one and snapshot.line(Kind.POSITION, "BTC-USD") is None
    assert snapshot.of("BTC-USD") == (one, again) and snapshot.symbols == ("BTC-USD", "ETH-USD")


def test_clean_cycles_are_those_of_the_kind_that_has_fewest() -> None:
    assert clean_cycles_of([("order", 3), ("ledger", 1)]) == CleanCycles(
        1, 2, "1 of 2 clean cycles in a row since then (order 3, ledger 1)"
    )
    assert clean_cycles_of([("order", 2)]).enough
    assert not clean_cycles_of([("order", 2), ("position", 0)]).enough
    newest = datetime(2026, 1, 31, 4, tzinfo=UTC)
    stale = clean_cycles_of([("order", 9), ("ledger", 5)], 2, {"ledger": newest})
    assert (stale.count, stale.enough) == (0, False)  # I25
    assert "(order 9, ledger stale since 2026-01-31 04:00:00 UTC)" in stale.why
    nothing = clean_cycles_of([])
    assert (nothing.count, nothing.enough) == (0, False) and "no reconciliation runs" in nothing.why


def test_the_event_of_a_breach_is_the_same_everywhere() -> None:
    assert breach_id("a") == breach_id("a") != breach_id("b")
    assert UUID(breach_id("a")).version == 5
