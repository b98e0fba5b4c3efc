"""What a line of a run folder or log file asks for, as an incident. Pure: only its form is believed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from backends.run_collector import Told
from cockpit.authority.incident_book import NewIncident
from cockpit.domain.artefacts import RunLine
from cockpit.domain.breakers import Catalogue
from cockpit.domain.incident_requests import MOST_LINKS
from cockpit.domain.incidents import BadIncident, Classification, Severity, parse_severity
from cockpit.domain.text import clean

RUN: Final = "run"
LOGGED: Final = "audit-log"
FLOOD: Final = "run-flood"
_NAMED: Final = 5
_COUNT: Final = re.compile(r"one by one: (\d{1,18})\.", re.ASCII)
_WORDS: Final = {"critical": Severity.P1, "warning": Severity.P2}


def seriousness(text: str) -> Severity:
    """P0 to P3, SEV1 to SEV3, `critical` or `warning`; what is none of them counts as critical."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return parse_severity(text)
    except BadIncident:
        return Severity.P1


def run_incident_of(told: Told) -> str:
    """The incident's id in its run; one that is none is named by its line, so that it is not lost."""
    value = told.line.fields.get("incident_id")
    usable = isinstance(value, str) and 0 < len(value) <= 64 and "\N{REPLACEMENT CHARACTER}" not in value
    return str(value) if usable else f"line-{told.sha256[:16]}"


def key_of(told: Told) -> str:
    if told.run_id:
        return f"run:{told.run_id}:{run_incident_of(told)}"
    return f"audit-log:{told.sha256}"


def limit_of(line: RunLine) -> str:
    """Which risk limit was broken: at most one unresolved incident has it."""
    return f"{line.text('rule', 60) or 'unnamed'} {line.text('subject', 60)}".strip()


def new_incident(told: Told, catalogue: Catalogue) -> NewIncident:
    return _opened(told, catalogue) if told.run_id else _breached(told, catalogue)


def _opened(told: Told, catalogue: Catalogue) -> NewIncident:
    line = told.line
    named = line.names("breakers")[:MOST_LINKS]
    breakers = tuple(dict.fromkeys(name for name in named if name in catalogue))
    foreign = [clean(name, 60) for name in named if name not in catalogue]
    said = line.text("classification", 60)
    known = said in tuple(Classification)
    notes = [f"Reported by run {told.run_id}."]
    if foreign:
        notes.append(f"It names breakers that are not in the catalogue: {', '.join(foreign)}.")
    if not known:
        notes.append(f"Its classification is {said or 'missing'}.")
    return NewIncident(
        severity=seriousness(line.text("severity", 20)),
        classification=said if known else Classification.OTHER.value,
        title=line.text("title") or f"Incident {run_incident_of(told)} of run {told.run_id}",
        source=RUN,
        dedup_key=key_of(told),
        breaker_id=breakers[0] if breakers else None,
        breakers=breakers[1:],
        slos=tuple(dict.fromkeys(clean(name, 100) for name in line.names("slos")[:MOST_LINKS])),
        opened_by=f"run {told.run_id}",
        notes=" ".join(notes),
        run_id=told.run_id,
        run_incident=run_incident_of(told),
        details={"line": told.sha256, "place": line.place, "said_at": line.text("at", 40)},
    )


def _breached(told: Told, catalogue: Catalogue) -> NewIncident:
    line = told.line
    name = f"instrument:{line.text('subject', 60)}"
    figures = f"{line.text('value', 40) or '?'} against {line.text('limit', 40) or '?'}"
    return NewIncident(
        severity=Severity.P1,
        classification=Classification.OTHER.value,
        title=f"Risk limit {limit_of(line)} broken: {figures}",
        source=LOGGED,
        dedup_key=key_of(told),
        breaker_id=name if name in catalogue else None,
        opened_by="audit_logs",
        notes=line.text("message", 300),
        run_incident=limit_of(line),
        details={"line": told.sha256, "place": line.place, "said_at": line.text("at", 40)},
    )


@dataclass(frozen=True, slots=True)
class Overflow:
    """Incidents that are not opened one by one: how many, and the gravest of them, gravest first."""

    count: int = 0
    gravest: tuple[NewIncident, ...] = ()

    @property
    def severity(self) -> Severity:
        """Of the gravest; there must be one."""
        return self.gravest[0].severity

    def with_one(self, new: NewIncident) -> Overflow:
        return self.with_more(Overflow(1, (new,)))

    def with_more(self, more: Overflow) -> Overflow:
        both = sorted((*self.gravest, *more.gravest), key=lambda each: each.severity.value)
        return Overflow(self.count + more.count, tuple(both[:_NAMED]))


def flood_of(over: Overflow) -> NewIncident:
    """One incident in place of many, as grave as the gravest. Its key is its own: it is always opened."""
    incident_id = str(uuid4())
    return NewIncident(
        severity=over.severity,
        classification=Classification.OTHER.value,
        title=flood_title(over.count),
        source=FLOOD,
        dedup_key=f"run-flood:{incident_id}",
        opened_by="run folders",
        notes=flood_words(over),
        incident_id=incident_id,
    )


def flood_title(count: int) -> str:
    return f"Incidents in run folders that were not opened one by one: {count}. Read them there"


def flooded(title: str) -> int:
    """How many a flood's title counts; 0 where it is no such title."""
    found = _COUNT.search(title)
    return int(found[1]) if found else 0


def flood_words(over: Overflow) -> str:
    names = ", ".join(f"{clean(each.title, 60)} ({each.severity.value})" for each in over.gravest)
    return f"{over.count} were not opened, the gravest: {names}{', …' if over.count > _NAMED else ''}"
