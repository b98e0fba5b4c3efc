"""What an incident looks like, and where the decision tree stands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.incidents import Classification
from cockpit.domain.recovery import Need
from cockpit.domain.triage import FirstMinutes, condition_of, next_step, suggest
from cockpit.domain.triage_facts import NO_GATEWAY, Acknowledgement, Halts, Part, Quality, says
from tests.domain.triage_making import AT, breach, condition, halt, page, row, run, unread

DATA, RECON, BROKER = Classification.DATA_QUALITY, Classification.RECONCILIATION, Classification.BROKER


def test_a_part_knows_its_age() -> None:
    assert Part(1, AT).age_s(AT + timedelta(seconds=3)) == 3
    assert Part(1, AT).age_s(AT - timedelta(seconds=3)) == 0  # never from the future
    assert Part().age_s(AT) is None


SUGGESTIONS: dict[str, tuple[dict[str, Any], Classification, str]] = {
    "nothing": ({}, Classification.OTHER, ""),
    "quality": ({"quality": Part(Quality("breach", 2, 1, AT, "x"))}, DATA, "breach: 2 errors, 1 stale"),
    "clean in name only": (
        {"quality": Part(Quality("clean", 0, 1, AT, "x"))},
        DATA,
        "clean: 0 errors, 1 stale",
    ),
    "mismatch": ({"ledger": Part((run("ledger", "mismatch", mismatches=3),))}, RECON, "BTC-USD: 3 differ"),
    "mismatch of all": ({"orders": Part((run(status="mismatch", symbol=""),))}, RECON, "of all: 0 differ"),
    "unknown is no mismatch": ({"orders": Part((run(status="unknown"),))}, Classification.OTHER, ""),
    "stale feed": ({"halt": Part(halt(feed_age_s=9.0, healthy=False))}, DATA, "market data is 9.0 s old"),
    "unhealthy": ({"halt": Part(halt(healthy=False, detail="degraded"))}, BROKER, "degraded"),
    "errors": ({"halt": Part(halt(errors_5m=4, feed_age_s=None))}, BROKER, "4 API errors"),
    "no gateway": ({"halt": unread("refused")}, BROKER, "could not be asked: refused"),
    "no gateway configured": ({"halt": unread(NO_GATEWAY)}, Classification.OTHER, ""),
    "title": ({"incident": Part(row(title="Ledger mismatch of BTC"))}, RECON, "its title"),
    "title of security": (
        {"incident": Part(row(title="Unattributed trip"))},
        Classification.SECURITY,
        "title",
    ),
    "objective": ({"breach": Part(breach(recovered=False))}, BROKER, "objective signal-latency is breached"),
    "objective by a file": (
        {"breach": Part(breach(recovered=False, source="r/x"))},
        BROKER,
        "r/x says that objective signal-latency is breached",
    ),
    "recovered": ({"breach": Part(breach())}, Classification.OTHER, ""),
    "recovered and linked": (
        {"breach": Part(breach()), "incident": Part(row(slos=("signal-latency",)))},
        Classification.OTHER,
        "",
    ),
    "linked objective": ({"incident": Part(row(slos=("bar-staleness",)))}, DATA, "linked to objective"),
}


@pytest.mark.parametrize("name", SUGGESTIONS)
def test_evidence_suggests(name: str) -> None:
    changes, expected, words = SUGGESTIONS[name]
    found = suggest(page(**changes))
    assert found.classification is expected
    assert words in " ".join(each.text for each in found.evidence)
    assert bool(found.evidence) is bool(words)


def test_what_was_measured_outweighs_words_and_what_speaks_against_is_kept() -> None:
    found = page(
        incident=Part(row(title="feed stale")), orders=Part((run(status="mismatch"),)), changes=unread()
    ).suggestion
    assert found.classification is RECON
    assert [each.classification for each in found.against] == [DATA]
    assert found.unread == ("recent changes",)


def test_a_gateway_that_nobody_configured_is_unread_all_the_same() -> None:
    found = suggest(page(halt=unread(NO_GATEWAY), incident=Part(row(title="bars are missing"))))
    assert found.classification is DATA and not found.against and found.unread == ("gateway",)


def test_words_begin_words() -> None:
    assert says("stale Bars", "bar") and not says("crowbar", "bar") and not says("a.b", "a.c")


@pytest.mark.parametrize(
    ("classification", "expected"),
    [
        ("reconciliation", RECON),
        ("data-integrity", DATA),
        ("security", Classification.SECURITY),
        ("other", BROKER),
        ("slippage", BROKER),
    ],
)
def test_what_people_chose_counts_before_what_it_looks_like(
    classification: str, expected: Classification
) -> None:
    assert page(incident=Part(row(classification=classification)), halt=unread()).branch is expected


def test_without_an_incident_it_is_what_it_looks_like() -> None:
    assert page(incident=unread(), halt=Part(halt(feed_age_s=9))).branch is DATA


OPEN = Acknowledgement("open", None, None, AT, None)


def recovering(classification: str, *conditions: Any, **changes: Any) -> FirstMinutes:
    return page(incident=Part(row(classification=classification)), recovery=Part(conditions), **changes)


STEPS: dict[str, tuple[FirstMinutes, tuple[int, int], str, str]] = {
    "unacknowledged": (page(acknowledgement=Part(OPEN)), (1, 3), "acknowledge it", "nobody has"),
    "acknowledgement unread": (page(acknowledgement=unread()), (1, 3), "acknowledge it", "unknown: away"),
    "nothing halted": (page(halts=Part(Halts())), (2, 3), "halt what it concerns", "nothing of it"),
    "something else halted": (
        page(halts=Part(Halts(("instrument:ETH-USD",), ("cancel_only:ETH-USD",)))),  # type: ignore[arg-type]
        (2, 3),
        "halt what it concerns",
        "nothing of it",
    ),
    "halts unread": (page(halts=unread()), (2, 3), "halt what it concerns", "unknown: away"),
    "no branch": (page(), (3, 3), "has no branch", ""),
    "feed old": (
        recovering("data_quality", halt=Part(halt(feed_age_s=9.0))),
        (3, 6),
        "source of market data",
        "9.0 s old",
    ),
    "feed unknown": (
        recovering("data_quality", halt=unread("refused")),
        (3, 6),
        "source",
        "unknown: refused",
    ),
    "feed unsaid": (
        recovering("data_quality", halt=Part(halt(feed_age_s=None))),
        (3, 6),
        "source",
        "does not say",
    ),
    "bars": (recovering("data_quality", condition(Need.BARS, False)), (4, 6), "daily bars", "as a test says"),
    "cycle": (
        recovering("data_quality", condition(Need.BARS), condition(Need.QUALITY, None)),
        (5, 6),
        "quality cycle",
        "as a test says",
    ),
    "data done": (
        recovering("data_quality", condition(Need.BARS), condition(Need.QUALITY)),
        (6, 6),
        "half-open",
        "",
    ),
    "mismatch": (
        recovering(
            "reconciliation", orders=Part((run(status="mismatch", symbol=""), run("order", "unknown")))
        ),
        (3, 5),
        "each id",
        "not clean: order all, order BTC-USD",
    ),
    "runs unread": (recovering("reconciliation", ledger=unread()), (3, 5), "each id", "unknown: away"),
    "two runs": (
        recovering("reconciliation", condition(Need.CLEAN_RUNS, False)),
        (4, 5),
        "two clean",
        "as a",
    ),
    "broker": (
        recovering("broker/connectivity", condition(Need.GATEWAY, False)),
        (3, 5),
        "API and feed",
        "as",
    ),
    "rerun": (
        recovering("broker/connectivity", condition(Need.GATEWAY), condition(Need.RERUN, False)),
        (4, 5),
        "again",
        "as a",
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_the_tree_stands_at_its_first_step_that_is_not_proved(name: str) -> None:
    minutes, place, text, why = STEPS[name]
    found = next_step(minutes)
    assert minutes.next_step == found
    assert ((found.number, found.of), text in found.text, why in found.why) == (place, True, True), found
    assert bool(found.why) is bool(why)


@pytest.mark.parametrize(
    "halted", ["global", "component:execution", "instrument:BTC-USD", "cancel_only:BTC-USD", "latch:BTC-USD"]
)
def test_a_halt_that_reaches_it_counts(halted: Any) -> None:
    assert page(halts=Part(Halts((halted,), ()))).next_step.number == 3
    assert page(halts=Part(Halts((), (halted,)))).next_step.number == 3
    assert page(incident=unread(), halts=Part(Halts((halted,), ()))).next_step.number == 3


def test_a_condition_that_is_none_of_its_own_is_not_met() -> None:
    assert condition_of(page(), Need.BARS) == (None, "not a condition of what this incident is classified as")
    assert condition_of(page(recovery=unread()), Need.BARS) == (None, "unknown: away")
    assert condition_of(page(recovery=Part()), Need.BARS) == (None, "unknown: not read")
    both = page(recovery=Part((condition(Need.BARS), condition(Need.BARS, False))))
    assert condition_of(both, Need.BARS)[0] is False


def test_the_lag_of_a_reconciliation() -> None:
    assert run(engine_seq=9, ledger_seq=7).lag == 2
    assert run(engine_seq=None).lag is None and run(ledger_seq=None).lag is None


@given(st.lists(st.sampled_from([name for name, _ in page().parts()]), unique=True))
def test_whatever_cannot_be_read_the_page_still_says_what_comes_next(names: list[str]) -> None:
    known = "incident halt halts breach acknowledgement orders positions ledger quality changes recovery run"
    fields = dict(zip([name for name, _ in page().parts()], known.split(), strict=True))
    minutes = page(**{fields[name]: unread() for name in names})
    assert set(minutes.suggestion.unread) == set(names)
    assert minutes.next_step.text
