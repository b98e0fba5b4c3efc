"""The first five minutes of an incident: what is known, what it looks like, what comes next. Pure.

Source: operations runbook, first five minutes and recovery decision tree. Every part of the page says how old
it is or why it could not be read; what could not be read proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cockpit.domain.artefacts import RunView
from cockpit.domain.breakers import EXECUTION, GLOBAL
from cockpit.domain.desk import IncidentRow
from cockpit.domain.incidents import Classification
from cockpit.domain.recovery import BRANCH, Condition, Need
from cockpit.domain.triage_facts import (
    FEED_BOUND_S,
    NO_GATEWAY,
    POSTGRES,
    Acknowledgement,
    Breach,
    Change,
    Evidence,
    Halt,
    Halts,
    NextStep,
    Part,
    Quality,
    Reconciled,
    Suggestion,
    T,
    says,
)

__all__ = [
    "FEED_BOUND_S",
    "Acknowledgement",
    "Breach",
    "Change",
    "Evidence",
    "FirstMinutes",
    "Halt",
    "Halts",
    "NextStep",
    "Part",
    "Quality",
    "Reconciled",
    "Suggestion",
    "condition_of",
    "next_step",
    "suggest",
]


@dataclass(frozen=True, slots=True)
class FirstMinutes:
    """The whole page, of one moment (`at`: the database's clock, or this machine's where that is away).

    `symbols` are the instruments that the incident concerns, all where it is linked to none. `reconciled` is
    by kind (order, position, ledger). `facts` may lag behind one another; each has its own age.
    """

    incident_id: str
    at: datetime
    incident: Part[IncidentRow]
    symbols: tuple[str, ...]
    halt: Part[Halt]
    halts: Part[Halts]
    breach: Part[Breach]
    acknowledgement: Part[Acknowledgement]
    orders: Part[tuple[Reconciled, ...]]
    positions: Part[tuple[Reconciled, ...]]
    ledger: Part[tuple[Reconciled, ...]]
    quality: Part[Quality]
    changes: Part[tuple[Change, ...]]
    recovery: Part[tuple[Condition, ...]]
    run: Part[RunView]

    @property
    def suggestion(self) -> Suggestion:
        return suggest(self)

    @property
    def next_step(self) -> NextStep:
        return next_step(self)

    @property
    def branch(self) -> Classification:
        """What somebody classified it as; where that leads nowhere, what it looks like."""
        row = self.incident.value
        chosen = BRANCH.get(row.classification) if row else None
        if row and chosen is None and row.classification == Classification.SECURITY:
            return Classification.SECURITY
        return chosen or self.suggestion.classification

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objectives that the incident is linked to, but for one that is known to be kept again."""
        row, breach = self.incident.value, self.breach.value
        kept = breach.slo if breach and breach.recovered else None
        return tuple(slo for slo in row.slos if slo != kept) if row else ()

    def parts(self) -> tuple[tuple[str, Part[object]], ...]:
        """Every part with its name, in the page's order."""
        return (
            ("incident", _any(self.incident)),
            ("gateway", _any(self.halt)),
            ("halts", _any(self.halts)),
            ("last SLO breach", _any(self.breach)),
            ("acknowledgement", _any(self.acknowledgement)),
            ("order reconciliation", _any(self.orders)),
            ("position reconciliation", _any(self.positions)),
            ("ledger reconciliation", _any(self.ledger)),
            ("data quality", _any(self.quality)),
            ("recent changes", _any(self.changes)),
            ("recovery conditions", _any(self.recovery)),
            ("run folder", _any(self.run)),
        )


def _any(part: Part[T]) -> Part[object]:
    return Part(part.value, part.at, part.fault)


_WORDS: Final[dict[Classification, tuple[str, ...]]] = {
    Classification.SECURITY: ("unattributed", "unaudited", "signing", "credential", "forged", "intrusion"),
    Classification.RECONCILIATION: ("reconcil", "ledger", "mismatch", "drift", "balance", "settlement"),
    Classification.DATA_QUALITY: ("data", "feed", "stale", "bar", "gap", "quality"),
    Classification.BROKER: (
        "broker",
        "gateway",
        "venue",
        "websocket",
        "connect",
        "order",
        "latency",
        "reject",
        "fill",
    ),
}


def suggest(minutes: FirstMinutes) -> Suggestion:
    """The classification that the evidence speaks for most; `other` where nothing speaks. What was measured
    outweighs words; of equal weights the first in the order of the decision tree is taken."""
    found = tuple(_evidence(minutes))
    weights = {
        each: sum(one.weight for one in found if one.classification is each) for each in Classification
    }
    best = max(Classification, key=lambda each: weights[each])
    unread = tuple(name for name, part in minutes.parts() if part.fault)
    if not weights[best]:
        return Suggestion(Classification.OTHER, (), (), unread)
    return Suggestion(
        best,
        tuple(each for each in found if each.classification is best),
        tuple(each for each in found if each.classification is not best),
        unread,
    )


def _evidence(minutes: FirstMinutes) -> Iterator[Evidence]:
    if (quality := minutes.quality.value) and not quality.clean:
        text = f"data-quality cycle {quality.status}: {quality.errors} errors, {quality.stale_warnings} stale"
        yield Evidence(Classification.DATA_QUALITY, text, 3)
    for part in (minutes.orders, minutes.positions, minutes.ledger):
        for run in part.value or ():
            if run.status == "mismatch":
                text = f"{run.kind} reconciliation of {run.symbol or 'all'}: {run.mismatches} differ"
                yield Evidence(Classification.RECONCILIATION, text, 3)
    yield from _from_gateway(minutes.halt)
    if (breach := minutes.breach.value) and not breach.recovered:
        says_so = "" if breach.source == POSTGRES else f"{breach.source} says that "
        yield from _from_words(f"{says_so}objective {breach.slo} is breached", breach.slo)
    if row := minutes.incident.value:
        yield from _from_words(f"its title: {row.title[:80]}", row.title)
        for slo in minutes.objectives:
            yield from _from_words(f"linked to objective {slo}", slo)


def _from_gateway(part: Part[Halt]) -> Iterator[Evidence]:
    if part.fault and part.fault != NO_GATEWAY:
        yield Evidence(Classification.BROKER, f"the gateway could not be asked: {part.fault}", 3)
    halt = part.value
    if halt is None:
        return
    if halt.feed_fresh is False:
        yield Evidence(Classification.DATA_QUALITY, f"market data is {halt.feed_age_s:.1f} s old", 3)
    if not halt.healthy and halt.feed_fresh is not False:
        yield Evidence(Classification.BROKER, f"the gateway says {halt.detail}", 3)
    if halt.errors_5m:
        yield Evidence(Classification.BROKER, f"{halt.errors_5m} API errors in 5 min", 3)


def _from_words(text: str, said: str) -> Iterator[Evidence]:
    """At most one piece of evidence: of the first classification whose words occur."""
    for classification, words in _WORDS.items():
        if any(says(said, word) for word in words):
            yield Evidence(classification, text, 1)
            return


WIDE: Final = (GLOBAL, EXECUTION)
"""What halts every instrument."""
_BEFORE: Final = (
    ("acknowledge it, so that everybody knows that it is yours", "nobody has acknowledged it"),
    ("halt what it concerns, and keep it halted until its cause is known", "nothing of it is halted"),
)
_TREE: Final[dict[Classification, tuple[tuple[Need | None, str], ...]]] = {
    Classification.DATA_QUALITY: (
        (None, "see that the source of market data is connected and its feed fresh"),
        (Need.BARS, "have the missing or damaged daily bars written again"),
        (Need.QUALITY, "wait for one whole quality cycle without an error or a stale warning"),
    ),
    Classification.RECONCILIATION: (
        (None, "look at each id that differs and at what the broker says of it"),
        (Need.CLEAN_RUNS, "see that orders change state again; two clean runs in a row are needed"),
    ),
    Classification.BROKER: (
        (Need.GATEWAY, "see that API and feed answer; where they do not, begin the broker session anew"),
        (Need.RERUN, "run the reconciliation again once the session is back"),
    ),
}
_RESUME: Final = "find the cause, then resume with half-open and probes; the conditions hold"
_NO_BRANCH: Final = "find the cause; the decision tree has no branch for this, so everything stays halted"


def next_step(minutes: FirstMinutes) -> NextStep:
    """Where the decision tree stands: its first step that is not proved to be done."""
    branch = minutes.branch
    tree = _TREE.get(branch, ())
    of = len(_BEFORE) + len(tree) + 1
    acknowledged = minutes.acknowledgement.value
    done = (acknowledged is not None and acknowledged.status != "open", _halted(minutes))
    for number, ((text, why), is_done) in enumerate(zip(_BEFORE, done, strict=True), 1):
        if not is_done:
            part = minutes.acknowledgement if number == 1 else minutes.halts
            return NextStep(branch, number, of, text, f"unknown: {part.fault}" if part.fault else why)
    for number, (need, text) in enumerate(tree, len(_BEFORE) + 1):
        met, why = _proved(minutes, branch, need)
        if met is not True:
            return NextStep(branch, number, of, text, why)
    return NextStep(branch, of, of, _RESUME if tree else _NO_BRANCH, "")


def _halted(minutes: FirstMinutes) -> bool:
    """Whether something stands halted that reaches the incident's breakers or instruments."""
    halts, row = minutes.halts.value, minutes.incident.value
    if halts is None:
        return False
    own = {row.breaker_id, *row.breakers} if row else set()
    return any(
        name in own or name in WIDE or name.partition(":")[2] in minutes.symbols
        for name in (*halts.breakers, *halts.switches)
    )


def _proved(minutes: FirstMinutes, branch: Classification, need: Need | None) -> tuple[bool | None, str]:
    if need is not None:
        return condition_of(minutes, need)
    if branch is Classification.DATA_QUALITY:
        halt = minutes.halt.value
        if halt is None or halt.feed_fresh is None:
            return None, f"unknown: {minutes.halt.fault or 'the gateway does not say how old its feed is'}"
        return halt.feed_fresh, f"market data is {halt.feed_age_s:.1f} s old"
    differing = [
        f"{run.kind} {run.symbol or 'all'}"
        for part in (minutes.orders, minutes.positions, minutes.ledger)
        for run in part.value or ()
        if run.status != "clean" or not run.proved
    ]
    faults = [part.fault for part in (minutes.orders, minutes.positions, minutes.ledger) if part.fault]
    if faults:
        return None, f"unknown: {faults[0]}"
    return (
        not differing,
        f"not clean: {', '.join(differing[:5])}" if differing else "the newest runs are clean",
    )


def condition_of(minutes: FirstMinutes, need: Need) -> tuple[bool | None, str]:
    """How one recovery condition of this incident stands; None where it is unknown, or not one of its own."""
    if minutes.recovery.value is None:
        return None, f"unknown: {minutes.recovery.fault or 'not read'}"
    found = [each for each in minutes.recovery.value if each.need is need]
    if not found:
        return None, "not a condition of what this incident is classified as"
    worst = next((each for each in found if each.met is not True), found[0])
    return worst.met, worst.line
