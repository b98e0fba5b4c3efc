"""What each change of an incident asks a person for, and what becomes of the answers. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cockpit.domain.breakers import GLOBAL, BreakerId, InvalidBreakerId, parse_breaker_id
from cockpit.domain.desk import IncidentRow
from cockpit.domain.incident_requests import MOST_TITLE, IncidentRequest, Verb
from cockpit.domain.incident_rules import classify_fault, merge_fault, snooze_fault
from cockpit.domain.incidents import Change, Classification, Severity
from cockpit.domain.reasons import Reason
from cockpit.domain.text import MAX_NOTES, clean
from widgets.board import Board
from widgets.dialog import notes_fault
from widgets.incident_clocks import severity_words
from widgets.incident_options import Option, above, audiences, class_told, classes, logins, others
from widgets.incident_rows import found
from widgets.times import parse_moment

_UNITS: Final = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}


@dataclass(frozen=True, slots=True)
class IncidentWish:
    """What a dialog returns. `request` None: an acknowledgement of `incident_id`."""

    what: str
    breaker_id: BreakerId
    notes: str
    incident_id: str | None = None
    request: IncidentRequest | None = None


@dataclass(slots=True)
class ChangeDraft:
    """What was typed and not sent; kept while the screen runs."""

    picked: str = ""
    text: str = ""
    notes: str = ""


def _no_options(_board: Board, _row: IncidentRow) -> Sequence[Option]:
    return ()


def _untold(_row: IncidentRow, _picked: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Form:
    """One change: its title, what ctrl+s does, whether notes are needed and what they are called, one text
    field (its label and what it takes) or a list to pick from (`names`: the cells of a name there; `told`:
    what the one that is picked comes to)."""

    change: Change
    title: str
    does: str
    needs_notes: bool = False
    notes_label: str = "notes"
    text_label: str = ""
    example: str = ""
    options: Callable[[Board, IncidentRow], Sequence[Option]] = field(default=_no_options)
    picks: bool = False
    help: str = ""
    names: int = 12
    told: Callable[[IncidentRow, str], str] = field(default=_untold)


def breaker_of(row: IncidentRow, board: Board) -> BreakerId:
    """What a request about the incident names: its own breaker where that exists, else everything."""
    named = row.breaker_id or GLOBAL
    return BreakerId(named) if named in board.catalogue else GLOBAL


FORMS: Final = {
    each.change: each
    for each in (
        Form(
            Change.ACKNOWLEDGE, "ACKNOWLEDGE", "acknowledges", True,
            help="What you know and what you do about it. What nobody owned is yours then.",
        ),
        Form(Change.NOTE, "NOTE on", "records the note", help="Goes into the timeline and the audit log."),
        Form(Change.ASSIGN, "ASSIGN", "assigns", picks=True, options=logins),
        Form(
            Change.CLASSIFY, "CLASSIFY", "classifies", True, picks=True, options=classes, names=19,
            told=class_told, help="What it is decides what a resume of what it is linked to waits for.",
        ),
        Form(
            Change.ESCALATE, "ESCALATE", "escalates", True, picks=True, options=above,
            help="Its clock begins anew, it pages again and must be acknowledged again.",
        ),
        Form(
            Change.SNOOZE, "SNOOZE", "snoozes", text_label="until", example="30 min, 2 h or 03:40 (UTC)",
            help="It warns nobody until then. Its clocks go on.",
        ),
        Form(
            Change.MERGE, "MERGE", "merges", True, picks=True, options=others,
            help="This one ends; the marked one takes its links and goes on.",
        ),
        Form(
            Change.RESOLVE, "RESOLVE", "resolves", True, notes_label="cause",
            help="Root cause: the system, the data, the strategy or a person's error, and what ended it.",
        ),
        Form(Change.TOLD, "TOLD an audience about", "records who was told", picks=True, options=audiences),
        Form(
            Change.ACTION, "ACTION ITEM of", "adds the item", text_label="item",
            example="what is to be done; it is yours",
        ),
    )
}  # fmt: skip


def parse_until(text: str, now: datetime) -> datetime:
    """The end of a snooze: `30 min`, `2 h`, `1 d`, the next `03:40`, or a date and time, UTC.

    Raises:
        ValueError: none of these.
    """
    span = re.fullmatch(r"(\d{1,4}) ?([a-z]+)", " ".join(text.lower().split()))
    if span and span[2] in _UNITS:
        until = now + timedelta(seconds=int(span[1]) * _UNITS[span[2]])
    else:
        try:
            until = parse_moment(text, now)
        except ValueError:
            raise ValueError("write 30 min, 2 h, 03:40 or 2026-11-21 03:40, UTC") from None
        if re.fullmatch(r"\d{1,2}:\d{2}", text.strip()):
            until += timedelta(days=1)  # the last one before now was found; the next is meant
    return until.astimezone(UTC).replace(microsecond=0)


def form_fault(form: Form, draft: ChangeDraft, row: IncidentRow, board: Board, now: datetime) -> str | None:
    """What is still missing, in words; None where ctrl+s would ask for the change."""
    if form.picks and not draft.picked:
        return "choose one: its digit, or Enter on it"
    if form.change is Change.SNOOZE:
        try:
            until = parse_until(draft.text, now)
        except ValueError as error:
            return f"until: {error}"
        if why := snooze_fault(row, until, now):
            return why
    if form.change is Change.CLASSIFY and (why := classify_fault(row, Classification(draft.picked))):
        return why
    if form.change is Change.MERGE and (into := found(board, draft.picked)) is not None:
        window = timedelta(seconds=board.limits.critical_window_s)
        if why := merge_fault(row, into, now, window):
            return why
    if form.change is Change.NOTE and not draft.notes.strip():
        return "write the note"
    if form.change is Change.ACTION and (why := text_fault(draft.text, "item")):
        return why
    if form.needs_notes and (why := notes_fault(draft.notes)):
        return _named(why, form.notes_label)
    return loose_notes_fault(draft.notes)


def _named(fault: str, label: str) -> str:
    """What `notes_fault` says, of a field that has another name and is one thing."""
    if label == "notes":
        return fault
    return fault.replace("notes have", f"{label} has", 1).replace("notes hold", f"{label} holds", 1)


def loose_notes_fault(notes: str) -> str | None:
    """Why notes that nobody must write cannot be kept as they are."""
    collapsed = " ".join(notes.split())
    if len(collapsed) > MAX_NOTES:
        return f"notes have {len(collapsed)} characters; at most {MAX_NOTES} are kept"
    if clean(collapsed) != collapsed:
        return "notes hold a control, bidi or invisible character; write plain text"
    return None


def text_fault(text: str, name: str) -> str | None:
    """Why a one-line text cannot be a title or an item."""
    collapsed = " ".join(text.split())
    if not collapsed:
        return f"{name}: write one line"
    if len(collapsed) > MOST_TITLE:
        return f"{name} has {len(collapsed)} characters; at most {MOST_TITLE} are kept"
    if clean(collapsed) != collapsed:
        return f"{name} holds a control, bidi or invisible character; write plain text"
    return None


def change_wish(
    form: Form, draft: ChangeDraft, row: IncidentRow, board: Board, now: datetime
) -> IncidentWish:
    """The change that a filled form asks for.

    Raises:
        ValueError: it is not filled; `form_fault` says why.
    """
    what = f"{form.change.value} {severity_words(row)}"
    notes = " ".join(draft.notes.split())
    breaker_id, key = breaker_of(row, board), row.incident_id
    if form.change is Change.ACKNOWLEDGE:
        return IncidentWish(what, breaker_id, notes, key)
    text = " ".join(draft.text.split())
    me = board.identity.login if board.identity else board.login
    fields: dict[Change, dict[str, object]] = {
        Change.ASSIGN: {"owner": draft.picked},
        Change.CLASSIFY: (
            {"classification": Classification(draft.picked)} if form.change is Change.CLASSIFY else {}
        ),
        Change.ESCALATE: {"severity": Severity(draft.picked)} if form.change is Change.ESCALATE else {},
        Change.SNOOZE: {"until": parse_until(draft.text, now)} if form.change is Change.SNOOZE else {},
        Change.MERGE: {"into": draft.picked},
        Change.TOLD: {"audience": draft.picked},
        Change.ACTION: {"title": text, "owner": me},
    }
    request = IncidentRequest(Verb(form.change.value), key, **fields.get(form.change, {}))  # type: ignore[arg-type]
    return IncidentWish(what, breaker_id, notes, key, request)


_REASONS: Final = {
    Classification.DATA_QUALITY.value: Reason.DATA_INTEGRITY,
    Classification.BROKER.value: Reason.MARKET_ANOMALY,
    Classification.SECURITY.value: Reason.SECURITY,
}


def trip_proposal(row: IncidentRow) -> tuple[Reason, str]:
    """Reason and notes of a trip because of an incident, to be read and confirmed by a person."""
    known = {each.value: each for each in Reason}
    reason = _REASONS.get(row.classification) or known.get(row.classification, Reason.OTHER)
    return reason, clean(f"incident {row.severity} {row.incident_id[:8]}: {' '.join(row.title.split())}", 300)


def linked_breakers(text: str, board: Board) -> tuple[BreakerId, ...]:
    """Breakers named in a field, apart by blanks or commas.

    Raises:
        ValueError: a name that is no breaker's here; the message names it.
    """
    names = []
    for name in text.replace(",", " ").split():
        try:
            parsed = parse_breaker_id(name)
        except InvalidBreakerId:
            parsed = None
        if parsed is None or parsed not in board.catalogue:
            raise ValueError(f"{clean(name, 40)!r} is no breaker here; write e.g. component:execution")
        names.append(parsed)
    return tuple(dict.fromkeys(names))
