"""The parts of `sql/desk.sql` as the domain's values. A part whose text is the same is the same object."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from backends.alarm_rows import incident_of, kill_doubt, kill_of, read_paging, trip_page_of
from backends.desk_parts import UNUSABLE, Part, figure, parsed, read_one, read_rows, unreadable
from backends.guard_rows import Published, size_limit_of
from cockpit.domain.audit import EMPTY, Head
from cockpit.domain.breakers import BreakerId, Scope, scope_of
from cockpit.domain.desk import (
    AnchorRow,
    ApprovalRow,
    AuditRow,
    BreakerRow,
    DeskSnapshot,
    LeaseRow,
    RequestRow,
    RunRow,
)
from cockpit.domain.documents import Epoch, parse_rfc3339
from cockpit.domain.probes import ProbeResult, ProbeRun, RunStatus
from cockpit.domain.trading import AutomationRow, OrderFacts, PositionRow

Json = Mapping[str, Any]
T = TypeVar("T")


class DeskReader:
    """Turns rows of `sql/desk.sql` into snapshots, parsing only what changed since the last one."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str | None, Part[Any]]] = {}

    def snapshot(
        self, row: Mapping[str, Any], *, observed_at: datetime, monotonic: float, latency_ms: float
    ) -> DeskSnapshot:
        """`observed_at` and `monotonic` are this process's clocks when the answer came. What cannot be used
        is left out and stands in the snapshot's `faults`."""
        now: datetime = row["server_time"]
        faults: list[str] = []

        def rows(name: str, key: str, build: Callable[[Json], T]) -> tuple[T, ...]:
            return self._part(row, name, read_rows(name, key, build), (), faults)

        lease = self._part(row, "lease", read_one(_Lease), None, faults)
        guard = self._part(row, "guard", read_one(Published), None, faults)
        paging = self._part(row, "paging", read_paging, None, faults)
        return DeskSnapshot(
            server_time=now,
            observed_at=observed_at,
            monotonic=monotonic,
            latency_ms=latency_ms,
            breakers=self._part(row, "breakers", _breakers, {}, faults),
            requests=rows("requests", "request_id", request_of),
            approvals=rows("approvals", "approval_id", _approval),
            runs=rows("runs", "run_id", run_of),
            incidents=rows("incidents", "incident_id", incident_of),
            lease=lease.at(now) if lease else None,
            audit=rows("audit", "seq", _audit),
            head=self._part(row, "head", _head, EMPTY, faults),
            orders=self._part(row, "orders", read_rows("orders", "symbol", _orders, _doubt), (), faults),
            positions=rows("positions", "symbol", position_of),
            automations=rows("automations", "name", _automation),
            anchor=self._part(row, "anchor", read_one(anchor_of), None, faults),
            last_reset_at=row["last_reset_at"],
            queue=row["queue"],
            persons=self._part(row, "persons", _persons, {}, faults),
            roles=self._part(row, "roles", _roles, {}, faults),
            guard=guard.at(now) if guard else None,
            size_limits=rows("size_limits", "limit_id", size_limit_of),
            kills=self._part(row, "kills", read_rows("kills", "kill_id", kill_of, kill_doubt), (), faults),
            paging=paging.at(now) if paging else None,
            trip_pages=rows("trip_pages", "event_id", trip_page_of),
            faults=tuple(faults),
        )

    def _part(
        self,
        row: Mapping[str, Any],
        name: str,
        read: Callable[[str | None], Part[T]],
        without: T,
        faults: list[str],
    ) -> T:
        """The part's value, `without` where nothing of it can be read; adds what is wrong to `faults`."""
        text = row[name]
        if name not in self._seen or self._seen[name][0] != text:
            self._seen[name] = (text, _read(name, read, text, without))
        part: Part[T] = self._seen[name][1]
        faults += part[1]
        return part[0]


def _read(name: str, read: Callable[[str | None], Part[T]], text: str | None, without: T) -> Part[T]:
    try:
        return read(text)
    except UNUSABLE as error:
        return without, (unreadable(name, error),)


def order_filter(breakers: Sequence[BreakerId]) -> tuple[list[str], list[str]]:
    """Symbols and strategies to filter by; two empty lists stand for everything."""
    scopes = [(scope_of(name), name.partition(":")[2]) for name in breakers]
    if any(scope in (Scope.GLOBAL, Scope.COMPONENT) for scope, _ in scopes):
        return [], []
    return (
        [name for scope, name in scopes if scope is Scope.INSTRUMENT],
        [name for scope, name in scopes if scope is Scope.STRATEGY],
    )


def request_of(row: Json) -> RequestRow:
    outcome = row["outcome"]
    return RequestRow(
        request_id=str(row["request_id"]),
        kind=row["kind"],
        breaker_id=row["breaker_id"],
        login=row["login"],
        status=row["status"],
        code=row["code"],
        message=row["message"],
        outcome=json.loads(outcome) if isinstance(outcome, str) else outcome,
        audit_seq=row["audit_seq"],
        submitted_at=_time(row["submitted_at"]),
        decided_at=_moment(row["decided_at"]),
        expires_at=_moment(row["expires_at"]),
        payload=row["payload"],
    )


def run_of(row: Json) -> RunRow:
    """`results` are a list of mappings, or None."""
    epoch = Epoch(row["redis_run_id"], row["counter"])
    run_id = str(row["run_id"])
    return RunRow(
        run=ProbeRun(
            run_id=run_id,
            breaker_id=BreakerId(row["breaker_id"]),
            epoch=epoch,
            login=row["login"],
            probes=tuple(row["probes"]),
            required=row["required"],
            started_at=_time(row["started_at"]),
            deadline=_time(row["deadline"]),
            status=RunStatus(row["status"]),
            verdict=row["verdict"],
            passed=row["passed"],
            close_until=_moment(row["close_until"]),
        ),
        request_id=str(row["request_id"]),
        person_id=row["person_id"],
        results=tuple(_result(item, run_id, epoch) for item in row["results"] or ()),
        decided_at=_moment(row["decided_at"]),
        used_by=None if row["used_by"] is None else str(row["used_by"]),
    )


def _result(row: Json, run_id: str, epoch: Epoch) -> ProbeResult:
    """For the screen: the result's own claim of an epoch lies in its payload, which the authority judges."""
    return ProbeResult(
        run_id,
        row["ordinal"],
        row["name"],
        epoch,
        row["login"],
        row["passed"],
        float(row["latency_ms"]),  # JSON has NaN as a text
        row["detail"],
        _time(row["received_at"]),
    )


def _breakers(text: str | None) -> Part[Mapping[BreakerId, BreakerRow]]:
    rows, faults = read_rows("breakers", "breaker_id", _breaker)(text)
    return {row.breaker_id: row for row in rows}, faults


def _breaker(row: Json) -> BreakerRow:
    return BreakerRow(
        breaker_id=BreakerId(row["breaker_id"]),
        state=row["state"],
        since=_time(row["since"]),
        actor=row["actor"],
        reason=row["reason"],
        notes=row["notes"],
        event_id=row["event_id"],
        run_id=row["redis_run_id"],
        counter=row["counter"],
        quiet_until=_moment(row["quiet_until"]),
        review_due_at=_moment(row["review_due_at"]),
        updated_at=_time(row["updated_at"]),
    )


def _approval(row: Json) -> ApprovalRow:
    return ApprovalRow(
        approval_id=row["approval_id"],
        request_id=row["request_id"],
        breaker_id=BreakerId(row["breaker_id"]),
        epoch=Epoch(row["redis_run_id"], row["counter"]),
        login=row["login"],
        person_id=row["person_id"],
        approved_at=_time(row["approved_at"]),
        expires_at=_time(row["expires_at"]),
    )


def _audit(row: Json) -> AuditRow:
    return AuditRow(**{**row, "timestamp": _time(row["timestamp"])})


def anchor_of(row: Json) -> AnchorRow:
    return AnchorRow(**{**row, "signed_at": _time(row["signed_at"])})


def _head(text: str | None) -> Part[Head]:
    return (Head(**parsed(text)) if text else EMPTY), ()


def _persons(text: str | None) -> Part[Mapping[str, str]]:
    return (parsed(text) if text else {}), ()


def _roles(text: str | None) -> Part[Mapping[str, tuple[str, ...]]]:
    return ({login: tuple(roles) for login, roles in parsed(text).items()} if text else {}), ()


class _Lease:
    """The lease as it was written; its age is another with each look."""

    def __init__(self, row: Json) -> None:
        self._row = row
        self._renewed, self._expires = _time(row["renewed_at"]), _time(row["expires_at"])

    def at(self, now: datetime) -> LeaseRow:
        return LeaseRow(
            holder=self._row["holder"],
            term=self._row["term"],
            renewed_at=self._renewed,
            expires_at=self._expires,
            age_s=(now - self._renewed).total_seconds(),
            alive=now < self._expires,
            status=self._row["status"],
        )


def _orders(row: Json) -> OrderFacts:
    p95_ms = row["p95_ms_30s"]
    return OrderFacts(
        symbol=row["symbol"],
        strategy=row["strategy"],
        open_orders=row["open_orders"],
        notional=Decimal(row["notional"]),
        last_risk_at=_moment(row["last_risk_at"]),
        orders_30s=row["orders_30s"],
        rejected_30s=row["rejected_30s"],
        p95_ms_30s=None if p95_ms is None else float(p95_ms),
    )


def _doubt(row: Json) -> str:
    if not row["unsound"]:
        return ""
    return f"{row['unsound']} with no possible time, quantity, price or latency; not in these figures"


def position_of(row: Json) -> PositionRow:
    return PositionRow(
        symbol=row["symbol"],
        quantity=figure(row["quantity"]),
        avg_price=_decimal(row["avg_price"]),
        mark_price=_decimal(row["mark_price"]),
        max_quantity=_decimal(row["max_quantity"]),
        updated_at=_time(row["updated_at"]),
    )


def _automation(row: Json) -> AutomationRow:
    return AutomationRow(**{**row, "updated_at": _time(row["updated_at"])})


def _decimal(value: str | None) -> Decimal | None:
    return None if value is None else figure(value)


def _time(value: str | datetime) -> datetime:
    """JSON carries text, a plain row the driver's aware datetime."""
    return value if isinstance(value, datetime) else parse_rfc3339(value)


def _moment(value: str | datetime | None) -> datetime | None:
    return None if value is None else _time(value)
