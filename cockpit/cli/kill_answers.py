"""What `cockpit kill-switch` prints: the contract's object, every step, what is left and unproved."""

from __future__ import annotations

from collections.abc import Mapping

from cockpit.cli.answers import Answer, of_outcome
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.kill import KillReport, Step, StepOutcome
from cockpit.domain.refusals import EXIT_DONE, EXIT_REFUSED, EXIT_UNREACHABLE
from cockpit.domain.states import State
from cockpit.operations.kill import KillSwitch
from cockpit.operations.outcomes import Outcome


def answer_of(switch: KillSwitch) -> Answer:
    """The outcome, each step and what is left; of one that was denied the refusal alone."""
    report = switch.report
    if switch.denied:
        return of_outcome(outcome_of(switch), switch.notes)
    steps = (f"  {each.step.value:<13}{_word(each.outcome):<10}{each.line}" for each in report.steps)
    answer = of_outcome(outcome_of(switch), switch.notes, _fields(report))
    return Answer(
        answer.document, (report.line, *steps, *answer.lines[1:]), answer.exit_code, answer.messages
    )


def outcome_of(switch: KillSwitch) -> Outcome:
    """The contract's object: done only where it is FLAT."""
    report, refusal = switch.report, switch.refusal
    trip = switch.trip_outcome
    if refusal is not None and (switch.denied or (report.epoch is None and trip is None)):
        return Outcome(GLOBAL, "refused", str(refusal), refusal.exit_code, event_id=report.kill_id)
    confirmed = report.epoch is not None
    code = EXIT_DONE if report.flat else EXIT_REFUSED
    unread = any(
        each.outcome is StepOutcome.FAILED and each.step in (Step.CANCEL, Step.FLATTEN, Step.VERIFY)
        for each in report.steps
    )
    if not report.flat and (not confirmed or unread):
        code = EXIT_UNREACHABLE
    message = report.line
    if refusal is not None:
        message = f"{refusal} The trip of global stands." if confirmed else str(refusal)
    return Outcome(
        GLOBAL,
        "done" if report.flat else "pending",
        message,
        refusal.exit_code if refusal is not None else code,
        state=State.OPEN.value if confirmed else None,
        epoch=report.epoch.counter if report.epoch else None,
        event_id=report.kill_id,
        redis=confirmed,
        postgres=bool(trip and trip.postgres),
    )


def _fields(report: KillReport) -> Mapping[str, object]:
    return {
        "kill_id": report.kill_id,
        "verdict": report.verdict.value,
        "steps": [
            {
                "step": each.step.value,
                "outcome": each.outcome.value if each.outcome else None,
                "line": each.line,
                "round": each.round,
            }
            for each in report.steps
        ],
        "residuals": [
            {
                "symbol": each.symbol,
                "quantity": str(each.quantity),
                "order_id": each.order_id or None,
                "side": each.side or None,
                "why": each.why,
            }
            for each in report.residuals
        ],
        "unproved": list(report.unproved),
    }


def _word(outcome: StepOutcome | None) -> str:
    return outcome.value if outcome else "-"
