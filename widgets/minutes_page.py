"""The first-five-minutes page as lines, top to bottom. Pure; only what is visible is drawn."""

from __future__ import annotations

from cockpit.domain.incident_page import IncidentPage
from cockpit.domain.playbooks import Playbook
from widgets.board import Board
from widgets.line import Line, cut, wrap
from widgets.minutes_entry import Entry
from widgets.minutes_facts import triage_entries
from widgets.minutes_steps import playbook_entries, recovery_entries
from widgets.minutes_story import run_entries, story_entries


def page_entries(board: Board, page: IncidentPage, playbook: Playbook | None, cells: int) -> list[Entry]:
    """Triage, playbook, recovery, communication, pages, items, timeline, run folder."""
    monotonic = board.monotonic
    entries = [
        *triage_entries(board, page, cells),
        *playbook_entries(page, playbook, cells),
        *recovery_entries(page, cells),
        *story_entries(page, monotonic, cells),
        *run_entries(page, monotonic, cells),
    ]
    return _unlike(entries, cells)


def _unlike(entries: list[Entry], cells: int) -> list[Entry]:
    """Lines that fit, under keys that occur once: what a file says may not make two lines of the page one."""
    seen: dict[str, int] = {}
    out = []
    for entry in entries:
        times = seen[entry.key] = seen.get(entry.key, 0) + 1
        key = entry.key if times == 1 else f"{entry.key}#{times}"
        out.append(Entry(key, cut(entry.line, cells), entry.more))
    return out


def more_lines(entry: Entry, cells: int) -> list[Line]:
    """All of one entry."""
    lines: list[Line] = [line for text in entry.more if text.strip() for line in wrap(text, cells, 40)]
    return lines or [entry.line]
