"""The draft of a postmortem, in Markdown, from an incident's story. Pure.

Everything that was recorded is filled in; what only people know is a question under its heading. Text from
outside stays text: nothing in it is Markdown, HTML or a link.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cockpit.domain.communications import CommunicationRow, Word
from cockpit.domain.event_words import event_line
from cockpit.domain.incident_story import ActionItem, IncidentStory, StoryEvent
from cockpit.domain.incidents import Severity
from cockpit.domain.text import clean

_ACTIVE: Final = str.maketrans({each: f"\\{each}" for each in "\\`*_[]<>#|~&"})
_ROOT_CAUSES: Final = "system, data, strategy or operator error"


def draft(story: IncidentStory, communication: Sequence[CommunicationRow]) -> str:
    """The whole document; ends in a newline."""
    row = story.row
    severity = Severity(row.severity)
    parts = [
        f"# Postmortem: {plain(row.title)}",
        f"Draft of {_stamp(story.server_time)}, made from the recorded timeline. {_clock(story)}",
        _facts(story, severity),
        "## Summary\n\n_What happened, in three sentences that an outsider understands?_",
        "## Impact\n\n_Which orders, positions and customers, for how long, at what cost?_",
        f"## Root cause\n\n{_root_cause(story)}",
        f"## Timeline\n\n{_timeline(story)}",
        "## What went well, what went badly, where we were lucky\n\n_…_",
        f"## Action items\n\n{_actions(story.actions)}",
        f"## Communication\n\n{_communication(communication)}",
        "## Evidence\n\n"
        f"`cockpit incident bundle {row.incident_id}` makes the archive of all records; "
        "`cockpit audit verify --full` proves the entries that the timeline names.",
    ]
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    """One line in which nothing acts, neither on a terminal nor as Markdown (I26)."""
    return clean(text).translate(_ACTIVE).replace("://", "\\://").replace("www.", "www\\.")


def _clock(story: IncidentStory) -> str:
    due = story.postmortem_by
    if due is None:
        return "No postmortem is required below P1."
    left = due - story.server_time
    return f"Due by {_stamp(due)}: {_span(abs(left))} {'left' if left >= timedelta(0) else 'OVERDUE'}."


def _facts(story: IncidentStory, severity: Severity) -> str:
    row = story.row
    acknowledged = "never"
    if row.acknowledged_at is not None:
        after = _span(row.acknowledged_at - row.opened_at)
        acknowledged = f"{_stamp(row.acknowledged_at)} by {plain(row.acknowledged_by or '?')}, after {after}"
    over = "not yet"
    if row.resolved_at is not None:
        over = f"{_stamp(row.resolved_at)}, after {_span(row.resolved_at - row.opened_at)}"
    lines = [
        ("Incident", row.incident_id),
        ("Severity", f"{severity.value} ({severity.sev})"),
        ("Classification", plain(row.classification)),
        ("State", plain(row.status)),
        ("Opened", f"{_stamp(row.opened_at)} by {plain(row.opened_by or row.source)}"),
        ("Acknowledged", acknowledged),
        ("Resolved", over),
        ("Owner", plain(row.owner or "nobody")),
        ("Breakers", plain(", ".join(story.breakers)) or "none"),
        ("Objectives", plain(", ".join(row.slos)) or "none"),
    ]
    if row.run_id:
        lines.append(("Run folder", plain(f"{row.run_id}, {row.run_incident}")))
    lines += [("Merged into it", plain(f"{each.title} ({each.incident_id})")) for each in story.merged]
    table = "\n".join(f"| {name} | {value} |" for name, value in lines)
    return f"| | |\n|---|---|\n{table}"


def _root_cause(story: IncidentStory) -> str:
    said = [event for event in story.events if event.kind == "resolved" and event.notes]
    if not said:
        return f"_Not resolved yet. Which of {_ROOT_CAUSES} was it, and why was it possible?_"
    last = said[-1]
    return f"{plain(last.notes)}\n\n_Which of {_ROOT_CAUSES} was it, and why was it possible?_"


def _timeline(story: IncidentStory) -> str:
    lines = ["| UTC | who | what | audit entry |", "|---|---|---|---|", *map(_event, story.events)]
    if story.cut:
        lines.append(f"| … | | {story.cut} events between the first and the last are left out | |")
    return "\n".join(lines)


def _event(event: StoryEvent) -> str:
    told = event_line(event)
    said = f": {plain(told)}" if told else ""
    entry = "" if event.audit_seq is None else str(event.audit_seq)
    return f"| {_stamp(event.at)} | {plain(event.actor)} | {plain(event.kind)}{said} | {entry} |"


def _actions(actions: Sequence[ActionItem]) -> str:
    if not actions:
        return "_None yet: `cockpit incident action` adds one, with an owner and a date._"
    return "\n".join(map(_action, actions))


def _action(item: ActionItem) -> str:
    mark = "x" if item.done_at is not None else " "
    due = f", due {_stamp(item.due_at)}" if item.due_at is not None else ""
    done = (
        f", done {_stamp(item.done_at)} by {plain(item.done_by or '?')}" if item.done_at is not None else ""
    )
    return f"- [{mark}] {plain(item.what)} — {plain(item.owner)}{due}{done}"


def _communication(rows: Sequence[CommunicationRow]) -> str:
    return "\n".join(_told(row) for row in rows)


def _told(row: CommunicationRow) -> str:
    mark = "x" if row.word is Word.DONE else " "
    said = row.word.value
    if row.done_at is not None:
        said = f"{_stamp(row.done_at)} by {plain(row.by)}{', late' if row.late else ''}"
    elif row.due_at is not None:
        said = f"{row.word.value}, by {_stamp(row.due_at)}"
    return f"- [{mark}] {row.audience.value} ({row.audience.channel}): {said}"


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _span(span: timedelta) -> str:
    minutes, seconds = divmod(round(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
