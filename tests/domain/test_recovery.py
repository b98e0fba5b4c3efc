"""What must hold before a breaker with a linked incident resumes."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.recovery import (
    Bars,
    Broker,
    Linked,
    Need,
    QualityCycle,
    RecoveryFacts,
    active_symbols,
    conditions,
    linked_names,
    moments,
    needs,
)
from tests.domain.triage_making import AT, CATALOGUE

SYMBOLS = ("BTC-USD", "ETH-USD")
OPENED = AT - timedelta(seconds=90)
TODAY = date(2026, 1, 31)
WELL = Broker(True, "ok")


def incident(classification: str) -> Linked:
    return Linked("i", "t", classification, OPENED)


def facts(**changes: Any) -> RecoveryFacts:
    good: dict[str, Any] = {
        "bars": tuple(Bars(symbol, TODAY, 30) for symbol in SYMBOLS),
        "cycle": QualityCycle(OPENED + timedelta(seconds=1), "clean", 0, 0),
        "clean": {(symbol, OPENED): 2 for symbol in SYMBOLS},
    }
    return RecoveryFacts(AT, **{**good, **changes})


def judged(classification: str, broker: Broker = WELL, **changes: Any) -> dict[Need, tuple[bool | None, str]]:
    found = conditions((incident(classification),), facts(**changes), SYMBOLS, broker)
    return {each.need: (each.met, each.read) for each in found}


def test_what_each_classification_needs() -> None:
    assert needs(incident("data_quality")) == needs(incident("data-integrity")) == (Need.BARS, Need.QUALITY)
    assert needs(incident("reconciliation")) == (Need.CLEAN_RUNS,)
    assert needs(incident("broker/connectivity")) == (Need.GATEWAY, Need.RERUN)
    assert needs(incident("security")) == needs(incident("slippage")) == ()
    assert conditions((incident("other"),), facts(), SYMBOLS, WELL) == ()
    assert moments([incident("data_quality"), incident("other")]) == ()
    assert moments([incident("reconciliation"), incident("broker/connectivity")]) == (OPENED,)


def bars(newest: date | None, sound: int = 30) -> dict[str, Any]:
    return {"bars": (Bars("BTC-USD", newest, sound), Bars("ETH-USD", TODAY, 30))}


CASES: dict[str, tuple[str, dict[str, Any], Need, bool | None, str]] = {
    "bars": ("data_quality", {}, Need.BARS, True, "all 2 symbols"),
    "yesterday's": ("data_quality", bars(TODAY - timedelta(days=1)), Need.BARS, True, "all 2"),
    "old": ("data_quality", bars(TODAY - timedelta(days=2)), Need.BARS, False, "none since 2026-01-29"),
    "few": ("data_quality", bars(TODAY, 29), Need.BARS, False, "BTC-USD has 29 of 30"),
    "none": ("data_quality", {"bars": ()}, Need.BARS, False, "BTC-USD has none; ETH-USD has none"),
    "cycle": ("data_quality", {}, Need.QUALITY, True, "clean, began"),
    "no cycle": ("data_quality", {"cycle": None}, Need.QUALITY, False, "no cycle"),
    "cycle before": (
        "data_quality",
        {"cycle": QualityCycle(OPENED, "clean", 0, 0)},
        Need.QUALITY,
        False,
        "before the incident",
    ),
    "cycle long ago": (
        "data_quality",
        {"fresh_s": 60},
        Need.QUALITY,
        False,
        "clean, but stale since 2026-",
    ),
    "breach": ("data_quality", {"cycle": QualityCycle(AT, "breach", 0, 0)}, Need.QUALITY, False, "breach: 0"),
    "errors": ("data_quality", {"cycle": QualityCycle(AT, "clean", 1, 0)}, Need.QUALITY, False, "1 errors"),
    "stale": ("data_quality", {"cycle": QualityCycle(AT, "clean", 0, 1)}, Need.QUALITY, False, "1 stale"),
    "clean runs": ("reconciliation", {}, Need.CLEAN_RUNS, True, "all 2"),
    "one": (
        "reconciliation",
        {"clean": {("BTC-USD", OPENED): 1, ("ETH-USD", OPENED): 2}},
        Need.CLEAN_RUNS,
        False,
        "BTC-USD 1 of 2",
    ),
    "long ago": (
        "reconciliation",
        {"stale": {("ETH-USD", OPENED): OPENED}},
        Need.CLEAN_RUNS,
        False,
        "ETH-USD 2 of 2, stale since 2026-",
    ),
    "of another moment": (
        "reconciliation",
        {"clean": {("BTC-USD", AT): 2}},
        Need.CLEAN_RUNS,
        False,
        "0 of 2",
    ),
    "gateway": ("broker/connectivity", {}, Need.GATEWAY, True, "ok"),
    "gateway ill": ("broker/connectivity", {"broker": Broker(False, "ill")}, Need.GATEWAY, False, "ill"),
    "gateway unread": ("broker/connectivity", {"broker": Broker(None, "away")}, Need.GATEWAY, None, "away"),
    "rerun": (
        "broker/connectivity",
        {"clean": dict.fromkeys([(s, OPENED) for s in SYMBOLS], 1)},
        Need.RERUN,
        True,
        "",
    ),
    "no rerun": ("broker/connectivity", {"clean": {}}, Need.RERUN, False, "BTC-USD 0 of 1"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_condition_is_met_or_says_what_is_missing(name: str) -> None:
    classification, changes, need, met, words = CASES[name]
    found = judged(classification, **changes)[need]
    assert (found[0], words in found[1]) == (met, True), found


def test_a_line_names_condition_and_reading() -> None:
    (first, _) = conditions((incident("data_quality"),), facts(bars=()), SYMBOLS, WELL)
    assert first.line == "30 daily bars of each symbol: BTC-USD has none; ETH-USD has none"


def test_where_an_incident_must_be_linked() -> None:
    found = linked_names(BreakerId("instrument:BTC-USD"), CATALOGUE)
    assert set(found) == {
        "instrument:BTC-USD",
        "component:execution",
        "global",
        "cancel_only:BTC-USD",
        "soft_halt:BTC-USD",
        "hard_halt:BTC-USD",
        "latch:BTC-USD",
    }
    assert "latch:ETH-USD" in linked_names(BreakerId("global"), CATALOGUE)
    assert "instrument:BTC-USD" not in linked_names(BreakerId("strategy:momentum"), CATALOGUE)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("instrument:ETH-USD",), ("ETH-USD",)),
        (("latch:BTC-USD", "instrument:BTC-USD"), ("BTC-USD",)),
        (("global",), SYMBOLS),
        (("component:execution",), SYMBOLS),
        (("component:ingest",), SYMBOLS),  # contains none: may concern any
        (("strategy:momentum", "instrument:BTC-USD"), SYMBOLS),
        (("withdrawals",), SYMBOLS),
        (("instrument:GONE",), SYMBOLS),
        (("instrument:GONE", "instrument:ETH-USD"), ("ETH-USD",)),
        ((), SYMBOLS),
    ],
)
def test_which_instruments_are_concerned(names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert active_symbols(names, CATALOGUE) == expected


def test_a_component_of_its_own_concerns_its_own_instruments() -> None:
    catalogue = Catalogue.build(
        ("execution", "other"), SYMBOLS, (), {"instrument:ETH-USD": "component:other"}
    )
    assert active_symbols(("component:other",), catalogue) == ("ETH-USD",)
