"""What a forensic bundle takes from the stores: whole rows of a stretch of time, as they lie there.

Rows come as JSON texts made by the server, in batches from a cursor, so that no size of a table matters
here. Only SELECT; a login that may read the desk may make a bundle.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backends.postgres_session import Session
from backends.redis_connection import Line
from backends.redis_keys import ACK_KEY, EVENTS_KEY, HISTORY_KEY, LEGACY_KEY, counter_key, document_key
from backends.redis_replies import checked
from cockpit.domain.breakers import Catalogue
from cockpit.domain.refusals import Code, Refused

_BATCH: Final = 500
_RECORDS: Final = 1_000  # of the history and of the event stream
_WINDOW: Final = """
SELECT opened_at, coalesce(resolved_at, clock_timestamp()) AS until, clock_timestamp() AS now, run_id
  FROM incidents WHERE incident_id::text = $1
"""
_STRETCH: Final = """
WITH stretch AS (SELECT $1::text AS incident, $2::timestamptz AS begins, $3::timestamptz AS ends)
SELECT row_to_json(t)::text FROM stretch,
"""
# What follows; `t` are the rows. The audit log is cut by its sequence, so that it stays a chain.
SECTIONS: Final[Mapping[str, str]] = {
    "incident": "incidents t WHERE incident_id::text = incident",
    "incident_events": "incident_events t WHERE incident_id::text = incident ORDER BY event_id",
    "incident_actions": "incident_actions t WHERE incident_id::text = incident ORDER BY added_at",
    "pages": "LATERAL (SELECT o.*, (SELECT json_agg(d) FROM page_deliveries d"
    " WHERE d.outbox_id = o.outbox_id) AS deliveries"
    " FROM outbox o WHERE o.incident_id::text = incident) t ORDER BY outbox_id",
    "audit_log": "audit_log t WHERE seq BETWEEN"
    " (SELECT min(seq) FROM audit_log a WHERE a.timestamp BETWEEN begins AND ends)"
    " AND (SELECT max(seq) FROM audit_log a WHERE a.timestamp BETWEEN begins AND ends) ORDER BY seq",
    "audit_anchors": "audit_anchors t WHERE signed_at >= begins ORDER BY seq",
    "signing_keys": "signing_keys t WHERE registered_at <= ends ORDER BY registered_at",
    "requests": "requests t WHERE submitted_at BETWEEN begins AND ends ORDER BY arrival",
    "approvals": "approvals t WHERE approved_at BETWEEN begins AND ends ORDER BY approved_at",
    "commits": "commits t WHERE intent_seq IN"
    " (SELECT seq FROM audit_log a WHERE a.timestamp BETWEEN begins AND ends) ORDER BY intent_seq",
    "breakers": "breakers t ORDER BY breaker_id",
    "probe_runs": "probe_runs t WHERE started_at BETWEEN begins AND ends ORDER BY started_at",
    "probe_results": "probe_results t WHERE received_at BETWEEN begins AND ends ORDER BY result_id",
    "kill_switches": "kill_switches t WHERE started_at BETWEEN begins AND ends ORDER BY started_at",
    "kill_steps": "kill_steps t WHERE at BETWEEN begins AND ends ORDER BY at",
    "guard_firings": "guard_firings t WHERE fired_at BETWEEN begins AND ends ORDER BY fired_at",
    "reconciliation_runs": "reconciliation_runs t"
    " WHERE started_at BETWEEN begins AND ends ORDER BY started_at",
    "quality_cycles": "quality_cycles t WHERE finished_at BETWEEN begins AND ends ORDER BY finished_at",
    "sli_samples": "sli_samples t WHERE observed_at BETWEEN begins AND ends ORDER BY sample_id",
    "recent_orders": "recent_orders t WHERE placed_at BETWEEN begins AND ends ORDER BY placed_at",
    "positions": "positions t ORDER BY symbol",
    "size_limits": "size_limits t"
    " WHERE set_at <= ends AND coalesce(lifted_at, ends) >= begins ORDER BY set_at",
    "slo_exclusions": "slo_exclusions t WHERE created_at <= ends ORDER BY created_at",
}


@dataclass(frozen=True, slots=True)
class Window:
    """From when until when an incident went on, the database's time now, and the run that reported it."""

    opened_at: datetime
    until: datetime
    now: datetime
    run_id: str | None = None


class Forensics:
    """Postgres, read in whole rows. Close it."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn, command_timeout_s=60, application_name="cockpit bundle")

    async def close(self) -> None:
        await self._session.close()

    async def window(self, incident_id: str) -> Window:
        """
        Raises:
            Refused: no incident has that id.
        """
        async with self._session.use() as connection:
            row = await connection.fetchrow(_WINDOW, incident_id)
        if row is None:
            raise Refused(
                Code.UNKNOWN, f"No incident has the id {incident_id}.", "`cockpit incident list` shows them."
            )
        return Window(row["opened_at"], row["until"], row["now"], row["run_id"])

    async def rows(
        self, section: str, incident_id: str, from_at: datetime, until: datetime
    ) -> AsyncIterator[str]:
        """The rows of one of `SECTIONS`, each as JSON text.

        Raises:
            Refused: Postgres is away, or does not permit it.
        """
        async with self._session.use() as connection, connection.transaction(readonly=True):
            cursor = await connection.cursor(_STRETCH + SECTIONS[section], incident_id, from_at, until)
            while batch := await cursor.fetch(_BATCH):
                for row in batch:
                    yield row[0]


async def redis_facts(url: str, catalogue: Catalogue, gateways: Sequence[str]) -> dict[str, object]:
    """Every counter and document, the legacy key, acknowledgements, history and events, of one moment, as
    text; None where a key is missing.

    Raises:
        Refused: Redis is away, or does not permit it.
    """
    names = [
        *(key(name) for key in (counter_key, document_key) for name in catalogue.everything),
        LEGACY_KEY,
        *(ACK_KEY + gateway for gateway in gateways),
    ]
    line = Line(url, 10.0)
    try:
        replies = await line.exchange(
            ("MGET", *names),
            ("INFO", "server"),
            ("TIME",),
            ("ZREVRANGE", HISTORY_KEY, 0, _RECORDS - 1, "WITHSCORES"),
            ("XREVRANGE", EVENTS_KEY, "+", "-", "COUNT", _RECORDS),
        )
    finally:
        await line.close()
    values, info, time, history, events = map(checked, replies)
    return {
        "keys": dict(zip(names, map(_text, values), strict=True)),
        "info": _text(info),
        "time": _text(time),
        "history": _text(history),
        "events": _text(events),
    }


def _text(reply: object) -> object:
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "backslashreplace")
    if isinstance(reply, list | tuple):
        return [_text(each) for each in reply]
    if isinstance(reply, dict):
        return {str(_text(name)): _text(value) for name, value in reply.items()}
    return reply
