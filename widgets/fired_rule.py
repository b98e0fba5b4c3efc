"""Which rule made a trip, read from the notes that the guard writes: on a small screen it stands first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from cockpit.domain.text import clean

if TYPE_CHECKING:
    from widgets.board import Board

AUTOMATION: Final = "automation-role"
_RULE: Final = re.compile(
    r"Rule (?P<rule>[^\s:]{1,60})(?: of (?P<subject>[^\s:]{1,60}))?: (?P<rest>.*)", re.S
)


class FiredRule(NamedTuple):
    """`words`: `rule slippage-run of BTC-USD`; `rest`: title, value, threshold and samples."""

    words: str
    rest: str


def fired_rule(notes: str, breaker_id: str) -> FiredRule | None:
    """The rule that notes name, None where no rule wrote them. The subject is left out where the breaker's
    own name says it."""
    found = _RULE.match(notes)
    if found is None:
        return None
    subject = found["subject"] or ""
    of = f" of {subject}" if subject and breaker_id.rpartition(":")[2] != subject else ""
    return FiredRule(clean(f"rule {found['rule']}{of}", 140), clean(found["rest"], 300))


def written_by_rule(board: Board, event_id: str) -> bool:
    """Whether the audit log has this trip as an automation's own: a person may begin notes like a rule."""
    audit = board.desk.audit if board.desk else ()
    return any(row.event_id == event_id and row.role == AUTOMATION for row in audit)
