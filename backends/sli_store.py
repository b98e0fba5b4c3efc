"""Objectives read from Postgres: every window of every objective in one statement."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

from backends.postgres_session import Session
from backends.sli_questions import (
    ACKNOWLEDGEMENT,
    NoQuestion,
    Objective,
    figure,
    figure_reading,
    question,
    reading,
)
from cockpit.domain.slo_reports import SliReading
from cockpit.domain.slos import Exclusion

_READINGS: Final = files("backends").joinpath("sql/sli_readings.sql").read_text()
_EXCLUSIONS: Final = """
SELECT clock_timestamp() AS at, e.* FROM (SELECT 1) AS always LEFT JOIN LATERAL (
    SELECT * FROM slo_exclusions
     WHERE (reverted_at IS NULL AND until_at > statement_timestamp() - interval '400 days')
        OR reverted_at > statement_timestamp() - interval '30 days'
     ORDER BY created_at DESC LIMIT 1000) AS e ON true
"""
_CHUNK: Final = 20  # readings made between two turns of the event loop


class SliStore:
    """`sli_samples` and the agreed exclusions through one login's own connection. Safe to share."""

    def __init__(self, dsn: str, command_timeout_s: float = 5.0) -> None:
        self._timeout_s = command_timeout_s
        self._readings: Any = None  # the statement, prepared on the connection of now
        self._session = Session(
            dsn,
            command_timeout_s=command_timeout_s + 1.0,  # the server gives up first, and says so
            application_name="cockpit objectives",
            prepare=self._prepare,
        )

    async def close(self) -> None:
        await self._session.close()

    async def exclusions(self) -> tuple[datetime, tuple[Exclusion, ...]]:
        """The database's clock; the exclusions that are in force, or were reverted in the last 30 days.

        Raises:
            StoreUnreachable: Postgres gives no answer.
        """
        async with self._session.use() as connection:
            rows = await connection.fetch(_EXCLUSIONS)
        return rows[0]["at"], tuple(_exclusion(row) for row in rows if row["exclusion_id"] is not None)

    async def read(
        self, objectives: Sequence[Objective], exclusions: Sequence[Exclusion], at: datetime | None = None
    ) -> Mapping[str, SliReading]:
        """Every objective's figures by name: now, by the database's clock, or for another moment.

        Raises:
            StoreUnreachable: Postgres gives no answer in time.
        """
        asked: list[Objective] = []
        questions: list[dict[str, Any]] = []
        figures: list[Objective] = []
        faults: dict[str, str] = {}
        for objective in objectives:
            try:
                if (name := figure(objective)) is None:
                    questions.append(question(len(asked), objective, exclusions))
                    asked.append(objective)
                elif name == ACKNOWLEDGEMENT:
                    figures.append(objective)
                else:
                    raise NoQuestion(f"there is no figure {name!r}; {ACKNOWLEDGEMENT} is one")
            except NoQuestion as error:
                faults[objective.name] = str(error)
        async with self._session.use():
            rows = await self._readings.fetch(json.dumps(questions), at)
        moment, minutes = rows[0]["at"], rows[0]["unacknowledged_min"]
        readings = {name: SliReading(at=moment, fault=fault) for name, fault in faults.items()}
        readings |= {objective.name: figure_reading(moment, minutes) for objective in figures}
        for place, (objective, row) in enumerate(zip(asked, rows, strict=bool(asked))):
            if place % _CHUNK == _CHUNK - 1:
                await asyncio.sleep(0)
            readings[objective.name] = reading(objective, row)
        return readings

    async def _prepare(self, connection: Any) -> None:
        """Every look-up is an index scan; without statistics the planner would guess something else."""
        await connection.execute("SET jit = off; SET enable_seqscan = off; SET enable_bitmapscan = off")
        await connection.execute(
            "SELECT set_config('statement_timeout', $1, false)", str(int(self._timeout_s * 1_000))
        )
        # Longer than what asyncpg keeps by itself, which would parse and plan it at each reading.
        self._readings = await connection.prepare(_READINGS)


def _exclusion(row: Any) -> Exclusion:
    return Exclusion(
        exclusion_id=str(row["exclusion_id"]),
        slo=row["slo"],
        from_at=row["from_at"],
        until_at=row["until_at"],
        notes=row["notes"],
        login=row["login"],
        approved_by=row["approved_by"],
        audit_seq=row["audit_seq"],
        reverted_at=row["reverted_at"],
        reverted_by=row["reverted_by"],
    )
