"""What a line of a run folder or log file asks for, as an incident. Pure: only its form is believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

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


def flood_of(dropped: Sequence[NewIncident]) -> NewIncident:
    """One incident in place of many, as grave as the gravest."""
    severity = min((each.severity for each in dropped), key=lambda each: each.value)
    return NewIncident(
        severity=severity,
        classification=Classification.OTHER.value,
        title="Run folders report more incidents than are opened one by one; read them there",
        source=FLOOD,
        dedup_key=f"run-flood:{dropped[0].dedup_key}",
        opened_by="run folders",
        notes=flood_words(dropped),
    )


def flood_words(dropped: Sequence[NewIncident]) -> str:
    names = ", ".join(f"{each.title[:60]} ({each.severity.value})" for each in dropped[:5])
    return f"{len(dropped)} were not opened: {names}{', …' if len(dropped) > 5 else ''}"
