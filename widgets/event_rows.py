"""The event pane: the audit log's tail and the latest of what has not been audited, newest first."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from cockpit.domain.text import clean
from widgets.board import Board, claimed_reason
from widgets.fired_rule import AUTOMATION, fired_rule
from widgets.line import Line, fit
from widgets.times import clock_s

if TYPE_CHECKING:
    from cockpit.domain.desk import AuditRow
    from cockpit.domain.snapshots import StreamEvent

UNCOVERED: Final = 2
_OF_ALL: Final = frozenset({"GENESIS", "RESTORE"})
COVERS_S: Final = 60.0
_PREFIX: Final = "CIRCUIT_BREAKER_"
_STYLE: Final = {
    "TRIP": "halted",
    "HALF_OPEN": "probing",
    "RESET": "trading",
    "QUIET_END": "trading",
    "PROBES_PASSED": "trading",
    "PROBES_FAILED": "halted",
    "DENIED": "warn",
    "REFUSED": "warn",
    "REJECTED": "warn",
    "UNAUDITED_CHANGE": "bad",
    "STATE_LOSS_DETECTED": "bad",
}


_WORDS: Final = {
    "TRIP": "tripped",
    "HALF_OPEN": "half-opened",
    "RESET": "closed, limited",
    "QUIET_END": "trading in full",
    "RESTORE": "restored",
    "EXTEND": "may be closed",
    "LIMIT": "size cut",
    "LIFT": "size raised",
    "SIZE_LIMITED": "size limit set",
    "SIZE_LIMIT_LIFTED": "size limit ended",
    "BUDGET_EXCLUDED": "budget excludes",
    "BUDGET_INCLUDED": "budget includes",
    "GENESIS": "first grant",
    "APPROVAL_REQUESTED": "asks approval",
    "INCIDENT_ACKNOWLEDGED": "acknowledged",
    "AUTHORITY_TERM": "authority began",
    "KILL_SWITCH_STEP": "kill switch",
    "KILL_SWITCH_REVIEWED": "kill reviewed",
    "ORDERS_CANCEL_REFUSED": "cancel NOT DONE",
    "OPERATOR_ADDED": "login added",
    "OPERATOR_REVOKED": "login revoked",
    "STATE_LOSS_DETECTED": "STATE LOSS",
    "UNAUDITED_CHANGE": "UNAUDITED CHANGE",
}
_TURNED_DOWN: Final = frozenset({"DENIED", "REFUSED"})
_DENIED: Final = re.compile(
    r"(?P<login>\S+) \(\S+\) lacks (?P<right>\S+) on (?P<target>\S+?)\."
    r"(?: Ask (?P<able>[^,]+),.*|: denied)?"
)
_STEPS: Final = {
    "HALF_OPEN": "half-open",
    "RESET": "close",
    "QUIET_END": "quiet end",
    "RESTORE": "restore",
    "EXTEND": "time to close",
    "LIMIT": "size cut",
    "LIFT": "size raise",
}


def event_lines(board: Board, count: int) -> list[Line]:
    """At most `count` lines, by time. Of the stream's events that no audit entry covers the latest
    `UNCOVERED` stand among them, marked: anybody may write there, and they must not hide the log.
    An intent is left out once its outcome is there; the audit panel lists both."""
    audit = board.desk.audit if board.desk else ()
    known = {row.event_id for row in audit}
    skew_s = board.limits.max_clock_skew_s
    fresh = [
        (_stamp(event), _stream_line(event))
        for event in (board.breakers.events if board.breakers else ())
        if event.event_id not in known
        and not (audit and _stamp(event) < audit[-1].timestamp.timestamp())  # only not listed here
        and not any(_audits(row, event, skew_s) for row in audit)
    ]
    fresh.sort(key=lambda each: each[0], reverse=True)
    settled = {row.event_id for row in audit if not row.action.endswith("_INTENT")}
    told = [
        (row.timestamp.timestamp(), _with_more(audit_line(row), more))
        for row, more in _folded(
            row for row in audit if not (row.action.endswith("_INTENT") and row.event_id in settled)
        )
    ]
    shown = fresh[:UNCOVERED] if audit else fresh
    lines = sorted([*shown, *told], key=lambda each: each[0], reverse=True)
    return [line for _, line in lines[:count]]


def _folded(rows: Iterable[AuditRow]) -> list[tuple[AuditRow, int]]:
    """Each row with how many of its like follow: an opening of trading, or a restore, is one entry for each
    breaker and switch of the catalogue, and one line here."""
    folded: list[tuple[AuditRow, int]] = []
    for row in rows:
        last, more = folded[-1] if folded else (None, 0)
        whole = row.action.removeprefix(_PREFIX) in _OF_ALL
        if last and whole and (last.action, last.user_id) == (row.action, row.user_id):
            folded[-1] = last, more + 1
        else:
            folded.append((row, 0))
    return folded


def _with_more(line: Line, more: int) -> Line:
    return (*line[:4], (f" · and {more} more", ""), *line[4:]) if more else line


def _stamp(event: StreamEvent) -> float:
    """When Redis took the event in, seconds since 1970."""
    stamp = event.entry_id.partition("-")[0]
    return int(stamp) / 1000 if stamp.isdecimal() else 0.0


def _audits(row: AuditRow, event: StreamEvent, skew_s: float) -> bool:
    """Whether `row` is the entry of a trip that was made without one: found by its counter, it is audited
    under an id of its own. `skew_s`: how far the two stores' clocks may differ."""
    if event.kind != "TRIP" or row.target != event.breaker_id or action_words(row.action) != "tripped":
        return False
    return -skew_s <= row.timestamp.timestamp() - _stamp(event) <= COVERS_S


def events_title(board: Board) -> Line:
    if board.desk is None:
        return (("EVENTS ", "title"), ("Postgres unread; the stream's own, not audited", "dim"))
    if not board.desk_readable:
        return (("EVENTS ", "title"), (f"STALE · as of {clock_s(board.desk.server_time)}", "bad"))
    return (("EVENTS ", "title"), (f"audit log, entry {board.desk.head.seq} · all times are UTC", "dim"))


def _stream_line(event: StreamEvent) -> Line:
    reason, notes = claimed_reason(event.payload)
    name, login = clean(event.breaker_id, 60), clean(event.login, 40)
    rule = fired_rule(notes, name) if event.kind == "TRIP" else None
    time = event.at[11:19] if len(event.at) >= 19 else "?"
    why = ": ".join(part for part in (reason, notes) if part)
    return (
        (f"{fit(clean(time, 8), 8)} ", "dim"),
        (fit("not audited", 12) + " ", "warn"),
        (fit(clean(action_words(event.kind), 20), 9) + " ", _STYLE.get(event.kind, "")),
        (f"{name} · {rule.words} by {login}?" if rule else f"{name} by {login}?", ""),
        (f" · {rule.rest if rule else why}" if why else "", "dim"),
    )


def action_words(action: str) -> str:
    """`CIRCUIT_BREAKER_RESET_VOID` → `close void`."""
    name = action.removeprefix(_PREFIX)
    base = base_of(name)
    plain = base.lower().replace("_", " ")
    if base == name:
        return _WORDS.get(base, plain)
    return f"{_STEPS.get(base, plain)} {name[len(base) + 1 :].lower()}"


def base_of(name: str) -> str:
    return name.removesuffix("_INTENT").removesuffix("_VOID")


def _quiet_share(row: AuditRow) -> str:
    """`50 %` where trading goes on at less than its whole size after the quiet period, else empty."""
    if row.action.removeprefix(_PREFIX) != "QUIET_END":
        return ""
    try:
        share = Decimal(str(details_of(row.details).get("share", 1)))
        return f"{(share * 100).normalize():f} %" if 0 < share < 1 else ""
    except InvalidOperation:
        return ""


def audit_line(row: AuditRow, exact: bool = False) -> Line:
    """`03:12:45 #12 tripped instrument:BTC-USD by operator1 · latency: notes`.

    `exact`: the action by the log's own name.
    """
    name = row.action.removeprefix(_PREFIX)
    words = name if exact else action_words(row.action)
    target, actor, why = clean(row.target, 60), clean(row.user_id, 40), _why(row.details)
    if base_of(name) in _TURNED_DOWN:
        why = without_actor(why, actor, target)
    whose = target if target == actor else f"{target} by {actor}"
    if row.role == AUTOMATION and base_of(name) == "TRIP":
        rule = fired_rule(str(details_of(row.details).get("notes") or ""), target)
        whose, why = (f"{target} · {rule.words}", rule.rest) if rule else (whose, why)
    if not exact and (share := _quiet_share(row)):
        words = f"trading at {share}"
    base = base_of(name)
    if base == "KILL_SWITCH_STEP":
        whose = f"{kill_step_words(details_of(row.details))} by {actor}"
    style = "dim" if name.endswith("_INTENT") else "warn" if name.endswith("_VOID") else _STYLE.get(base, "")
    return (
        (f"{clock_s(row.timestamp)} ", "dim"),
        (fit(f"#{row.seq}", 5) + " ", "dim"),
        (fit(clean(words, 40), 16) + " ", style),
        (whose, ""),
        (f" · {why}" if why else "", "dim"),
    )


def without_actor(why: str, login: str, target: str) -> str:
    """A denial beside its login and its target: without these it ends within a narrow line.
    `operator1 (operator-act) lacks TRIP_CIRCUIT on global. Ask a safety-admin, or …` → `ask a safety-admin;
    lacks TRIP_CIRCUIT`, where it says whom to ask."""
    found = _DENIED.fullmatch(why)
    if found is None or (found["login"], found["target"]) != (login, target):
        return why
    short = f"lacks {found['right']}"
    return f"ask {found['able']}; {short}" if found["able"] else short


def kill_step_words(details: Mapping[str, object]) -> str:
    """`flatten: residual`; of details that were cut off, that they are."""
    named = [clean(str(details[name]), 20) for name in ("step", "outcome") if name in details]
    return ": ".join(named) if len(named) == 2 else "a step, see its details"


def details_of(text: str) -> Mapping[str, object]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _why(details: str) -> str:
    fields = details_of(details)
    reason, notes = fields.get("reason"), fields.get("notes")
    words = [clean(str(each), 200) for each in (reason, notes) if each]
    if not words:
        words = [
            clean(str(fields[name]), 200)
            for name in ("verdict", "message", "why", "code")
            if fields.get(name)
        ]
    return ": ".join(words)
