"""Who was told and who must be, the pages, the action items, the timeline, the run folder's files. Pure."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Final

from cockpit.domain.artefacts import FileView
from cockpit.domain.communications import CommunicationRow, Word
from cockpit.domain.event_words import event_words
from cockpit.domain.incident_page import IncidentPage
from cockpit.domain.incident_story import ActionItem, IncidentStory, StoryEvent
from cockpit.domain.text import clean
from widgets.incident_clocks import left
from widgets.line import Line, fit
from widgets.minutes_entry import MARKS, Entry, aged, heading, paragraph, unreadable
from widgets.times import clock, clock_s, span

MOST_EVENTS: Final = 200
_IN_EVERY_LINE: Final = ("event_id", "event_type", "at", "run_id")
MOST_LINES: Final = 5
"""Of each file of a run folder; Enter shows what was read of them."""


def story_entries(page: IncidentPage, monotonic: float, cells: int) -> list[Entry]:
    """Communication, action items, timeline; each of them unreadable where the story is."""
    story = page.story
    if story is None:
        why = page.story_fault or "not read"
        return [
            heading("story", "COMMUNICATION, ACTION ITEMS, TIMELINE"),
            *unreadable("story-fault", "", why, cells),
        ]
    now = page.now(monotonic)
    return [
        *_communication(page, now),
        *_pages(story, now, cells),
        *_actions(story, now, cells),
        *_timeline(story, cells),
    ]


def _communication(page: IncidentPage, now: datetime) -> list[Entry]:
    rows = page.communication
    late = sum(_overdue(row, now) for row in rows)
    words = f"{late} overdue · o records who was told" if late else "o records who was told"
    head = heading("told", "COMMUNICATION", words, "bad" if late else "dim")
    return [head, *(Entry(f"told-{row.audience}", _told(row, now)) for row in rows)]


def _overdue(row: CommunicationRow, now: datetime) -> bool:
    """By the clock of this moment, which may be later than the reading's."""
    return row.word is Word.OVERDUE or (row.word is Word.DUE and row.due_at is not None and now > row.due_at)


def _told(row: CommunicationRow, now: datetime) -> Line:
    name = fit(row.audience.value, 13)
    if row.word is Word.NOT_NEEDED:
        return (("    · ", "dim"), (name, "dim"), ("not needed at this severity", "dim"))
    if row.done_at is not None:
        late = ", late" if row.late else ""
        words = f"told {clock(row.done_at, now)} by {clean(row.by, 40)}{late}"
        return (("    ✓ ", "good"), (name, ""), (words, "warn" if row.late else ""))
    assert row.due_at is not None  # noqa: S101 - only what is not needed has no deadline
    if _overdue(row, now):
        words, style = f"OVERDUE {span((now - row.due_at).total_seconds())}", "bad"
    else:
        words, style = f"due in {left(row.due_at, now)}", "warn"
    return (("    ✗ ", style), (name, ""), (words, style), (f" · {row.audience.channel}", "dim"))


def _pages(story: IncidentStory, now: datetime, cells: int) -> list[Entry]:
    """Every page that has to reach somebody, newest first."""
    entries = [heading("pages", "PAGES", "" if story.pages else "none was asked for")]
    for index, each in enumerate(reversed(story.pages[-10:])):
        if not each.deliveries:
            words, mark = "no pager has taken it yet", None
        else:
            parts = []
            for one in each.deliveries:
                if one.delivered_at is not None:
                    parts.append(f"{clean(one.receiver, 30)} {clock_s(one.delivered_at)}")
                else:
                    word = "FAILED" if one.given_up_at is not None else f"waiting, {one.attempts} tries"
                    parts.append(f"{clean(one.receiver, 30)} {word}: {clean(one.last_error or '', 80)}")
            words = " · ".join(parts)
            mark = (
                False
                if any(one.given_up_at is not None for one in each.deliveries)
                else all(one.delivered_at is not None for one in each.deliveries) or None
            )
        sign, style = MARKS[mark]
        before: Line = (("    ", ""), (f"{sign} ", style))
        text = f"{clean(each.event, 20)} of {clock(each.created_at, now)}: {words}"
        entries += paragraph(f"page-{len(story.pages) - index}", before, text, "", cells)
    return entries


def _actions(story: IncidentStory, now: datetime, cells: int) -> list[Entry]:
    if not story.actions:
        return [heading("items", "ACTION ITEMS", "none yet · x adds one")]
    open_ones = sum(item.done_at is None for item in story.actions)
    entries = [heading("items", "ACTION ITEMS", f"{open_ones} to do · x adds one")]
    for item in sorted(story.actions, key=lambda each: (each.done_at is not None, each.added_at)):
        entries += _action(item, now, cells)
    return entries


def _action(item: ActionItem, now: datetime, cells: int) -> list[Entry]:
    done = item.done_at is not None
    late = not done and item.due_at is not None and now > item.due_at
    due = "" if item.due_at is None else f", due {clock(item.due_at, now)}"
    said = f"done {clock(item.done_at, now)} by {clean(item.done_by or '?', 40)}" if done else f"to do{due}"
    said += f", OVERDUE {span((now - item.due_at).total_seconds())}" if late and item.due_at else ""
    before: Line = (("    ", ""), ("✓ " if done else "✗ ", "good" if done else "warn"))
    text = f"{item.what} · {clean(item.owner, 40)} · {said}"
    style = "bad" if late else "dim" if done else ""
    return paragraph(
        f"item-{item.action_id}", before, text, style, cells, (item.what, f"id {item.action_id}")
    )


def _timeline(story: IncidentStory, cells: int) -> list[Entry]:
    """Newest first."""
    total = len(story.events) + story.cut
    cut = f" · {story.cut} between the first and the rest are left out" if story.cut else ""
    entries = [heading("timeline", "TIMELINE", f"{total} events, newest first, UTC{cut}")]
    for event in reversed(story.events[-MOST_EVENTS:]):
        entries += _event(event, cells)
    if len(story.events) > MOST_EVENTS:
        entries += _event(story.events[0], cells)
    return entries


def _event(event: StoryEvent, cells: int) -> list[Entry]:
    """A story is added to, never changed: what was laid out once is kept from reading to reading."""
    who = (event.kind, event.actor, event.notes, repr(event.details), event.audit_seq)
    return _laid_out(event.event_id, event.at, who, cells, _Held(event))


class _Held:
    """An event that takes no part in what makes two calls the same."""

    def __init__(self, event: StoryEvent) -> None:
        self.event = event

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held)


@lru_cache(maxsize=4 * MOST_EVENTS)
def _laid_out(
    event_id: int, at: datetime, _who: tuple[str, str, str, str, int | None], cells: int, held: _Held
) -> list[Entry]:
    event = held.event
    before: Line = ((f"   {clock_s(at)} ", "dim"), (f"{fit(clean(event.kind, 20), 12)} ", "strong"))
    known = ((name, value) for name, value in event.details.items() if value)
    details = ", ".join(f"{clean(str(name), 30)} {_plain(value)}" for name, value in known)
    said = (clean(event.actor, 40), event_words(event), clean(event.notes, 3 * cells))
    proof = "in no audit entry" if event.audit_seq is None else f"audit entry {event.audit_seq}"
    date = f"{at:%Y-%m-%d %H:%M:%S} UTC · {event.kind} by {event.actor} · {proof}"
    text = " · ".join(part for part in said if part)
    return paragraph(f"event-{event_id}", before, text, "", cells, (date, event.notes, details), 2)


def _plain(value: object) -> str:
    if isinstance(value, list):
        return clean(" ".join(str(each) for each in value), 200)
    return clean(str(value), 200)


def run_entries(page: IncidentPage, monotonic: float, cells: int) -> list[Entry]:
    """The tail of each file of the newest, or the incident's own, run folder; bad lines counted and shown.
    What stands in it is a claim of whoever may write there."""
    part = page.minutes.run
    view = part.value
    if view is None:
        why = part.fault or "not read"
        return [heading("run", "RUN FOLDER"), *unreadable("run-fault", "", why, cells)]
    now = page.now(monotonic)
    bad = f" · {view.bad} BAD LINES" if view.bad else ""
    named = clean(view.run_id, 80) or "there is none"
    words = f"{named}{aged(part.age_s(now))[0]} · claims of who may write it{bad}"
    entries = [heading("run", "RUN FOLDER", words, "warn" if view.bad else "dim")]
    for fault in view.faults:
        entries += unreadable(f"run-fault-{fault[:40]}", "", fault, cells)
    for file in (*view.files.values(), *view.audit):
        entries += _file(file, cells)
    return entries


def _file(file: FileView, cells: int) -> list[Entry]:
    key = f"file-{file.name}"
    name = clean(file.name, 80)
    if file.fault:
        return unreadable(key, "", f"{name}: {file.fault}", cells)
    said = f"{len(file.lines)} lines read" if file.lines else "no line"
    more = tuple(
        f"{clock_s(line.at)} {line.event_type} {_said(line.fields)}" for line in reversed(file.lines)
    )
    line: Line = ((f"   {name} ", "title"), (said, "dim"))
    if file.bad:
        line = (*line, (f" · {file.bad} bad, newest {clean(file.newest_bad, 120)}", "warn"))
    entries = [Entry(key, line, more)]
    for each in reversed(file.lines[-MOST_LINES:]):
        before: Line = ((f"   {clock_s(each.at)} ", "dim"), (f"{clean(each.event_type, 30)} ", ""))
        place = f"{key}-{each.place or each.event_id}"
        entries += paragraph(place, before, _said(each.fields), "dim", cells, (_said(each.fields),), 1)
    return entries


def _said(fields: object) -> str:
    """A line's own fields, without those that every line has."""
    if not isinstance(fields, dict):
        return ""
    shown = {name: value for name, value in fields.items() if name not in _IN_EVERY_LINE}
    return ", ".join(f"{clean(str(name), 40)} {clean(str(value), 200)}" for name, value in shown.items())
