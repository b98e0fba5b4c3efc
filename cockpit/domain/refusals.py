"""Why something is not done, in words that say what to do next.

A `Refusal` carries a stable code for programs, a sentence for people and the exit code of the contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    DENIED = "denied"
    BAD_SIGNATURE = "bad-signature"
    REVOKED = "revoked"
    MALFORMED = "malformed"
    NOT_TRIPPED = "not-tripped"
    WRONG_STATE = "wrong-state"
    STALE_EPOCH = "stale-epoch"
    ANCESTOR = "ancestor-stricter"
    CHECKLIST = "checklist"
    PROBES = "probes"
    RUN_EXISTS = "run-exists"
    RATE_LIMITED = "rate-limited"
    APPROVAL_NEEDED = "approval-needed"
    SELF_APPROVAL = "self-approval"
    APPROVAL_VOID = "approval-void"
    AUDIT_BROKEN = "audit-broken"
    EVIDENCE = "evidence-unavailable"
    PENDING_TRIP = "pending-trip"
    UNREVIEWED = "override-unreviewed"
    KILL_UNREVIEWED = "kill-switch-unreviewed"
    RECOVERY = "recovery-conditions"
    CLOCKS = "clocks-differ"
    EXPIRED = "expired"
    VOID = "void"
    NO_AUTHORITY = "no-authority"
    STORE = "store-unreachable"
    UNKNOWN = "unknown"  # a name or an id that nothing has
    FAILED = "failed"


EXIT_DONE = 0
EXIT_INTERNAL = 1
EXIT_USAGE = 2
EXIT_DENIED = 3
EXIT_REFUSED = 4
EXIT_UNREACHABLE = 5
EXIT_UNVERIFIED = 6

_EXIT = {
    Code.DENIED: EXIT_DENIED,
    Code.REVOKED: EXIT_DENIED,
    Code.BAD_SIGNATURE: EXIT_DENIED,
    Code.MALFORMED: EXIT_USAGE,
    Code.UNKNOWN: EXIT_USAGE,
    Code.STORE: EXIT_UNREACHABLE,
    Code.AUDIT_BROKEN: EXIT_UNVERIFIED,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """`message` is one sentence on what stands in the way, `remedy` one on what to do."""

    code: Code
    message: str
    remedy: str

    @property
    def exit_code(self) -> int:
        return _EXIT.get(self.code, EXIT_REFUSED)

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class Refused(Exception):
    """Raised where a refusal ends an operation."""

    def __init__(self, code: Code, message: str, remedy: str = "") -> None:
        self.refusal = Refusal(code, message, remedy)
        super().__init__(str(self.refusal))


class StoreUnreachable(Refused):
    """A store gave no answer, or none that can be trusted.

    `maybe_applied`: the command had been sent, so what was asked of the store may have happened.
    """

    def __init__(
        self,
        store: str,
        why: str,
        remedy: str = "`cockpit doctor` names the cause.",
        *,
        maybe_applied: bool = False,
    ) -> None:
        super().__init__(Code.STORE, f"{store} is unreachable: {why}.", remedy)
        self.store = store
        self.maybe_applied = maybe_applied


class StoreCannotWrite(StoreUnreachable):
    """The store answers, and takes no writes: full, failing disk, a replica, our login unknown to it."""
