"""Incidents of breached objectives, by the authority's own reading of them.

A standing breach opens one incident. While it stands, a worse one raises the same incident, and what changes
is told in its story; nothing is resolved by itself. An incident that people have ended is not opened again
by the breach that it was about: only a worse one, or the next one after the objective was kept for a while.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from cockpit.authority import faults
from cockpit.authority.entries import AUTHORITY
from cockpit.authority.incident_book import (
    Held,
    NewIncident,
    add_event,
    hold,
    open_by_itself,
    record_by_itself,
)
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.pages import page
from cockpit.domain.audit import Action
from cockpit.domain.incidents import Change, Severity, Status
from cockpit.domain.slo_breaches import Breach, Standing, breach_of, says_something, worse
from cockpit.domain.slo_reports import Report, SloReport, SloSnapshot
from cockpit.domain.text import clean

SOURCE: Final = "slo"
MOST_AN_HOUR: Final = 20
"""So many incidents are opened within an hour; what is beyond waits, and is opened if it still stands."""
# The newest incident of each objective, and what was told last of its breach.
_STANDING: Final = """
SELECT DISTINCT ON (slos[1]) slos[1] AS name,
       (SELECT details ->> 'level' FROM incident_events e
         WHERE e.incident_id = i.incident_id AND details ? 'level' ORDER BY event_id DESC LIMIT 1) AS level
  FROM incidents i WHERE source = 'slo' AND cardinality(slos) > 0 ORDER BY slos[1], opened_at DESC
"""
_NEWEST: Final = """
SELECT incident_id FROM incidents
 WHERE source = 'slo' AND slos[1] = $1 ORDER BY dedup_key = 'slo:' || $1 DESC, opened_at DESC LIMIT 1
"""
_OPENED: Final = """
SELECT count(*) FROM incidents WHERE source = 'slo' AND opened_at > statement_timestamp() - interval '1 hour'
"""
_RAISE: Final = """
UPDATE incidents SET severity = $2, status = $3, alarm_at = clock_timestamp(), snoozed_until = NULL,
       last_event_at = clock_timestamp()
 WHERE incident_id = $1
"""


class SloIncidents:
    """One term's view of what stands. It begins with what the database says of it."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._standing: dict[str, Standing] | None = None
        self._seen: datetime | None = None

    async def step(self) -> int:
        """Judge a reading that is new; how many changes counted.

        Raises:
            Fenced: the term is over.
        """
        snapshot = self._means.objectives.recent()
        if snapshot is None or snapshot.at == self._seen:
            return 0
        self._seen = snapshot.at
        if self._standing is None:
            self._standing = await self._read_standing()
        return sum([await self._judge(self._standing, report, snapshot) for report in snapshot.reports])

    async def _read_standing(self) -> dict[str, Standing]:
        async with self._means.pool.acquire() as connection:
            rows = await connection.fetch(_STANDING)
        return {row["name"]: Standing(Severity(row["level"]) if row["level"] else None) for row in rows}

    async def _judge(self, standing: dict[str, Standing], report: Report, snapshot: SloSnapshot) -> bool:
        known = standing.setdefault(report.name, Standing())
        if not says_something(report):
            known.unknown()
            return False
        breach = breach_of(report)
        severity = breach.severity if breach else None
        if not known.turns(severity, snapshot.at):
            return False
        async with self._means.transaction() as connection:
            counted = await self._tell(connection, report, breach, known.counts)
        if counted:
            known.counts = severity
            await self._means.fault(faults.AFTER_INCIDENT)
        return counted

    async def _tell(
        self, connection: Any, report: Report, breach: Breach | None, before: Severity | None
    ) -> bool:
        """Write what has changed; False where it must wait."""
        held = await self._newest(connection, report.name)
        alive = held is not None and not Status(held.row.status).over
        if breach is None or not worse(breach.severity, before):
            if held is not None:
                await self._add(connection, held, report, breach)
            return True
        if held is None or not alive:
            return await self._open(connection, report, breach)
        if worse(breach.severity, Severity(held.row.severity)):
            await self._raise(connection, held, report, breach)
        else:
            await self._add(connection, held, report, breach, again=True)
        return True

    async def _newest(self, connection: Any, name: str) -> Held | None:
        incident_id = await connection.fetchval(_NEWEST, name)
        return None if incident_id is None else await hold(connection, incident_id)

    async def _open(self, connection: Any, report: Report, breach: Breach) -> bool:
        if await connection.fetchval(_OPENED) >= MOST_AN_HOUR:
            self._means.health.changed(
                "objectives' incidents", f"over {MOST_AN_HOUR} in an hour: {report.name}"
            )
            return False
        new = NewIncident(
            severity=breach.severity,
            classification=report.classification.value,
            title=_title(report, breach),
            source=SOURCE,
            dedup_key=f"slo:{report.name}",
            breaker_id=report.breaker,
            slos=(report.name,),
            details=_details(report, breach),
        )
        opened = await open_by_itself(connection, self._means, new)
        await self._means.fault(faults.INCIDENT_AUDITED)
        return opened

    async def _raise(self, connection: Any, held: Held, report: Report, breach: Breach) -> None:
        """What was partial is a core breach now: the same incident, one severity up, an alarm anew."""
        row, details = held.row, _details(report, breach)
        status = held.after(Change.ESCALATE)
        await connection.execute(_RAISE, held.incident_id, breach.severity.value, status.value)
        await self._means.fault(faults.INCIDENT_CHANGED)
        told = {
            "incident_id": row.incident_id,
            "severity": breach.severity.value,
            "before": row.severity,
            **details,
        }
        seq = await record_by_itself(connection, self._means, Action.INCIDENT_ESCALATED, told)
        notes = _title(report, breach)
        await add_event(connection, row.incident_id, "escalated", AUTHORITY, notes, told, seq)
        await page(connection, row.incident_id, "trigger", breach.severity, notes, told)
        await tell(connection, CHANGE)

    async def _add(
        self, connection: Any, held: Held, report: Report, breach: Breach | None, again: bool = False
    ) -> None:
        """A line in the story: it came back, it is less grave, or it is over."""
        details = {"incident_id": held.row.incident_id, **_details(report, breach)}
        kind = "slo-recovered" if breach is None else "slo-breach" if again else "slo-eased"
        notes = f"{report.name} is kept again: {report.why}" if breach is None else _title(report, breach)
        seq = await record_by_itself(
            connection, self._means, Action.INCIDENT_NOTED, {**details, "kind": kind}
        )
        await add_event(connection, held.incident_id, kind, AUTHORITY, notes, details, seq)
        await tell(connection, CHANGE)


def _title(report: Report, breach: Breach) -> str:
    return clean(f"{report.name}: {breach.why}", 200)


def _details(report: Report, breach: Breach | None) -> dict[str, object]:
    """`level` is the severity of what stands, None where nothing does."""
    left = report.remaining if isinstance(report, SloReport) else None
    return {
        "slo": report.name,
        "level": breach.severity.value if breach else None,
        "state": report.state.value,
        "why": clean(breach.why if breach else report.why, 300),
        "remaining": None if left is None else f"{left:.4f}",
    }
