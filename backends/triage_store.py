"""What Postgres says of recovery conditions, and of an incident's first minutes.

The functions take any login's connection, so that the authority reads by a cockpit's own statements.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any, Final
from uuid import UUID

from backends.incident_store import incident_of
from backends.postgres_session import Session
from backends.reconciliation_store import briefly, clean_cycles, reconciliations
from cockpit.domain.audit import Action
from cockpit.domain.reconciliation import Line
from cockpit.domain.recovery import BARS, BRANCH, Bars, Linked, QualityCycle, RecoveryFacts
from cockpit.domain.refusals import Code, Refused
from cockpit.domain.text import clean
from cockpit.domain.triage_facts import POSTGRES, Breach, Change, DeskFacts, Part, Quality, Reconciled

_FACTS: Final = files("backends").joinpath("sql/recovery_facts.sql").read_text()
# The newest of a classification asks for most: its conditions cover those of the older ones.
_LINKED: Final = """
SELECT DISTINCT ON (classification) incident_id::text, left(title, 200) AS title, classification, opened_at,
       count(*) OVER (PARTITION BY classification) AS count
  FROM incidents
 WHERE status IN ('open', 'acknowledged') AND source NOT IN ('trip', 'override')
   AND classification = ANY ($2::text[]) AND (breaker_id = ANY ($1::text[]) OR breakers && $1::text[])
 ORDER BY classification, opened_at DESC
"""
_BREACH: Final = files("backends").joinpath("sql/slo_breach.sql").read_text()
# However long the chain is, only its newest entries are looked through.
_CHANGES: Final = """
SELECT timestamp, action, user_id, target, left(details_text, 2000) AS details FROM audit_log
 WHERE seq > (SELECT seq FROM audit_head) - 5000 AND action = ANY ($1::text[])
 ORDER BY seq DESC LIMIT 20
"""
_WORDS: Final[Mapping[Action, str]] = {
    Action.TRIP: "tripped",
    Action.HALF_OPEN: "half-opened",
    Action.RESET: "closed",
    Action.RESTORE: "restored",
    Action.RELEASE: "released",
    Action.SIZE_LIMITED: "size limited",
    Action.SIZE_LIMIT_LIFTED: "size limit lifted",
    Action.BUDGET_EXCLUDED: "error budget excluded",
    Action.BUDGET_INCLUDED: "error budget included again",
    Action.UNAUDITED_CHANGE: "changed by nobody known",
    Action.OPERATOR_ADDED: "operator added",
    Action.OPERATOR_REVOKED: "operator revoked",
}
_MOST_IDS: Final = 20


class TriageStore:
    """What `PostgresStore` says of these, over its reading session."""

    _reader: Session

    async def recovering(self, names: Sequence[str]) -> Sequence[Linked]:
        async with self._reader.use() as connection:
            return await recovering(connection, names)

    async def recovery_facts(
        self, symbols: Sequence[str], moments: Sequence[datetime], fresh_s: float
    ) -> RecoveryFacts:
        async with self._reader.use() as connection:
            return await recovery_facts(connection, symbols, moments, fresh_s)

    async def triage_facts(self, incident_id: str) -> DeskFacts:
        """
        Raises:
            Refused: UNKNOWN, where there is no such incident.
        """
        try:
            name = UUID(incident_id)
        except ValueError:
            name = UUID(int=0)
        async with self._reader.use() as connection:
            row = await connection.fetchrow("SELECT * FROM incidents WHERE incident_id = $1", name)
            if row is None:
                raise Refused(
                    Code.UNKNOWN,
                    f"There is no incident {clean(incident_id, 60)}.",
                    "`cockpit incident list` shows them.",
                )
            breach = await connection.fetchrow(_BREACH)
            changes = await connection.fetch(_CHANGES, [action.value for action in _WORDS])
            async with briefly(connection, "Quality cycles"):
                facts = await connection.fetchrow(_FACTS, [], BARS)
            recon = await reconciliations(connection)
        cycle = _cycle(facts)
        return DeskFacts(
            at=facts["at"],
            incident=incident_of(row),
            breach=_breach(breach) if breach else Part(),
            reconciled=tuple(_reconciled(line) for line in recon.lines),
            quality=_quality(cycle) if cycle else Part(),
            changes=tuple(_change(each) for each in changes),
        )


async def recovering(connection: Any, names: Sequence[str]) -> tuple[Linked, ...]:
    """Of each classification that has conditions the newest unresolved incident that is linked to one of
    these names; a person's own trip and its override are none."""
    rows = await connection.fetch(_LINKED, list(names), list(BRANCH))
    return tuple(
        Linked(row["incident_id"], clean(row["title"]), row["classification"], row["opened_at"], row["count"])
        for row in rows
    )


async def recovery_facts(
    connection: Any, symbols: Sequence[str], moments: Sequence[datetime], fresh_s: float
) -> RecoveryFacts:
    """What the conditions of these symbols rest on; clean reconciliations are counted since each moment, and
    none where a kind has not run for `fresh_s`.

    Raises:
        Refused: a part of it could not be read in a second.
    """
    async with briefly(connection, "What a recovery rests on"):
        row = await connection.fetchrow(_FACTS, list(symbols), BARS)
        counted = {
            (symbol, since): await clean_cycles(connection, symbol, since, fresh_s)
            for since in moments
            for symbol in symbols
        }
    return RecoveryFacts(
        row["at"],
        tuple(Bars(*each) for each in row["bars"]),
        _cycle(row),
        {key: found.count for key, found in counted.items()},
        {key: min(found.stale.values()) for key, found in counted.items() if found.stale},
        fresh_s,
        row["impossible"],
    )


def _cycle(row: Mapping[str, Any]) -> QualityCycle | None:
    if row["started_at"] is None:
        return None
    return QualityCycle(row["started_at"], row["status"], row["errors"], row["stale_warnings"])


def _quality(cycle: QualityCycle) -> Part[Quality]:
    found = Quality(cycle.status, cycle.errors, cycle.stale_warnings, cycle.started_at, POSTGRES)
    return Part(found, cycle.started_at)


def _breach(row: Mapping[str, Any]) -> Part[Breach]:
    recovered, over = row["recovered"], row["over"]
    found = Breach(
        clean(row["slo"], 100),
        row["severity"],
        clean(row["title"]),
        recovered or over,
        POSTGRES,
        ended=over and not recovered,
    )
    return Part(found, row["broke_at"])


def _reconciled(line: Line) -> Reconciled:
    run = line.last
    return Reconciled(
        kind=line.kind.value,
        symbol=line.symbol,
        status=run.verdict.value,
        at=run.started_at,
        mismatches=len(run.mismatches) + run.unlisted,
        ids=tuple(each.name for each in run.mismatches[:_MOST_IDS]),
        engine_seq=run.engine_seq,
        ledger_seq=run.ledger_seq,
        source=POSTGRES,
    )


def _change(row: Mapping[str, Any]) -> Change:
    try:
        details = json.loads(row["details"])
    except ValueError:
        details = {}  # cut at its bound: what was done to what still shows
    said = (details.get("reason") or details.get("notes")) if isinstance(details, dict) else None
    what = f"{row['target']} {_WORDS[Action(row['action'])]}"
    return Change(
        row["timestamp"],
        clean(f"{what}: {said}" if isinstance(said, str) and said else what, 200),
        clean(row["user_id"], 60),
        "audit",
    )
