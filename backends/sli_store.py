"""Objectives read from Postgres: every window of many objectives in one statement."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

import asyncpg

from backends.postgres_session import Session
from backends.sli_groups import Group, Groups
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
from cockpit.domain.text import clean

_READINGS: Final = files("backends").joinpath("sql/sli_readings.sql").read_text()
_EXCLUSIONS: Final = """
SELECT clock_timestamp() AS at, e.* FROM (SELECT 1) AS always LEFT JOIN LATERAL (
    SELECT * FROM slo_exclusions
     WHERE (reverted_at IS NULL AND until_at > statement_timestamp() - interval '400 days')
        OR reverted_at > statement_timestamp() - interval '30 days'
     ORDER BY created_at DESC LIMIT 1000) AS e ON true
"""
_CHUNK: Final = 20  # readings made between two turns of the event loop
_WHOLE: Final = 2.0  # times the time of one statement: after that none is begun


@dataclass(slots=True)
class _Answers:
    """What one reading has learnt: rows and faults by the objective's name."""

    at: datetime | None
    unacknowledged_min: float = 0.0
    rows: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    failure: Exception | None = None
    answered: bool = False


class SliStore:
    """`sli_samples` and the agreed exclusions through one login's own connection. Safe to share."""

    def __init__(self, dsn: str, command_timeout_s: float = 5.0) -> None:
        self._timeout_s = command_timeout_s
        self._groups = Groups(command_timeout_s)
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
        """Every objective's figures by name: now, by the database's clock, or for another moment. Those whose
        statement takes too long have a fault each.

        Raises:
            StoreUnreachable: Postgres gives no answer in time to any statement.
        """
        asked: dict[str, dict[str, Any]] = {}
        figures: list[Objective] = []
        faults: dict[str, str] = {}
        for place, objective in enumerate(objectives):
            try:
                if (name := figure(objective)) is None:
                    asked[objective.name] = question(place, objective, exclusions)
                elif name == ACKNOWLEDGEMENT:
                    figures.append(objective)
                else:
                    raise NoQuestion(f"there is no figure {name!r}; {ACKNOWLEDGEMENT} is one")
            except NoQuestion as error:
                faults[objective.name] = str(error)
        answers = await self._answers([each for each in objectives if each.name in asked], asked, at)
        moment = answers.at
        assert moment is not None  # noqa: S101 - somebody answered
        faults |= answers.faults
        readings = {name: SliReading(at=moment, fault=fault) for name, fault in faults.items()}
        minutes = answers.unacknowledged_min
        readings |= {objective.name: figure_reading(moment, minutes) for objective in figures}
        answered = [objective for objective in objectives if objective.name in answers.rows]
        for place, objective in enumerate(answered):
            if place % _CHUNK == _CHUNK - 1:
                await asyncio.sleep(0)
            readings[objective.name] = _reading(objective, answers.rows[objective.name], moment)
        return readings

    async def _answers(
        self, objectives: Sequence[Objective], asked: Mapping[str, Any], at: datetime | None
    ) -> _Answers:
        """One statement in the common case; all for the moment of the first that is answered."""
        answers, ends = _Answers(at), time.monotonic() + _WHOLE * self._timeout_s
        async with self._session.use():
            waiting = deque(self._groups.of(objectives))
            while waiting:
                group = waiting.popleft()
                if time.monotonic() >= ends:
                    late = "Postgres took too long for others: it was not asked this time"
                    answers.faults |= {each.name: late for each in group}
                    continue
                waiting.extendleft(await self._ask(group, asked, answers))
            if not answers.answered and answers.failure is not None:
                raise answers.failure
        return answers

    async def _ask(self, group: Group, asked: Mapping[str, Any], answers: _Answers) -> Sequence[Group]:
        """Ask one group. What is to be asked again, where a statement fails for some of its objectives."""
        begin = time.monotonic()
        try:
            rows = await self._readings.fetch(json.dumps([asked[each.name] for each in group]), answers.at)
        except asyncpg.QueryCanceledError as error:
            answers.failure = answers.failure or error
            again = self._groups.gave_up(group)
            why = f"Postgres gave up after {self._timeout_s:g} s on the {len(group)} that were asked together"
            answers.faults |= {each.name: why for each in group if each not in again}
            return [again] if again else []
        except asyncpg.DataError as error:
            answers.failure = answers.failure or error
            if len(group) < 2:
                fault = f"its samples cannot be summed up: {clean(str(error), 100)}"
                answers.faults |= {each.name: fault for each in group}
                return [] if answers.answered or not group else [()]  # the clock at least
            return [group[len(group) // 2 :], group[: len(group) // 2]]
        self._groups.answered(group, time.monotonic() - begin)
        answers.at, answers.answered = rows[0]["at"], True
        answers.unacknowledged_min = rows[0]["unacknowledged_min"]
        by_id = {row["id"]: row for row in rows}
        answers.rows |= {each.name: by_id[asked[each.name]["id"]] for each in group}
        return []

    async def _prepare(self, connection: Any) -> None:
        """Every look-up is an index scan; without statistics the planner would guess something else."""
        await connection.execute("SET jit = off; SET enable_seqscan = off; SET enable_bitmapscan = off")
        await connection.execute(
            "SELECT set_config('statement_timeout', $1, false)", str(int(self._timeout_s * 1_000))
        )
        # Longer than what asyncpg keeps by itself, which would parse and plan it at each reading.
        self._readings = await connection.prepare(_READINGS)


def _reading(objective: Objective, row: Any, at: datetime) -> SliReading:
    try:
        return reading(objective, row)
    except (ArithmeticError, TypeError, ValueError) as error:  # numbers beyond what is sensible
        return SliReading(at=at, fault=f"its figures cannot be read ({type(error).__name__})")


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
