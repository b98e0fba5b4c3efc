"""The parts of `sql/desk.sql` as the domain's values. A part whose text is the same is the same object."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from backends.guard_rows import Published, size_limit_of
from cockpit.domain.audit import EMPTY, Head
from cockpit.domain.breakers import BreakerId, Scope, scope_of
from cockpit.domain.desk import (
    AnchorRow,
    ApprovalRow,
    AuditRow,
    AutomationRow,
    BreakerRow,
    DeskSnapshot,
    IncidentRow,
    LeaseRow,
    OrderFacts,
    PositionRow,
    RequestRow,
    RunRow,
)
from cockpit.domain.documents import Epoch, parse_rfc3339
from cockpit.domain.probes import ProbeResult, ProbeRun, RunStatus

Json = Mapping[str, Any]
T = TypeVar("T")


class DeskReader:
    """Turns rows of `sql/desk.sql` into snapshots, parsing only what changed since the last one."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str | None, Any]] = {}

    def snapshot(
        self, row: Mapping[str, Any], *, observed_at: datetime, monotonic: float, latency_ms: float
    ) -> DeskSnapshot:
        """`observed_at` and `monotonic` are this process's clocks when the answer came."""
        now: datetime = row["server_time"]
        lease = self._part(row, "lease", lambda text: json.loads(text) if text else None)
        guard = self._part(row, "guard", lambda text: Published(json.loads(text)) if text else None)
        return DeskSnapshot(
            server_time=now,
            observed_at=observed_at,
            monotonic=monotonic,
            latency_ms=latency_ms,
            breakers=self._part(row, "breakers", _breakers),
            requests=self._part(row, "requests", _each(request_of)),
            approvals=self._part(row, "approvals", _each(_approval)),
            runs=self._part(row, "runs", _each(run_of)),
            incidents=self._part(row, "incidents", _each(_incident)),
            lease=_lease(lease, now) if lease else None,
            audit=self._part(row, "audit", _each(_audit)),
            head=self._part(row, "head", _head),
            orders=self._part(row, "orders", _each(_orders)),
            positions=self._part(row, "positions", _each(position_of)),
            automations=self._part(row, "automations", _each(_automation)),
            anchor=self._part(row, "anchor", lambda text: anchor_of(json.loads(text)) if text else None),
            last_reset_at=row["last_reset_at"],
            queue=row["queue"],
            persons=self._part(row, "persons", lambda text: json.loads(text) if text else {}),
            guard=guard.at(now) if guard else None,
            size_limits=self._part(row, "size_limits", _each(size_limit_of)),
        )

    def _part(self, row: Mapping[str, Any], name: str, parse: Callable[[str | None], T]) -> T:
        text = row[name]
        if name in self._seen and self._seen[name][0] == text:
            kept: T = self._seen[name][1]
            return kept
        value = parse(text)
        self._seen[name] = (text, value)
        return value


def _each(build: Callable[[Json], T]) -> Callable[[str | None], tuple[T, ...]]:
    return lambda text: tuple(build(item) for item in json.loads(text)) if text else ()


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
        row["latency_ms"],
        row["detail"],
        _time(row["received_at"]),
    )


def _breakers(text: str | None) -> Mapping[BreakerId, BreakerRow]:
    rows = (_breaker(item) for item in json.loads(text)) if text else ()
    return {row.breaker_id: row for row in rows}


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


def _incident(row: Json) -> IncidentRow:
    times = {"opened_at": _time(row["opened_at"]), "acknowledged_at": _moment(row["acknowledged_at"])}
    return IncidentRow(**{**row, **times})


def _audit(row: Json) -> AuditRow:
    return AuditRow(**{**row, "timestamp": _time(row["timestamp"])})


def anchor_of(row: Json) -> AnchorRow:
    return AnchorRow(**{**row, "signed_at": _time(row["signed_at"])})


def _head(text: str | None) -> Head:
    return Head(**json.loads(text)) if text else EMPTY


def _lease(row: Json, now: datetime) -> LeaseRow:
    renewed, expires = _time(row["renewed_at"]), _time(row["expires_at"])
    return LeaseRow(
        holder=row["holder"],
        term=row["term"],
        renewed_at=renewed,
        expires_at=expires,
        age_s=(now - renewed).total_seconds(),
        alive=now < expires,
        status=row["status"],
    )


def _orders(row: Json) -> OrderFacts:
    figures = {"notional": Decimal(row["notional"]), "last_risk_at": _moment(row["last_risk_at"])}
    return OrderFacts(**{**row, **figures})


def position_of(row: Json) -> PositionRow:
    return PositionRow(
        symbol=row["symbol"],
        quantity=Decimal(row["quantity"]),
        avg_price=_decimal(row["avg_price"]),
        mark_price=_decimal(row["mark_price"]),
        max_quantity=_decimal(row["max_quantity"]),
        updated_at=_time(row["updated_at"]),
    )


def _automation(row: Json) -> AutomationRow:
    return AutomationRow(**{**row, "updated_at": _time(row["updated_at"])})


def _decimal(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def _time(value: str | datetime) -> datetime:
    """JSON carries text, a plain row the driver's aware datetime."""
    return value if isinstance(value, datetime) else parse_rfc3339(value)


def _moment(value: str | datetime | None) -> datetime | None:
    return None if value is None else _time(value)
