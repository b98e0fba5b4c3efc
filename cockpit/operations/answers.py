"""What to tell a person about a request as its row stands. What is not confirmed is never done (I25)."""

from __future__ import annotations

from cockpit.domain.commands import Kind
from cockpit.domain.desk import RequestRow
from cockpit.domain.refusals import EXIT_DONE, EXIT_REFUSED, EXIT_UNREACHABLE, Code, Refusal
from cockpit.operations.outcomes import Outcome, from_fields, unknown


def outcome_of(row: RequestRow) -> Outcome:
    """What to tell a person about a request as its row stands."""
    if row.status in ("new", "committing"):
        return unknown(row.breaker_id, row.request_id, "the authority has not decided in time")
    if row.status == "awaiting_approval":
        return Outcome(
            row.breaker_id,
            "pending",
            f"Awaits a second person: `cockpit approve {row.request_id}` by {_second(row)}.",
            EXIT_REFUSED,
            event_id=row.request_id,
            audit_seq=row.audit_seq,
            postgres=True,
        )
    refusal = Refusal(_code(row), row.message or f"The request is {row.status}.", "")
    exit_code = EXIT_DONE if row.status == "done" else refusal.exit_code
    if row.outcome is not None:
        unconfirmed = row.status == "done" and row.outcome.get("outcome") == "pending"
        return from_fields(row.outcome, EXIT_UNREACHABLE if unconfirmed else exit_code)
    if row.status == "done":
        return Outcome(row.breaker_id, "done", row.message or "Done.", event_id=row.request_id, postgres=True)
    return Outcome(
        row.breaker_id,
        "refused",
        str(refusal),
        exit_code,
        event_id=row.request_id,
        audit_seq=row.audit_seq,
        postgres=True,
    )


def _second(row: RequestRow) -> str:
    if row.kind in (Kind.EXCLUDE.value, Kind.KILL_REVIEW.value):
        return "another safety-admin"
    return f"someone else who may resume {row.breaker_id}"


def _code(row: RequestRow) -> Code:
    plain = {
        "expired": Code.EXPIRED,
        "void": Code.VOID,
        "denied": Code.DENIED,
        "rejected": Code.BAD_SIGNATURE,
    }
    try:
        return Code(row.code or "")
    except ValueError:
        return plain.get(row.status, Code.FAILED)
