"""The probe run and its quorum: N distinct results of one epoch inside one deadline.

Source: pause and resume runbook 6.B (N=5 probes, at least 4 must pass).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import isfinite

from cockpit.domain.breakers import BreakerId
from cockpit.domain.documents import Epoch
from cockpit.domain.probe_names import ProbeName

__all__ = ["ProbeName", "ProbeResult", "ProbeRun", "RunStatus", "Verdict", "attestation", "judge"]


class RunStatus(StrEnum):
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class ProbeRun:
    """One run: who runs it, for which epoch, which probes in which order, until when."""

    run_id: str
    breaker_id: BreakerId
    epoch: Epoch
    login: str
    probes: tuple[str, ...]
    required: int
    started_at: datetime
    deadline: datetime
    status: RunStatus = RunStatus.RUNNING
    verdict: str = ""
    passed: int = 0
    close_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One attested result. `received_at` is the store's time, `detail` says what was read and wanted."""

    run_id: str
    ordinal: int
    name: str
    epoch: Epoch
    login: str
    passed: bool
    latency_ms: float
    detail: str
    received_at: datetime

    def payload(self) -> dict[str, object]:
        """What the prober signs. The latency is carried as text, since RFC 8785 dislikes odd floats."""
        return attestation(
            self.run_id,
            self.ordinal,
            self.name,
            self.epoch,
            self.login,
            self.passed,
            self.latency_ms,
            self.detail,
        )


def attestation(
    run_id: str,
    ordinal: int,
    name: str,
    epoch: Epoch,
    login: str,
    passed: bool,
    latency_ms: float,
    detail: str,
) -> dict[str, object]:
    """The payload of one probe result, before it has been received by a store."""
    return {
        "run_id": run_id,
        "ordinal": ordinal,
        "name": name,
        "epoch": epoch.payload(),
        "login": login,
        "passed": passed,
        "latency_ms": f"{latency_ms:.3f}",
        "detail": detail,
    }


@dataclass(frozen=True, slots=True)
class Verdict:
    """RUNNING while results may still come; `reason` says what failed the run or what it counted."""

    status: RunStatus
    passed: int
    reason: str


def judge(run: ProbeRun, results: Sequence[ProbeResult], now: datetime) -> Verdict:
    """Judge a run on what the store received. `now` is the store's time.

    Exactly the run's probes, each once, of its epoch, by its login, received before its deadline, at
    least `required` of them passed. A duplicate, late, foreign or unknown result fails the run at once;
    an absent one fails it at the deadline.
    """
    passed = sum(result.passed for result in results)

    def failed(why: str) -> Verdict:
        return Verdict(RunStatus.FAILED, passed, why)

    seen: set[int] = set()
    for result in results:
        if result.run_id != run.run_id or result.epoch != run.epoch:
            return failed(f"result {result.ordinal} is of another run or epoch")
        if result.login != run.login:
            return failed(f"result {result.ordinal} was sent by {result.login}, not by {run.login}")
        if not 0 <= result.ordinal < len(run.probes) or run.probes[result.ordinal] != result.name:
            return failed(f"result {result.ordinal} ({result.name}) is not a probe of this run")
        if result.ordinal in seen:
            return failed(f"probe {result.name} reported twice")
        if not isfinite(result.latency_ms) or result.latency_ms < 0:
            return failed(f"probe {result.name} reported no latency that can be")
        if result.received_at >= run.deadline:
            return failed(f"probe {result.name} reported after the deadline")
        seen.add(result.ordinal)
    total = len(run.probes)
    missing = total - len(seen)
    failures = len(seen) - passed
    if failures > total - run.required:
        return failed(f"{failures} of {total} probes failed; {run.required} must pass")
    if missing and now >= run.deadline:
        return failed(f"{missing} of {total} probes absent at the deadline")
    if missing:
        return Verdict(RunStatus.RUNNING, passed, f"{len(seen)} of {total} probes reported")
    return Verdict(RunStatus.PASSED, passed, f"{passed} of {total} probes passed")
