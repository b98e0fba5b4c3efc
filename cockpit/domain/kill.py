"""The kill switch: trip `global`, have every gateway acknowledge it, cancel, flatten, read the venue again.

This is its vocabulary: the facts that are found on the way, and the report. What they prove is judged in
`kill_proof`.
Sources: circuit breaker runbook, full kill switch; incident playbook, kill switch procedure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from cockpit.domain.documents import Epoch

KILL_WORD: Final = "KILL"
"""What a person types out for it."""
KILL_TARGET: Final = "kill-switch"
"""The target of the signed trip of `global` that begins one."""


class Step(StrEnum):
    TRIP = "trip"
    ACKNOWLEDGED = "acknowledged"
    CANCEL = "cancel"
    FLATTEN = "flatten"
    VERIFY = "verify"


class StepOutcome(StrEnum):
    DONE = "done"
    FAILED = "failed"
    WAITING = "waiting"
    RESIDUAL = "residual"
    FLAT = "flat"


class Verdict(StrEnum):
    FLAT = "FLAT"
    RESIDUAL = "RESIDUAL"  # orders or positions are left, as far as could be read
    UNPROVED = "UNPROVED"  # none were seen, and something that FLAT needs is not proved


@dataclass(frozen=True, slots=True)
class Ack:
    """What one gateway published of `global`: the server's run_id and the counter that it enforces."""

    run_id: str
    counter: int | None

    def covers(self, epoch: Epoch) -> bool:
        return self.run_id == epoch.run_id and self.counter is not None and self.counter >= epoch.counter


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order that rests at the venue."""

    order_id: str
    symbol: str
    side: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Held:
    """A position, signed, as the venue reports it."""

    symbol: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Tripped:
    """`epoch` is None where Redis has not confirmed the trip; `why` says what is known of it."""

    epoch: Epoch | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What the gateways had published at one moment. `why` says why it could not be read; `acks` is then
    empty."""

    acks: Mapping[str, Ack]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Acted:
    """A cancel-all or a flatten was sent under the key of `round`. `answered`: the gateway's answer came, and
    is final for that key. `refused` maps an order's id (cancel) or a symbol (flatten) to why it was not
    done."""

    step: Step
    round: int
    answered: bool
    refused: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """One reading of the venue, its orders before its positions: what fills in between is then seen in one of
    them. `after` is the number of facts when it began. None: that part could not be read, for `why`.
    `open_at` is the epoch at which `global` still read OPEN after it, None where it did not (`loosened`) or
    could not be read."""

    after: int
    orders: tuple[OpenOrder, ...] | None
    positions: tuple[Held, ...] | None
    why: str = ""
    open_at: Epoch | None = None
    loosened: bool = False


Fact = Tripped | Acknowledged | Acted | Read


@dataclass(frozen=True, slots=True)
class Residual:
    """What is left at the venue, and why: an order's id ("" for a position), its quantity (signed for a
    position)."""

    symbol: str
    quantity: Decimal
    why: str
    order_id: str = ""
    side: str = ""

    @property
    def line(self) -> str:
        what = f"{self.side} order {self.order_id} of" if self.order_id else "position of"
        return f"{what} {self.quantity} {self.symbol}: {self.why}"


@dataclass(frozen=True, slots=True)
class StepState:
    """How one step stands, in one line. `round` counts the keys that a cancel or a flatten has used."""

    step: Step
    outcome: StepOutcome | None
    line: str
    round: int = 0


@dataclass(frozen=True, slots=True)
class KillReport:
    """What is proved. `unproved` says what FLAT still lacks besides the absence of residuals."""

    kill_id: str
    epoch: Epoch | None
    steps: tuple[StepState, ...]
    residuals: tuple[Residual, ...]
    unproved: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        if self.residuals:
            return Verdict.RESIDUAL
        return Verdict.UNPROVED if self.unproved else Verdict.FLAT

    @property
    def flat(self) -> bool:
        return self.verdict is Verdict.FLAT

    def state(self, step: Step) -> StepState:
        return self.steps[tuple(Step).index(step)]

    def told(self, step: Step) -> str:
        """As it is told on the way: which step, and how it stands."""
        return f"{step.value}: {self.state(step).line}"

    @property
    def line(self) -> str:
        """The whole of it in one line."""
        if self.flat:
            return "FLAT: no open order and no position, read after every gateway acknowledged the trip."
        left = f"{len(self.residuals)} left: {'; '.join(each.line for each in self.residuals[:5])}"
        parts = (left if self.residuals else "", *self.unproved)
        return f"NOT FLAT. {'; '.join(part for part in parts if part)}."


@dataclass(frozen=True, slots=True)
class KillProgress:
    """What the runner tells after each fact: all that is proved by now, and whether it goes on by itself."""

    report: KillReport
    running: bool
    message: str = ""


def kill_key(kill_id: str, step: Step, number: int) -> str:
    """The idempotency key of one cancel-all or flatten. Whoever goes on with this kill switch makes the
    same."""
    return f"kill:{kill_id}:{step.value}:{number}"
