"""The names of the three audit entries of a loosening (or a limit), and of its stream entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cockpit.domain.audit import Action
from cockpit.domain.states import Transition


@dataclass(frozen=True, slots=True)
class Words:
    """The three entries and the stream's name of one kind of loosening."""

    intent: Action
    outcome: Action
    void: Action
    event: str


WORDS: Final = {
    Transition.BEGIN_PROBES: Words(
        Action.HALF_OPEN_INTENT, Action.HALF_OPEN, Action.HALF_OPEN_VOID, "HALF_OPEN"
    ),
    Transition.EXTEND_PROBES: Words(Action.EXTEND_INTENT, Action.EXTEND, Action.EXTEND_VOID, "PROBES_PASSED"),
    Transition.CLOSE: Words(Action.RESET_INTENT, Action.RESET, Action.RESET_VOID, "CLOSE"),
    Transition.END_QUIET_PERIOD: Words(
        Action.QUIET_END_INTENT, Action.QUIET_END, Action.QUIET_END_VOID, "QUIET_ENDED"
    ),
    Transition.LIMIT: Words(Action.LIMIT_INTENT, Action.LIMIT, Action.LIMIT_VOID, "LIMITED"),
    Transition.LIFT: Words(Action.LIFT_INTENT, Action.LIFT, Action.LIFT_VOID, "LIFTED"),
    Transition.RELEASE: Words(Action.RELEASE_INTENT, Action.RELEASE, Action.RELEASE_VOID, "RELEASED"),
    Transition.GENESIS: Words(Action.RESTORE_INTENT, Action.GENESIS, Action.RESTORE_VOID, "RESTORED"),
    Transition.RESTORE_CLOSED: Words(Action.RESTORE_INTENT, Action.RESTORE, Action.RESTORE_VOID, "RESTORED"),
    Transition.RESTORE_QUIET_PERIOD: Words(
        Action.RESTORE_INTENT, Action.RESTORE, Action.RESTORE_VOID, "RESTORED"
    ),
}
