"""The authority's health, as it stands in `authority_lease.status` for screens and doctor (no secrets)."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cockpit.domain.breakers import BreakerId
from cockpit.domain.documents import rfc3339
from cockpit.domain.text import clean

log: Final = logging.getLogger("cockpit.authority")
KEPT_ALARMS: Final = 20
KEPT_SUBJECTS: Final = 1_000
UNREAD_S: Final = 15.0  # over this age a reading of the budgets counts for nothing


@dataclass(slots=True)
class ChainHealth:
    """What is known of the audit chain. `fault` None means that it holds up to `seq`; `damaged`
    is what two safety-admins have accepted as damage below it."""

    seq: int = 0
    verified_at: datetime | None = None
    full_verified_at: datetime | None = None
    fault: str | None = "not verified yet"
    damaged: list[str] = field(default_factory=list)


@dataclass(slots=True)
class BudgetHealth:
    """Whether error budgets are read. `began` is this process's clock at the last reading that came to
    something; `why` what is wrong with the newest."""

    began: float | None = None
    read_at: datetime | None = None
    objectives: int = 0
    why: str | None = "not read yet"

    def published(self) -> dict[str, object]:
        age_s = None if self.began is None else round(time.monotonic() - self.began, 1)
        old = age_s is None or age_s > UNREAD_S
        why = self.why or (f"the last reading is {age_s:g} s old" if age_s is not None and old else None)
        return {
            "ok": why is None,
            "read_at": rfc3339(self.read_at) if self.read_at else None,
            "age_s": age_s,
            "objectives": self.objectives,
            "why": why,
        }


@dataclass(slots=True)
class Health:
    """Gathered by every part of the service, published each second with the lease."""

    redis_run_id: str = ""
    redis_ok: bool = False
    replicated: bool = False  # replicas were seen attached, in this term or an earlier one
    evidence_ok: bool = True
    evidence_backlog: int = 0
    queue: int = 0
    clock_skew_s: float = 0.0
    chain: ChainHealth = field(default_factory=ChainHealth)
    alarms: list[dict[str, str]] = field(default_factory=list)
    gateways: Mapping[str, object] = field(default_factory=dict)
    pending_trips: list[str] = field(default_factory=list)
    budgets: BudgetHealth = field(default_factory=BudgetHealth)
    _said: dict[str, str] = field(default_factory=dict)

    def alarm(self, at: datetime, kind: str, breaker_id: BreakerId, message: str) -> None:
        """Raise one alarm; the newest are kept. It is logged once."""
        line = clean(message, 300)
        self.alarms.append({"at": rfc3339(at), "kind": kind, "breaker_id": breaker_id, "message": line})
        del self.alarms[:-KEPT_ALARMS]
        log.warning("%s %s: %s", kind, breaker_id, line)

    def changed(self, subject: str, state: str) -> None:
        """Log one line for each change of a subject's state, none while it stays the same."""
        line = clean(state, 300)
        if self._said.get(subject) != line:
            self._said[subject] = line
            if len(self._said) > KEPT_SUBJECTS:
                del self._said[next(iter(self._said))]
            log.info("%s: %s", subject, line)

    def published(self) -> dict[str, object]:
        """JSON for `authority_lease.status`."""
        chain = self.chain
        return {
            "redis_run_id": self.redis_run_id,
            "redis_ok": self.redis_ok,
            "replicated": self.replicated,
            "evidence_ok": self.evidence_ok,
            "evidence_backlog": self.evidence_backlog,
            "chain": {
                "ok": chain.fault is None,
                "seq": chain.seq,
                "verified_at": rfc3339(chain.verified_at) if chain.verified_at else None,
                "full_verified_at": rfc3339(chain.full_verified_at) if chain.full_verified_at else None,
                "why": chain.fault,
                "damaged": list(chain.damaged),
            },
            "queue": self.queue,
            "alarms": list(self.alarms),
            "gateways": dict(self.gateways),
            "pending_trips": list(self.pending_trips),
            "clock_skew_s": round(self.clock_skew_s, 3),
            "budgets": self.budgets.published(),
        }
