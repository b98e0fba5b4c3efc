"""What stands in the way of a loosening: pure, asked at commit, the first obstacle answers.
Sources: pause and resume runbook 6 and 7; circuit breaker operations runbook, reset steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cockpit.authority.set_switches import under_switch
from cockpit.domain.breakers import GLOBAL, BreakerId, scope_of
from cockpit.domain.checklist import Finding, failing, missing_vouchers
from cockpit.domain.commands import Command
from cockpit.domain.documents import Epoch, Reading
from cockpit.domain.limits import Limits, clocks_differ, reset_wait
from cockpit.domain.refusals import Code, Refusal
from cockpit.domain.states import State
from cockpit.domain.text import BadNotes, justification


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The probe run of the current epoch. Times are Postgres's clock."""

    run_id: str
    request_id: str
    login: str
    status: str
    passed: int
    close_until: datetime | None
    used: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is true at the moment of a decision. `switches` are those of an instrument.

    `legacy_ok`: the legacy key mirrors the global document; for global itself, which writes it anew, that
    its value has been looked at is enough. `audited` is the epoch up to which every trip of the breaker is
    in the audit log. `chain_fault` and `store_fault` say why the chain or a store cannot be relied on; None
    where they can.
    """

    breaker_id: BreakerId
    reading: Reading
    ancestors: Sequence[Reading]
    switches: Sequence[Reading]
    legacy_ok: bool
    redis_now: datetime
    postgres_now: datetime
    audited: Epoch | None
    pending_trip: str | None = None
    run: RunFacts | None = None
    chain_fault: str | None = None
    store_fault: str | None = None

    @property
    def label(self) -> str:
        return f"{self.breaker_id} is {self.reading.state.label}"


def needs_approval(breaker_id: BreakerId, limits: Limits) -> bool:
    """Whether resuming this breaker takes a second person. The setting lists scopes or breakers."""
    return breaker_id in limits.approval_scopes or scope_of(breaker_id).value in limits.approval_scopes


def bad_notes(command: Command) -> Refusal | None:
    try:
        same = justification(command.notes) == command.notes
    except BadNotes as fault:
        return Refusal(Code.MALFORMED, f"The {fault}.", "Say in your own words why it is safe.")
    if not same:
        return Refusal(Code.MALFORMED, "The notes are not collapsed.", "Send them as the cockpit would.")
    return None


def half_open_refusal(command: Command, scene: Scene, limits: Limits) -> Refusal | None:
    """Why a probe run may not begin, or None."""
    return (
        bad_notes(command)
        or _not_open(scene)
        or stale_epoch(command.epoch, scene)
        or _run_exists(scene)
        or stricter_ancestor(scene)
        or under_switch(scene.breaker_id, scene.switches)
        or doubts(scene, limits)
        or _unvouched(command)
    )


def close_refusal(command: Command, scene: Scene) -> Refusal | None:
    """Why a close may not be considered, or None. Doubts about the stores come on top, see `doubts`."""
    return (
        bad_notes(command)
        or _not_half_open(scene)
        or stale_epoch(command.epoch, scene)
        or _not_proved(scene)
        or stricter_ancestor(scene)
        or under_switch(scene.breaker_id, scene.switches)
    )


def doubts(scene: Scene, limits: Limits) -> Refusal | None:
    """What forbids every loosening, whoever asks: unaudited or pending trips, clocks, chain, stores."""
    if scene.pending_trip:
        return Refusal(
            Code.PENDING_TRIP,
            f"A trip of {scene.pending_trip} is recorded and not in Redis yet.",
            "It comes first; look at the breaker again once it is applied.",
        )
    if scene.audited is None or scene.audited != scene.reading.epoch:
        return Refusal(
            Code.STALE_EPOCH,
            f"{scene.breaker_id} was tripped or lost its counter a moment ago.",
            "Look at it again and decide anew.",
        )
    if clocks_differ(scene.redis_now, scene.postgres_now, limits.max_clock_skew_s):
        skew = abs((scene.redis_now - scene.postgres_now).total_seconds())
        return Refusal(
            Code.CLOCKS,
            f"The stores' clocks differ by {skew:.1f} s; {limits.max_clock_skew_s:g} s are allowed.",
            "Mend the time service of the servers; trips work meanwhile.",
        )
    if scene.chain_fault:
        return Refusal(
            Code.AUDIT_BROKEN,
            f"The audit chain does not hold: {scene.chain_fault}.",
            "Run cockpit audit verify.",
        )
    if scene.store_fault:
        return Refusal(
            Code.EVIDENCE, f"{scene.store_fault}.", "Mend the evidence store; trips work meanwhile."
        )
    return None


_REMEDY: Final = {
    "error-budgets": "A safety-admin may pass over them for this epoch with half-open --override; two may"
    " agree an exclusion with cockpit slo exclude.",
    "recovery": "Meet what is missing; the incident's first-minutes page shows each. Resolve what is over.",
    "incidents": "Acknowledge them first: key a, or cockpit incident ack.",
    "error-rate": "It counts the last 30 s and the last 5 s: once mended, wait that long and ask again.",
    "latency": "It counts the last 30 s and the last 5 s: once mended, wait that long and ask again.",
}


def checklist_refusal(findings: Sequence[Finding]) -> Refusal | None:
    """The live items that fail or could not be read."""
    stopping = failing(findings)
    if not stopping:
        return None
    lines = "; ".join(f"{finding.item_id}: {finding.line}" for finding in stopping)
    remedies = [_REMEDY[each.item_id] for each in stopping if each.item_id in _REMEDY]
    if len(remedies) < len(stopping):
        remedies.append("Mend it and ask again.")
    return Refusal(Code.CHECKLIST, f"The checklist stands in the way: {lines}.", " ".join(remedies))


def rate_refusal(last_slot: datetime | None, now: datetime, limits: Limits) -> Refusal | None:
    """The one reset a minute over all breakers; a slot is never refunded."""
    wait = reset_wait(last_slot, now, limits.reset_interval_s)
    if not wait:
        return None
    seconds = max(1, -int(-wait.total_seconds() // 1))
    return Refusal(
        Code.RATE_LIMITED,
        f"One reset is allowed every {limits.reset_interval_s:g} s, over all breakers; the last is too near.",
        f"Wait {seconds} s and close again.",
    )


def approve_refusal(
    approver_person: str, asker_person: str, same_payload: bool, epoch: Epoch | None, wanted: Epoch | None
) -> Refusal | None:
    """Why an approval does not count. `wanted` is the approved request's epoch."""
    if approver_person == asker_person:
        return Refusal(
            Code.SELF_APPROVAL,
            "Requester and approver are the same person; two logins of one person count once.",
            "Ask a second person who may resume this scope; the attempt is recorded.",
        )
    if epoch != wanted or not same_payload:
        other = "The approval is for another epoch or command."
        return Refusal(Code.APPROVAL_VOID, other, "Look at the request again.")
    return None


def stale_epoch(epoch: Epoch | None, scene: Scene) -> Refusal | None:
    if epoch is not None and epoch == scene.reading.epoch:
        return None
    now = scene.reading.epoch or "unknown"
    return Refusal(
        Code.STALE_EPOCH,
        f"The command is for epoch {epoch or 'none'} of {scene.breaker_id}, which is at {now}.",
        "It was tripped since you looked: look again and decide anew.",
    )


def stricter_ancestor(scene: Scene) -> Refusal | None:
    for ancestor in scene.ancestors:
        if ancestor.state is not State.CLOSED:
            return Refusal(
                Code.ANCESTOR,
                f"{scene.breaker_id} stands under {ancestor.breaker_id}, which is {ancestor.state.label}.",
                f"Resume {ancestor.breaker_id} first.",
            )
    if scene.legacy_ok:
        return None
    if scene.breaker_id == GLOBAL:
        return Refusal(
            Code.STALE_EPOCH,
            "The key circuit_breaker:state was changed by hand a moment ago.",
            "Look at global again once the change is audited.",
        )
    return Refusal(
        Code.ANCESTOR,
        "The key circuit_breaker:state does not agree with the global breaker, which halts everything.",
        "Resume global first.",
    )


def _not_open(scene: Scene) -> Refusal | None:
    match scene.reading.state:
        case State.OPEN:
            return None
        case State.CLOSED:
            above = next((each for each in scene.ancestors if each.state is not State.CLOSED), None)
            if above is not None:
                halts = f"it is held by {above.breaker_id}, which is {above.state.label}"
                itself = f"{scene.breaker_id} itself is CLOSED; {halts}."
                return Refusal(Code.NOT_TRIPPED, itself, f"Resume {above.breaker_id}.")
            held = under_switch(scene.breaker_id, scene.switches)
            return held or Refusal(Code.NOT_TRIPPED, f"{scene.label}; nothing to resume.", "")
        case State.HALF_OPEN:
            return Refusal(
                Code.WRONG_STATE, f"{scene.label} already.", "Watch the run, then close it, or trip it again."
            )
        case State.QUIET_PERIOD:
            return Refusal(
                Code.WRONG_STATE, f"{scene.label}; it was closed already.", "Wait for its quiet period."
            )


def _run_exists(scene: Scene) -> Refusal | None:
    if scene.run is None:
        return None
    return Refusal(
        Code.RUN_EXISTS,
        f"Epoch {scene.reading.epoch} of {scene.breaker_id} had its probe run ({scene.run.status}).",
        "Trip it again first: each epoch has one run.",
    )


def _unvouched(command: Command) -> Refusal | None:
    missing = missing_vouchers(command.checked)
    if not missing:
        return None
    return Refusal(
        Code.CHECKLIST,
        f"Nobody vouches for {', '.join(item.item_id for item in missing)}.",
        "Check these and say so with --checked, or in the dialog.",
    )


def _not_half_open(scene: Scene) -> Refusal | None:
    match scene.reading.state:
        case State.HALF_OPEN:
            return None
        case State.CLOSED:
            return Refusal(Code.NOT_TRIPPED, f"{scene.label}; nothing to resume.", "")
        case State.QUIET_PERIOD:
            return Refusal(
                Code.WRONG_STATE, f"{scene.label}; it was closed already.", "Wait for its quiet period."
            )
        case State.OPEN:
            return Refusal(
                Code.WRONG_STATE,
                f"{scene.label}; only a half-open breaker closes.",
                "Half-open and probe it first.",
            )


def _not_proved(scene: Scene) -> Refusal | None:
    run = scene.run
    if run is None or run.status == "running":
        why = "has no verdict yet" if run else "has no probe run"
        return Refusal(
            Code.PROBES, f"Epoch {scene.reading.epoch} {why}.", "Close once the probes have passed."
        )
    if run.status != "passed":
        return Refusal(Code.PROBES, f"The probe run {run.status}.", "Trip it again, then half-open anew.")
    if run.used:
        return Refusal(Code.PROBES, "The probe run has authorised a close already.", "Trip it again first.")
    if run.close_until is None or scene.postgres_now >= run.close_until:
        return Refusal(
            Code.PROBES, "The window to close after the run is over.", "Trip it again, then half-open."
        )
    return None
