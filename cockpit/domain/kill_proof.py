"""What the facts of a kill switch prove: a pure function of their list, so that another cockpit may go on
from any of them.

FLAT needs all of: Redis confirmed the trip with its epoch; every registered gateway has published an epoch of
that server which is no older; open orders and positions, read after both, are none; and `global`, read after
these, is still OPEN at that epoch or a later one (I14, I15). Nothing here ever takes the trip back (I17).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cockpit.domain.documents import Epoch
from cockpit.domain.kill import (
    Ack,
    Acknowledged,
    Acted,
    Fact,
    Held,
    KillReport,
    OpenOrder,
    Read,
    Residual,
    Step,
    StepOutcome,
    StepState,
    Tripped,
)
from cockpit.domain.text import many


@dataclass(frozen=True, slots=True)
class KillState:
    """Everything known of one kill switch. `gateways` are those that are registered in the settings; the
    first `earlier` facts are of the attempt that is gone on with."""

    kill_id: str
    gateways: tuple[str, ...]
    facts: tuple[Fact, ...] = ()
    earlier: int = 0

    def adding(self, fact: Fact) -> KillState:
        return replace(self, facts=(*self.facts, fact))

    @property
    def epoch(self) -> Epoch | None:
        """Of the newest trip that Redis confirmed."""
        return next((epoch for fact in reversed(self.facts) if (epoch := _confirmed(fact))), None)

    @property
    def missing(self) -> tuple[str, ...]:
        """Registered gateways without a published epoch that covers the trip; all, while it is not
        confirmed."""
        found = self._acknowledged()
        return tuple(name for name in self.gateways if name not in found)

    @property
    def other_server(self) -> bool:
        """Whether some gateway follows a Redis server that has confirmed no trip of this kill switch: it was
        restarted or replaced, and must be tripped again."""
        known = {fact.epoch.run_id for fact in self.facts if isinstance(fact, Tripped) and fact.epoch}
        return bool(known) and any(ack.run_id not in known for ack in self._newest_acks().values())

    def acted(self, step: Step) -> Acted | None:
        """The newest fact of a cancel or a flatten."""
        return next((f for f in reversed(self.facts) if isinstance(f, Acted) and f.step is step), None)

    @property
    def read(self) -> Read | None:
        return next((fact for fact in reversed(self.facts) if isinstance(fact, Read)), None)

    @property
    def loosened(self) -> bool:
        """Whether the newest reading found `global` no longer OPEN, and nothing has tripped it since."""
        last = next((fact for fact in reversed(self.facts) if isinstance(fact, Read | Tripped)), None)
        return isinstance(last, Read) and last.loosened

    def next_round(self, step: Step) -> int | None:
        """Under which round's key to send next; None where nothing may be sent.

        A lost reply is asked for again under the same key. A new key follows only a final answer and a later
        reading that shows something left (I16).
        """
        last = self.acted(step)
        if last is None:
            return 1
        if not last.answered:
            return last.round
        left = self._left(step, self._index(last))
        return last.round + 1 if left else None

    def report(self) -> KillReport:
        proved_at = self._proved_at()
        residuals = self._residuals()
        gaps = (*self._halt_gaps(), self._read_gap(proved_at), self._open_gap())
        unproved = tuple(why for why in gaps if why)
        steps = (
            self._trip_state(),
            self._ack_state(),
            self._acted_state(Step.CANCEL),
            self._acted_state(Step.FLATTEN),
            self._verify_state(residuals, unproved),
        )
        return KillReport(self.kill_id, self.epoch, steps, residuals, unproved)

    def _index(self, fact: Fact) -> int:
        return next(index for index, each in enumerate(self.facts) if each is fact)

    def _newest_acks(self) -> Mapping[str, Ack]:
        """Each registered gateway's newest word."""
        found: dict[str, Ack] = {}
        for fact in self.facts:
            if isinstance(fact, Acknowledged):
                found |= {name: ack for name, ack in fact.acks.items() if name in self.gateways}
        return found

    def _acknowledged(self) -> Mapping[str, int]:
        """Registered gateways that cover the trip, each with the index of the fact that first said so."""
        epoch = self.epoch
        found: dict[str, int] = {}
        if epoch is None:
            return found
        for index, fact in enumerate(self.facts):
            if isinstance(fact, Acknowledged):
                for name, ack in fact.acks.items():
                    if name in self.gateways and ack.covers(epoch):
                        found.setdefault(name, index)
        return found

    def _proved_at(self) -> int | None:
        """Index of the fact with which trip and acknowledgements were complete; None: they are not."""
        confirmed = [index for index, fact in enumerate(self.facts) if _confirmed(fact)]
        if not confirmed or not self.gateways or self.missing:
            return None
        return max(confirmed[-1], *self._acknowledged().values())

    def _halt_gaps(self) -> tuple[str, ...]:
        gaps = []
        if self.epoch is None:
            gaps.append("Redis has not confirmed the trip of global")
        if not self.gateways:
            gaps.append("no gateway is registered in the settings, so none can acknowledge")
        elif self.missing:
            gaps.append(f"not acknowledged by {', '.join(self.missing)}")
        return tuple(gaps)

    def _read_gap(self, proved_at: int | None) -> str:
        read = self.read
        if read is None:
            return "the venue has not been read"
        if read.orders is None or read.positions is None:
            part = "open orders" if read.orders is None else "positions"
            return f"the venue's {part} could not be read ({read.why or 'no answer'})"
        if proved_at is not None and read.after <= proved_at:
            return "the venue was read before the halt was acknowledged, not since"
        return ""

    def _open_gap(self) -> str:
        """A trip that was confirmed once proves nothing of now: whoever goes on may come after a resume."""
        read, epoch = self.read, self.epoch
        if read is None or epoch is None or still_open(read.open_at, epoch):
            return ""
        if read.loosened:
            return "global was no longer OPEN after the venue was read"
        return "global could not be read as OPEN after the venue was read"

    def _left(self, step: Step, since: int) -> Sequence[OpenOrder | Held]:
        """What a reading that began after the fact `since` shows of the kind that `step` works on."""
        read = self.read
        if read is None or read.after <= since:
            return ()
        return (read.orders if step is Step.CANCEL else _held(read)) or ()

    def _residuals(self) -> tuple[Residual, ...]:
        read = self.read
        if read is None:
            return ()
        cancel, flatten = self.acted(Step.CANCEL), self.acted(Step.FLATTEN)
        orders = [
            Residual(
                each.symbol, each.quantity, self._reason(cancel, each.order_id), each.order_id, each.side
            )
            for each in read.orders or ()
        ]
        positions = [
            Residual(each.symbol, each.quantity, self._reason(flatten, each.symbol)) for each in _held(read)
        ]
        return (*orders, *positions)

    def _reason(self, last: Acted | None, name: str) -> str:
        if last is None:
            return "nothing was sent yet"
        if not last.answered:
            return self._dated(last, last.why or "the gateway has not answered yet")
        why = last.refused.get(name) or last.why
        return self._dated(last, why) if why else "still there after it was answered"

    def _dated(self, last: Acted, why: str) -> str:
        """What kept something at an earlier attempt, such as a mode, may have ended since."""
        return f"{why} (as of the earlier attempt)" if self._index(last) < self.earlier else why

    def _trip_state(self) -> StepState:
        last = next((fact for fact in reversed(self.facts) if isinstance(fact, Tripped)), None)
        if self.epoch is not None:
            return StepState(
                Step.TRIP, StepOutcome.DONE, f"global is OPEN · HALTED, epoch {self.epoch.counter}"
            )
        if last is None:
            return StepState(Step.TRIP, None, "")
        return StepState(Step.TRIP, StepOutcome.WAITING, last.why or "not confirmed by Redis yet")

    def _ack_state(self) -> StepState:
        step = Step.ACKNOWLEDGED
        if not self.gateways:
            return StepState(step, StepOutcome.FAILED, "no gateway is registered in the settings")
        last = next((fact for fact in reversed(self.facts) if isinstance(fact, Acknowledged)), None)
        if last is None:
            return StepState(step, None, "")
        if not self.missing:
            return StepState(step, StepOutcome.DONE, f"by {', '.join(self.gateways)}")
        why = f" ({last.why})" if last.why else ""
        return StepState(step, StepOutcome.WAITING, f"not by {', '.join(self.missing)} yet{why}")

    def _acted_state(self, step: Step) -> StepState:
        last = self.acted(step)
        if last is None:
            return StepState(step, None, "")
        if not last.answered:
            why = self._dated(last, last.why or "sent, no answer yet")
            return StepState(step, StepOutcome.FAILED, why, last.round)
        read = self.read
        seen = None if read is None else (read.orders if step is Step.CANCEL else read.positions)
        if read is None or seen is None or read.after <= self._index(last):
            return StepState(
                step, StepOutcome.WAITING, "answered, not confirmed by the venue yet", last.round
            )
        what = "open order" if step is Step.CANCEL else "position"
        left = len(self._left(step, self._index(last)))
        if left:
            return StepState(step, StepOutcome.RESIDUAL, f"{many(left, what)} left", last.round)
        return StepState(step, StepOutcome.DONE, f"the venue shows no {what}s", last.round)

    def _verify_state(self, residuals: Sequence[Residual], unproved: Sequence[str]) -> StepState:
        read = self.read
        if read is None:
            return StepState(Step.VERIFY, None, "")
        if residuals:
            return StepState(
                Step.VERIFY, StepOutcome.RESIDUAL, "; ".join(each.line for each in residuals[:5])
            )
        if unproved:
            unread = read.orders is None or read.positions is None
            outcome = StepOutcome.FAILED if unread else StepOutcome.WAITING
            return StepState(Step.VERIFY, outcome, "; ".join(unproved))
        return StepState(Step.VERIFY, StepOutcome.FLAT, "no open order and no position")


def still_open(open_at: Epoch | None, epoch: Epoch) -> bool:
    """Whether `global`, which read OPEN at `open_at`, still is by the trip of `epoch` or a later one."""
    return open_at is not None and open_at.run_id == epoch.run_id and open_at.counter >= epoch.counter


def _confirmed(fact: Fact) -> Epoch | None:
    """The epoch of a trip that Redis confirmed; one of an unnamed server proves nothing."""
    epoch = fact.epoch if isinstance(fact, Tripped) else None
    return epoch if epoch is not None and epoch.run_id else None


def _held(read: Read) -> tuple[Held, ...]:
    return tuple(each for each in read.positions or () if each.quantity)
