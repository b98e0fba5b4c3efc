"""Probe runs: judged on what the store received; failed, hung and abandoned ones trip again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from backends.audit_log import NewEntry, append
from backends.signing import KeyRing, canonical
from cockpit.authority.commit import commit
from cockpit.authority.entries import ITSELF, new_entry
from cockpit.authority.keys import keys_of
from cockpit.authority.loosening import APPENDED, draft
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.trip_events import TripEvents
from cockpit.authority.tripping import trip_itself
from cockpit.authority.world import World
from cockpit.domain.audit import Action
from cockpit.domain.breakers import BreakerId
from cockpit.domain.documents import Epoch
from cockpit.domain.probes import ProbeResult, ProbeRun, RunStatus, Verdict, judge
from cockpit.domain.refusals import Refused
from cockpit.domain.states import State, Transition

_OPEN: Final = """
SELECT run_id::text, breaker_id, redis_run_id, counter, request_id::text, login, probes, required, started_at,
       deadline, status, passed, close_until, clock_timestamp() AS now
  FROM probe_runs WHERE status = 'running' OR (status = 'passed' AND used_by IS NULL)
"""
_RESULTS: Final = """
SELECT ordinal, name, passed, latency_ms, detail, payload, key_id, signature, login, received_at
  FROM probe_results WHERE run_id = $1 ORDER BY result_id LIMIT 1000
"""
_DECIDE: Final = """
UPDATE probe_runs SET status = $2, verdict = $3, passed = $4, decided_at = clock_timestamp()
 WHERE run_id = $1 AND status IN ('running', 'passed') AND used_by IS NULL
"""


class Runs:
    """Watches every run that still means something."""

    def __init__(self, means: Means, events: TripEvents) -> None:
        self._means = means
        self._events = events

    async def step(self, world: World) -> None:
        """Judge what can be judged now.

        Raises:
            StoreUnreachable: Redis did not take a trip; the next step tries again.
        """
        async with self._means.pool.acquire() as connection:
            rows = await connection.fetch(_OPEN)
        for row in rows:
            run = _run(row)
            if run.breaker_id in self._means.catalogue and run.breaker_id not in self._means.in_flight:
                await self._judge(world, run, row["now"])

    async def _judge(self, world: World, run: ProbeRun, now: datetime) -> None:
        reading = world.readings[run.breaker_id]
        if reading.epoch != run.epoch:
            await self._decide(run, Verdict(RunStatus.ABANDONED, run.passed, "tripped before it was used"))
        elif run.status is RunStatus.PASSED:
            if run.close_until is not None and now >= run.close_until:
                verdict = Verdict(RunStatus.ABANDONED, run.passed, "passed, and not closed inside its window")
                await self._trip(world, run, verdict)
        else:
            verdict = await self._verdict(run, now)
            if verdict.status is RunStatus.PASSED and now < run.deadline and reading.state is State.HALF_OPEN:
                self._means.in_flight.add(run.breaker_id)
                self._means.spawn(self._extend(world, run, verdict, now), f"extend {run.run_id}")
            elif verdict.status is RunStatus.PASSED:
                await self._trip(
                    world, run, Verdict(RunStatus.FAILED, verdict.passed, "passed too late to be used")
                )
            elif verdict.status is not RunStatus.RUNNING:
                await self._trip(world, run, verdict)

    async def _verdict(self, run: ProbeRun, now: datetime) -> Verdict:
        async with self._means.pool.acquire() as connection:
            rows = await connection.fetch(_RESULTS, run.run_id)
            keys = await keys_of(connection, run.login)
        results = [_result(run, row) for row in rows]
        for row, result in zip(rows, results, strict=True):
            if result.login == run.login and not _attested(row, result, keys):
                return Verdict(
                    RunStatus.FAILED, 0, f"result {result.ordinal} is not signed by {run.login} as it stands"
                )
        verdict = judge(run, results, now)
        if verdict.status is RunStatus.FAILED and not results and now >= run.deadline:
            return Verdict(RunStatus.ABANDONED, 0, "abandoned: no probe reported before the deadline")
        return verdict

    async def _extend(self, world: World, run: ProbeRun, verdict: Verdict, now: datetime) -> None:
        """A passed run holds HALF_OPEN for its close window."""
        means = self._means
        window = timedelta(seconds=means.limits.close_window_s)
        item = draft(
            means,
            world,
            commit_id=str(uuid4()),
            breaker_id=run.breaker_id,
            transition=Transition.EXTEND_PROBES,
            author=ITSELF,
            notes=verdict.reason,
            reason=_reason(world, run.breaker_id),
            deadline_in=timedelta(seconds=means.limits.commit_deadline_s),
            postgres_now=now,
            details={"run_id_of_probes": run.run_id, "verdict": verdict.reason, "prober": run.login},
            message=verdict.reason,
            run_deadline=world.now + window,
            extra={"run_id": run.run_id, "passed": verdict.passed, "verdict": verdict.reason},
        )

        async def guard(connection: Any) -> object:
            await append(connection, _entry(means, Action.PROBES_PASSED, run, verdict))
            return APPENDED

        try:
            await commit(means, replace(item, guard=guard))
        except Refused as refused:
            means.health.changed(f"run {run.run_id}", str(refused))
        finally:
            means.in_flight.discard(run.breaker_id)

    async def _trip(self, world: World, run: ProbeRun, verdict: Verdict) -> None:
        """Trip first, record then: a crash between the two trips once more, which is safe."""
        await trip_itself(
            self._means,
            self._events,
            world,
            run.breaker_id,
            f"Probe run {verdict.status.value}: {verdict.reason}.",
        )
        await self._decide(run, verdict)

    async def _decide(self, run: ProbeRun, verdict: Verdict) -> None:
        async with self._means.transaction() as connection:
            await connection.execute(
                _DECIDE, run.run_id, verdict.status.value, verdict.reason, verdict.passed
            )
            await append(connection, _entry(self._means, Action.PROBES_FAILED, run, verdict))
            await tell(connection, CHANGE)


def _entry(means: Means, action: Action, run: ProbeRun, verdict: Verdict) -> NewEntry:
    details = {
        "status": verdict.status.value,
        "verdict": verdict.reason,
        "passed": verdict.passed,
        "prober": run.login,
        **run.epoch.payload(),
    }
    return new_entry(means.key, ITSELF, action, run.run_id, run.breaker_id, details)


def _run(row: Any) -> ProbeRun:
    return ProbeRun(
        row["run_id"],
        BreakerId(row["breaker_id"]),
        Epoch(row["redis_run_id"], row["counter"]),
        row["login"],
        tuple(row["probes"]),
        row["required"],
        row["started_at"],
        row["deadline"],
        RunStatus(row["status"]),
        passed=row["passed"],
        close_until=row["close_until"],
    )


def _result(run: ProbeRun, row: Any) -> ProbeResult:
    return ProbeResult(
        run.run_id,
        row["ordinal"],
        row["name"],
        run.epoch,
        row["login"],
        row["passed"],
        row["latency_ms"],
        row["detail"],
        row["received_at"],
    )


def _attested(row: Any, result: ProbeResult, keys: KeyRing) -> bool:
    """Whether the row is what its login signed for this run and this epoch."""
    payload = row["payload"].encode()
    try:
        same = canonical(result.payload()) == payload
    except ValueError:
        return False
    return same and keys.verify(row["key_id"], payload, row["signature"])


def _reason(world: World, breaker_id: BreakerId) -> str:
    document = world.readings[breaker_id].document
    return document.reason if document else ""
