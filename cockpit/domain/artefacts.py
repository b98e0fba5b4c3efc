"""What a run leaves behind: lines of its JSONL files, cleaned, and the newest of each file. Pure.

Source: operations runbook, alert sources. One JSON object a line with `event_type` and `at`; whoever may
write the folder may write anything into it, so nothing here is believed beyond its form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cockpit.domain.documents import parse_rfc3339
from cockpit.domain.text import clean

INCIDENTS: Final = "incident_events.jsonl"
SLOS: Final = "ops_slo_events.jsonl"
ORDERS: Final = "order_reconciliation_events.jsonl"
POSITIONS: Final = "position_reconciliation_events.jsonl"
QUALITY: Final = "data_quality_events.jsonl"
QUALITY_LATEST: Final = "data_quality_latest.json"
LINE_FILES: Final = (INCIDENTS, SLOS, ORDERS, POSITIONS, QUALITY)
AUDIT_LOGS: Final = "audit_logs"
_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_MOST_TEXT: Final = 500
_MOST_ITEMS: Final = 100
_DEEPEST: Final = 6


class BadLine(ValueError):
    """A line that is no event; the message says why in a few words."""


@dataclass(frozen=True, slots=True)
class RunLine:
    """One event. `fields` is the whole object with its texts cleaned; `place` is `FILE:OFFSET`."""

    event_type: str
    at: datetime
    event_id: str
    fields: Mapping[str, object]
    place: str = ""

    def text(self, name: str, limit: int = 200) -> str:
        """A field as one line of text, "" where there is none."""
        value = self.fields.get(name)
        return "" if value is None or isinstance(value, dict | list) else clean(str(value), limit)

    def whole(self, name: str) -> int | None:
        value = self.fields.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def names(self, name: str) -> tuple[str, ...]:
        """The texts of a list."""
        value = self.fields.get(name)
        return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


@dataclass(frozen=True, slots=True)
class FileView:
    """One file as it was last read. `lines` are the newest, oldest first; `bad` counts those that are no
    events, with the newest one's place and reason; `fault` says why nothing could be read."""

    name: str
    size: int = 0
    lines: tuple[RunLine, ...] = ()
    bad: int = 0
    newest_bad: str = ""
    fault: str = ""

    @property
    def latest(self) -> RunLine | None:
        return self.lines[-1] if self.lines else None

    def last(self, *event_types: str) -> RunLine | None:
        """The newest line of one of these types."""
        return next((line for line in reversed(self.lines) if line.event_type in event_types), None)


@dataclass(frozen=True, slots=True)
class RunView:
    """The newest run folder and the audit logs. `run_id` "" where there is none; `runs` is how many there
    are; `faults` what could not be read at all."""

    run_id: str
    at: datetime
    files: Mapping[str, FileView] = field(default_factory=dict)
    audit: tuple[FileView, ...] = ()
    runs: int = 0
    faults: tuple[str, ...] = ()

    def file(self, name: str) -> FileView:
        return self.files.get(name, FileView(name))

    @property
    def bad(self) -> int:
        return sum(each.bad for each in (*self.files.values(), *self.audit))


def is_run_id(text: str) -> bool:
    """Whether a folder's name can be a run's: no separators, no hidden ones, at most 128 characters."""
    return _RUN_ID.fullmatch(text) is not None


def parse_line(raw: bytes, place: str = "") -> RunLine:
    """One line without its end.

    Raises:
        BadLine: no UTF-8, no JSON object, or an object without `event_type` and `at`.
    """
    try:
        found = json.loads(raw.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise BadLine("not UTF-8") from None
    except (ValueError, RecursionError):
        raise BadLine("not JSON") from None
    if not isinstance(found, dict):
        raise BadLine("not a JSON object")
    fields = {_text(key, 60): _safe(value, 1) for key, value in list(found.items())[:_MOST_ITEMS]}
    kind, at, event_id = fields.get("event_type"), found.get("at"), fields.get("event_id", "")
    if not isinstance(kind, str) or not kind:
        raise BadLine("no event_type")
    if not isinstance(event_id, str):
        raise BadLine("event_id is not a text")
    try:
        moment = parse_rfc3339(at) if isinstance(at, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise BadLine("at is not a time")
    return RunLine(kind, moment, event_id, fields, place)


def _no_constant(text: str) -> object:
    raise ValueError(text)


def _text(text: str, limit: int) -> str:
    """`clean`, at once where there is nothing to do, as nearly everywhere: thousands of lines are read."""
    plain = len(text) <= limit and text.isascii() and text.isprintable()
    return text if plain else clean(text, limit)


def _safe(value: object, depth: int) -> object:
    if isinstance(value, str):
        return _text(value, _MOST_TEXT)
    if depth >= _DEEPEST and isinstance(value, dict | list):
        return "…"
    if isinstance(value, dict):
        return {_text(key, 60): _safe(each, depth + 1) for key, each in list(value.items())[:_MOST_ITEMS]}
    if isinstance(value, list):
        return [_safe(each, depth + 1) for each in value[:_MOST_ITEMS]]
    return value
