"""Playbooks: which one fits, what ticks, and that a file that is wrong is refused by name."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest

from cockpit.domain.breakers import BreakerId
from cockpit.domain.incidents import Severity
from cockpit.domain.playbook_checks import Check, checked
from cockpit.domain.playbook_parsing import BadPlaybook, parse_playbook
from cockpit.domain.playbooks import (
    MODES,
    Act,
    Fits,
    Judged,
    Phase,
    Playbook,
    Sign,
    Step,
    Ticked,
    choose,
    progress,
)
from cockpit.domain.recovery import Need
from cockpit.domain.triage import FirstMinutes
from cockpit.domain.triage_facts import Acknowledgement, Halts, Part, Quality
from tests.domain.triage_making import AT, breach, condition, halt, page, row, run, unread


def halts(*names: str) -> Part[Halts]:
    found = tuple(BreakerId(name) for name in names)
    breakers = tuple(name for name in found if name == "global")
    return Part(Halts(breakers, tuple(name for name in found if name not in breakers)))


def about(linked: str | None, *symbols: str, halted: tuple[str, ...], **changes: Any) -> FirstMinutes:
    """A page of an incident that is linked to one breaker, or to none."""
    incident = row(breaker_id=linked, **changes)
    return page(incident=Part(incident), symbols=symbols, halts=halts(*halted))


BEFORE = AT - timedelta(minutes=6)
LATE = AT + timedelta(minutes=6)
OPEN = Part(Acknowledgement("open", None, None, AT, None))
TICKS: list[tuple[Check, FirstMinutes, bool | None, str]] = [
    (Check.ACKNOWLEDGED, page(), True, "by operator1"),
    (
        Check.ACKNOWLEDGED,
        page(acknowledgement=Part(Acknowledgement("merged", None, None, AT, None))),
        True,
        "named",
    ),
    (Check.ACKNOWLEDGED, page(acknowledgement=OPEN), False, "due 12:00:00"),
    (Check.ACKNOWLEDGED, page(acknowledgement=unread()), None, "away"),
    (Check.ACKNOWLEDGED, page(acknowledgement=Part()), None, "no such incident"),
    (Check.HALTED, page(), True, "instrument:BTC-USD halted"),
    (Check.HALTED, page(halt=unread()), True, "instrument:BTC-USD halted"),
    (Check.HALTED, page(halts=halts("component:execution")), True, "component:execution halted"),
    (Check.HALTED, page(halts=halts("global"), incident=unread()), True, "global halted"),
    (Check.HALTED, page(incident=unread()), None, "away"),
    (Check.HALTED, page(incident=Part()), None, "no such incident"),
    (Check.HALTED, page(halts=halts("latch:BTC-USD")), True, "instrument:BTC-USD halted"),
    (Check.HALTED, page(halts=halts("instrument:ETH-USD", "strategy:BTC-USD")), False, "nothing of it"),
    (Check.HALTED, page(halts=halts()), False, "nothing of it is halted"),
    (Check.HALTED, page(halts=unread()), None, "away"),
    (Check.HALTED, page(halts=Part()), None, "not read"),
    (
        Check.HALTED,
        about("component:ingest", "BTC-USD", "ETH-USD", halted=("component:ingest",)),
        True,
        "component:ingest halted",
    ),
    (
        Check.HALTED,
        about("component:ingest", "BTC-USD", "ETH-USD", halted=("instrument:BTC-USD",)),
        False,
        "only a part of it is halted; not yet: component:ingest",
    ),
    (
        Check.HALTED,
        about("component:ingest", "BTC-USD", "ETH-USD", halted=("soft_halt:BTC-USD", "latch:ETH-USD")),
        True,
        "component:ingest halted",
    ),
    (
        Check.HALTED,
        about("strategy:momentum", "BTC-USD", halted=("instrument:ETH-USD", "strategy:other")),
        False,
        "nothing of it",
    ),
    (Check.HALTED, about(None, "BTC-USD", "ETH-USD", halted=("instrument:BTC-USD",)), False, "yet: ETH-USD"),
    (
        Check.HALTED,
        about(None, "BTC-USD", "ETH-USD", halted=("instrument:BTC-USD", "cancel_only:ETH-USD")),
        True,
        "every instrument halted",
    ),
    (Check.HALTED, about(None, halted=("instrument:BTC-USD",)), False, "nothing of it"),
    (
        Check.HALTED,
        about("strategy:a", "BTC-USD", halted=("strategy:a",), breakers=("strategy:b",)),
        False,
        "not yet: strategy:b",
    ),
    (Check.NO_LATCH, page(), True, "none of it is latched"),
    (Check.NO_LATCH, page(halts=halts("latch:ETH-USD", "soft_halt:BTC-USD")), True, "none of it"),
    (Check.NO_LATCH, page(halts=halts("latch:BTC-USD")), False, "latched: BTC-USD"),
    (
        Check.NO_LATCH,
        page(halts=halts("latch:ETH-USD"), symbols=("BTC-USD", "ETH-USD")),
        False,
        "latched: ETH-USD",
    ),
    (Check.NO_LATCH, page(halts=unread()), None, "away"),
    (Check.NO_LATCH, page(halts=Part()), None, "not read"),
    (Check.NO_LATCH, page(symbols=()), None, "no instrument"),
    (Check.GLOBAL_HALTED, page(halts=halts("global")), True, "is halted"),
    (Check.GLOBAL_HALTED, page(halts=halts("withdrawals")), False, "is not halted"),
    (Check.GLOBAL_HALTED, page(halts=unread()), None, "away"),
    (Check.GLOBAL_HALTED, page(halts=Part()), None, "not read"),
    (Check.WITHDRAWALS_HALTED, page(halts=halts("withdrawals")), True, "is halted"),
    (Check.CANCEL_ONLY, page(halts=halts("cancel_only:BTC-USD")), True, "all 1"),
    (Check.CANCEL_ONLY, page(halts=halts("hard_halt:BTC-USD")), True, "all 1"),
    (Check.CANCEL_ONLY, page(halts=halts("cancel_only:ETH-USD")), False, "not yet: BTC-USD"),
    (
        Check.CANCEL_ONLY,
        page(halts=halts("cancel_only:BTC-USD"), symbols=("BTC-USD", "ETH-USD")),
        False,
        "ETH-USD",
    ),
    (Check.CANCEL_ONLY, page(halts=unread()), None, "away"),
    (Check.CANCEL_ONLY, page(halts=Part()), None, "not read"),
    (Check.CANCEL_ONLY, page(symbols=()), None, "no instrument"),
    (Check.SOFT_HALT, page(halts=halts("cancel_only:BTC-USD")), False, "not yet"),
    (Check.SOFT_HALT, page(halts=halts("soft_halt:BTC-USD")), True, "all 1"),
    (Check.HARD_HALT, page(halts=halts("soft_halt:BTC-USD")), False, "not yet"),
    (Check.HARD_HALT, page(halts=halts("hard_halt:BTC-USD")), True, "all 1"),
    (Check.GATEWAY_HEALTHY, page(), True, "ok"),
    (Check.GATEWAY_HEALTHY, page(halt=Part(halt(healthy=False, detail="ill"))), False, "ill"),
    (Check.GATEWAY_HEALTHY, page(halt=unread()), None, "away"),
    (Check.GATEWAY_HEALTHY, page(halt=Part()), None, "no gateway_url"),
    (Check.FEED_FRESH, page(), True, "0.5 s"),
    (Check.FEED_FRESH, page(halt=Part(halt(feed_age_s=9))), False, "9.0 s"),
    (Check.FEED_FRESH, page(halt=Part(halt(feed_age_s=None))), None, "does not say"),
    (Check.FEED_FRESH, page(halt=unread()), None, "away"),
    (Check.QUALITY_CLEAN, page(), True, "clean"),
    (Check.QUALITY_CLEAN, page(quality=Part(Quality("unknown", 0, 0, AT, "x"))), False, "unknown"),
    (Check.QUALITY_CLEAN, page(quality=Part(Quality("clean", 0, 0, AT, "r/x"))), None, "only r/x says"),
    (Check.QUALITY_CLEAN, page(quality=Part(Quality("clean", 0, 0, BEFORE, "Postgres"))), False, "before"),
    (Check.QUALITY_CLEAN, page(at=LATE), None, "the newest cycle is 360 s old"),
    (Check.QUALITY_CLEAN, page(incident=unread()), None, "away"),
    (Check.QUALITY_CLEAN, page(incident=Part()), None, "no such incident"),
    (Check.RECONCILED, page(orders=Part((run(source="r/x"),))), None, "only r/x says"),
    (Check.RECONCILED, page(positions=Part((run("position", at=BEFORE),))), False, "run of BTC-USD is from"),
    (Check.RECONCILED, page(at=LATE), None, "360 s old"),
    (Check.NO_LAG, page(ledger=Part((run("ledger", symbol="", at=BEFORE),))), False, "ledger run of all is"),
    (Check.NO_LAG, page(at=LATE), None, "360 s old"),
    (Check.NO_LAG, page(ledger=Part((run("ledger", source="r/x"),))), None, "no ledger run"),
    (Check.OBJECTIVES_KEPT, page(breach=Part(breach(source="r/x"))), None, "only r/x says"),
    (Check.QUALITY_CLEAN, page(quality=unread()), None, "away"),
    (Check.QUALITY_CLEAN, page(quality=Part()), None, "no cycle"),
    (Check.BARS_COMPLETE, page(recovery=Part((condition(Need.BARS),))), True, "as a test"),
    (Check.BARS_COMPLETE, page(recovery=Part((condition(Need.BARS, None),))), None, "as a test"),
    (Check.TWO_CLEAN_RUNS, page(recovery=Part((condition(Need.CLEAN_RUNS, False),))), False, "as a test"),
    (Check.RECONCILED, page(), True, "newest 3 are clean"),
    (
        Check.RECONCILED,
        page(ledger=Part((run("ledger", "unknown", symbol=""),))),
        False,
        "ledger all unknown",
    ),
    (Check.RECONCILED, page(positions=unread()), None, "away"),
    (Check.RECONCILED, page(orders=Part(), positions=Part(), ledger=Part()), None, "no run"),
    (Check.NO_LAG, page(), True, "0 behind"),
    (Check.NO_LAG, page(ledger=Part((run("ledger", engine_seq=12),))), True, "2 behind, and clean"),
    (
        Check.NO_LAG,
        page(ledger=Part((run("ledger", "mismatch", engine_seq=12),))),
        False,
        "2 behind: BTC-USD",
    ),
    (Check.NO_LAG, page(ledger=Part((run("ledger", "unknown", symbol=""),))), False, "0 behind: all"),
    (Check.NO_LAG, page(ledger=Part((run("ledger", engine_seq=None),))), None, "no ledger run"),
    (Check.NO_LAG, page(ledger=unread()), None, "away"),
    (Check.NO_LAG, page(ledger=Part()), None, "no ledger run"),
    (Check.OBJECTIVES_KEPT, page(), True, "no breach"),
    (Check.OBJECTIVES_KEPT, page(breach=Part(breach())), True, "has recovered"),
    (Check.OBJECTIVES_KEPT, page(breach=Part(breach(ended=True))), None, "no recovery was measured"),
    (Check.OBJECTIVES_KEPT, page(breach=Part(breach(recovered=False))), False, "is breached"),
    (Check.OBJECTIVES_KEPT, page(breach=unread()), None, "away"),
    (Check.POSTGRES_ANSWERS, page(), True, "it answers"),
    (Check.POSTGRES_ANSWERS, page(incident=unread()), False, "away"),
    (Check.CHANGES_SEEN, page(), True, "1 listed"),
    (Check.CHANGES_SEEN, page(changes=Part()), True, "0 listed"),
    (Check.CHANGES_SEEN, page(changes=unread()), None, "away"),
    (Check.RECOVERED, page(), True, "all 0 hold"),
    (
        Check.RECOVERED,
        page(recovery=Part((condition(Need.BARS), condition(Need.QUALITY, None)))),
        False,
        "as a test",
    ),
    (Check.RECOVERED, page(recovery=unread()), None, "away"),
    (Check.RECOVERED, page(recovery=Part()), None, "not read"),
]


@pytest.mark.parametrize(("check", "minutes", "done", "words"), TICKS)
def test_a_check_ticks_only_by_what_is_known(
    check: Check, minutes: FirstMinutes, done: bool | None, words: str
) -> None:
    found = checked(check, minutes)
    assert (found[0], words in found[1]) == (done, True), found


def test_every_check_is_tried_both_ways() -> None:
    assert {check for check, _, _, _ in TICKS} == set(Check)


def test_nothing_ticks_where_nothing_can_be_read() -> None:  # I25
    away = {name: unread() for name in "incident halt halts breach acknowledgement orders positions".split()}
    away |= {name: unread() for name in "ledger quality changes recovery run".split()}
    assert not any(checked(check, page(**away))[0] for check in Check)


def test_progress_of_a_playbook() -> None:
    steps = (
        Step("a", Phase.NOW, "do", Act.ACKNOWLEDGE, Check.ACKNOWLEDGED),
        Step("b", Phase.FIND, "look", by_hand="elsewhere"),
        Step("c", Phase.FIND, "think"),
        Step("d", Phase.FIND, "keep", Act.BUNDLE),
        Step("e", Phase.FIND, "keep", Act.BUNDLE, by_hand="elsewhere"),
    )
    found = progress(book("x", steps=steps), page())
    assert [(each.done, each.why) for each in found] == [
        (True, "acknowledged by operator1"),
        (None, "elsewhere"),
        (None, "not judged here"),
        (None, "`cockpit incident bundle i` makes it."),
        (None, "`cockpit incident bundle i` makes it. elsewhere"),
    ]
    assert set(MODES) == {Act.CANCEL_ONLY, Act.SOFT_HALT, Act.HARD_HALT}


@pytest.mark.parametrize(
    ("judged", "signs"),
    [
        (Judged.DONE, (Sign.GOOD, Sign.NEEDS, Sign.UNKNOWN)),
        (Judged.ASKS, (Sign.NOTHING, Sign.NEEDS, Sign.UNKNOWN)),
        (Judged.IF_NEEDED, (Sign.GOOD, Sign.NOTHING, Sign.UNKNOWN)),
    ],
)
def test_what_a_step_needs(judged: Judged, signs: tuple[Sign, ...]) -> None:
    step = Step("a", Phase.NOW, "do", Act.TRIP, Check.HALTED, judged=judged)
    assert tuple(Ticked(step, done, "").sign for done in (True, False, None)) == signs
    assert Ticked(Step("a", Phase.NOW, "do"), None, "").sign is Sign.NOTHING


def book(name: str, severity: Severity = Severity.P1, steps: Any = (), **fits: Any) -> Playbook:
    return Playbook(name, name, "a test", severity, Fits(**fits), steps)


FEED = book("feed", classifications=("data_quality",), words=("feed",))
KILL = book("kill", sources=("kill",))
SLOW = book("slow", words=("slow",))
MINOR = book("aa-minor", Severity.P2, words=("slow",))
ANY = book("any", always=True)
ALL = (ANY, MINOR, SLOW, KILL, FEED)


@pytest.mark.parametrize(
    ("changes", "expected", "evidence"),
    [
        ({}, "any", "nothing speaks"),
        ({"title": "the feed is slow", "classification": "data_quality"}, "feed", "'feed'"),
        ({"title": "slow"}, "slow", "'slow'"),
        ({"title": "slow", "severity": "P2"}, "aa-minor", "'slow'"),
        ({"source": "kill", "title": "feed"}, "kill", "opened by kill"),
        ({"slos": ("feed-uptime",)}, "feed", "'feed'"),
        ({"classification": "data_quality"}, "feed", "classified data_quality"),
    ],
)
def test_the_playbook_that_fits(changes: dict[str, Any], expected: str, evidence: str) -> None:
    found = choose(ALL, page(incident=Part(row(**changes))))
    assert found.playbook.playbook_id == expected
    assert evidence in "; ".join(found.evidence)
    assert found.playbook not in found.others


def test_what_it_looks_like_speaks_for_one_and_others_are_kept() -> None:
    found = choose(ALL, page(halt=Part(halt(feed_age_s=9)), incident=Part(row(title="slow"))))
    assert found.playbook is SLOW and set(found.others) == {FEED, MINOR}
    found = choose(ALL, page(halt=Part(halt(feed_age_s=9))))
    assert (found.playbook, found.evidence) == (FEED, ("it looks like data_quality",))


RECON = book("recon", classifications=("reconciliation",), words=("ledger",))
ORDERS = book("orders", classifications=("broker/connectivity",), words=("order", "reject"))


@pytest.mark.parametrize(
    ("changes", "breached", "expected"),
    [
        ({"slos": ("order-success",)}, None, "recon"),
        ({"slos": ("order-success", "slow-fills")}, None, "recon"),
        ({}, "order-success", "recon"),
        ({"title": "orders are rejected"}, None, "recon"),
        ({"title": "orders are slow"}, None, "slow"),  # of no class: its own words may speak for it
        ({"title": "slow", "source": "kill"}, None, "kill"),
        ({"title": "orders are rejected", "classification": "other"}, None, "orders"),
        ({"classification": "other"}, "order-success", "orders"),
        ({"classification": "data-integrity", "slos": ("order-success",)}, None, "feed"),
    ],
)
def test_no_breach_leads_away_from_what_somebody_classified_it_as(
    changes: dict[str, Any], breached: str | None, expected: str
) -> None:
    incident = row(**{"classification": "reconciliation", **changes})
    part = Part(breach(slo=breached, recovered=False)) if breached else Part()
    found = choose((*ALL, RECON, ORDERS), page(incident=Part(incident), breach=part))
    assert found.playbook.playbook_id == expected, found.evidence


def test_an_objective_that_is_kept_again_speaks_for_no_playbook() -> None:
    linked = Part(row(slos=("feed-uptime",)))
    assert choose(ALL, page(incident=linked)).playbook is FEED
    again = page(incident=linked, breach=Part(breach(slo="feed-uptime")))
    assert choose(ALL, again).playbook is ANY


def test_without_an_incident_the_common_one_and_without_any_none() -> None:
    found = choose(ALL, page(incident=unread()))
    assert (found.playbook, found.evidence) == (ANY, ("the incident could not be read",))
    with pytest.raises(LookupError):
        choose((), page())


GOOD: dict[str, Any] = {
    "id": "feed",
    "title": "Feed",
    "source": "a runbook",
    "severity": "P1",
    "fits": {"classifications": ["data_quality"], "words": ["feed"], "sources": ["slo"], "always": False},
    "step": [
        {"id": "a", "phase": "now", "text": "Do it.", "action": "trip", "check": "halted"},
        {"id": "b", "phase": "recover", "text": "See it.", "by_hand": "There."},
    ],
}


def test_a_good_one() -> None:
    found = parse_playbook(GOOD)
    assert found.steps[0].action is Act.TRIP and found.steps[0].check is Check.HALTED
    assert (found.steps[1].action, found.steps[1].check, found.steps[1].by_hand) == (Act.NONE, None, "There.")
    assert found.fits == Fits(("data_quality",), ("slo",), ("feed",))
    assert parse_playbook({key: value for key, value in GOOD.items() if key != "fits"}).fits == Fits()


def test_steps_stand_by_their_phases() -> None:
    later = {"id": "c", "phase": "now", "text": "At once.", "check": "halted", "judged": "if-needed"}
    found = parse_playbook({**GOOD, "step": [*GOOD["step"], later]})
    assert [(step.step_id, step.phase) for step in found.steps] == [
        ("a", Phase.NOW),
        ("c", Phase.NOW),
        ("b", Phase.RECOVER),
    ]
    assert [step.judged for step in found.steps] == [Judged.DONE, Judged.IF_NEEDED, Judged.DONE]


BAD: list[tuple[tuple[Any, ...], Any, int, str]] = [
    (("id",), "Feed 1", 0, "playbook: id: write a-z"),
    (("id",), None, 0, "playbook: id: missing"),
    (("title",), "x" * 81, 0, "playbook: title: not a plain text"),
    (("title",), "a\x1bb", 0, "playbook: title: not a plain text"),
    (("source",), " ", 0, "playbook: source"),
    (("severity",), "P9", 0, "playbook: severity: not one of P0"),
    (("other",), 1, 0, "playbook: other: no such field"),
    (("fits",), [], 0, "fits: not a table"),
    (("fits", "other"), 1, 0, "fits: other: no such field"),
    (("fits", "classifications"), ["x"], 0, "fits: classifications: not one of"),
    (("fits", "words"), ["Feed"], 0, "fits: words: write them in lower case"),
    (("fits", "words"), "feed", 0, "fits: words: not a list"),
    (("fits", "words"), [""], 0, "fits: words: holds something"),
    (("fits", "words"), [7], 0, "fits: words: holds something"),
    (("fits", "words"), ["x" * 61], 0, "fits: words: holds something"),
    (("fits", "always"), 1, 0, "fits: always: neither"),
    (("step",), [], 0, "playbook: step: write 1 to 40"),
    (("step",), {}, 0, "playbook: step: write 1 to 40"),
    (("step",), [7], 1, "step 1: not a table"),
    (("step", 1, "id"), "a", 2, "step 2: id: a stands there twice"),
    (("step", 1, "phase"), "later", 2, "step 2: phase: not one of now"),
    (("step", 0, "action"), "rm", 1, "step 1: action: not one of trip"),
    (("step", 0, "check"), "maybe", 1, "step 1: check: not one of"),
    (("step", 0, "judged"), "maybe", 1, "step 1: judged: not one of done, asks, if-needed"),
    (("step", 0, "text"), "x" * 401, 1, "step 1: text"),
    (("step", 0, "run"), "x", 1, "step 1: run: no such field"),
    (("step", 1, "by_hand"), 7, 2, "step 2: by_hand"),
]


@pytest.mark.parametrize(("path", "value", "step", "words"), BAD)
def test_what_is_wrong_is_named(path: tuple[Any, ...], value: Any, step: int, words: str) -> None:
    values = copy.deepcopy(GOOD)
    place = values
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    with pytest.raises(BadPlaybook) as caught:
        parse_playbook(values)
    assert str(caught.value).startswith(words), caught.value
    assert caught.value.step == step
