"""Setting modes: what waits for nothing, and what is not released where something went wrong before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.commands import Command
from cockpit.domain.documents import Document, Epoch, Reading
from cockpit.domain.limits import Limits
from cockpit.domain.modes import Mode
from cockpit.domain.refusals import Refused, StoreUnreachable
from cockpit.domain.states import State
from cockpit.domain.switches import switches_of
from cockpit.operations import modes
from cockpit.operations.outcomes import Outcome, Word
from cockpit.operations.resume import ResumePorts, Wish

CATALOGUE = Catalogue.build(["execution"], ["BTC-USD"], [])
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOTES = "the venue asked for it, see the ticket"


class Inbox:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the authority was asked: {name}")


class Breakers:
    """`found` are the readings, an error or nothing at all."""

    def __init__(self, found: Mapping[BreakerId, Reading] | Exception | None) -> None:
        self.found = found

    async def snapshot(self) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        if self.found is None:
            await asyncio.Event().wait()
        return SimpleNamespace(readings=self.found)


def ports(breakers: Any, word: Word = "done") -> tuple[modes.SwitchPorts, list[Command]]:
    tripped: list[Command] = []

    async def trip(command: Command) -> Outcome:
        tripped.append(command)
        return Outcome(command.breaker_id, word, f"{command.breaker_id} {word}.")

    resume = ResumePorts(breakers, Inbox(), lambda _: pytest.fail("signed"), Limits())  # type: ignore[arg-type]
    return modes.SwitchPorts("operator1", CATALOGUE, trip, resume), tripped


def readings(*held: str) -> dict[BreakerId, Reading]:
    found = {}
    for name in switches_of("BTC-USD"):
        state = State.OPEN if name.partition(":")[0] in held else State.CLOSED
        epoch = Epoch("a" * 40, 1)
        found[name] = Reading(name, state, epoch, Document(name, state, epoch, (), 1, "x", "", "", "e", NOW))
    return found


async def test_a_hard_halt_reads_nothing_first() -> None:  # I6
    made, tripped = ports(Inbox())
    outcome = await modes.set_mode("BTC-USD", Mode.HARD_HALT, NOTES, "OPS-1", made, NOW)
    assert outcome.word == "done"
    assert [(each.breaker_id, each.target, each.reason) for each in tripped] == [
        ("hard_halt:BTC-USD", "OPS-1", "operational")
    ]


@pytest.mark.parametrize("found", [None, StoreUnreachable("Redis", "gone"), Refused])
async def test_a_mode_that_may_be_stricter_is_set_where_nothing_can_be_read(  # I6
    monkeypatch: pytest.MonkeyPatch, found: Any
) -> None:
    monkeypatch.setattr(modes, "LOOK_S", 0.01)
    error = StoreUnreachable("Redis", "refused") if found is Refused else found
    made, tripped = ports(Breakers(error))
    outcome = await modes.set_mode("BTC-USD", Mode.SOFT_HALT, NOTES, "OPS-1", made, NOW)
    assert "nothing was released" in outcome.message
    assert [each.breaker_id for each in tripped] == ["soft_halt:BTC-USD"]
    with pytest.raises(StoreUnreachable):
        await modes.set_mode("BTC-USD", Mode.NORMAL, NOTES, "OPS-1", made, NOW)
    assert len(tripped) == 1


@pytest.mark.parametrize("word", ["pending", "refused"])
async def test_where_cancel_only_is_not_set_for_sure_nothing_is_released(word: Word) -> None:  # I7
    made, tripped = ports(Breakers(readings("hard_halt")), word)
    outcome = await modes.set_mode("BTC-USD", Mode.CANCEL_ONLY, NOTES, "OPS-1", made, NOW)
    assert outcome.word == word and "stays HARD_HALT" in outcome.message
    assert [each.breaker_id for each in tripped] == ["cancel_only:BTC-USD"]


async def test_softer_than_hard_needs_cancel_only_too() -> None:
    made, tripped = ports(Breakers(readings("hard_halt")), "pending")
    await modes.set_mode("BTC-USD", Mode.SOFT_HALT, NOTES, "OPS-1", made, NOW)
    assert [each.breaker_id for each in tripped] == ["cancel_only:BTC-USD", "soft_halt:BTC-USD"]


async def test_normal_is_reached_from_cancel_only_alone() -> None:
    for held, says in ((("hard_halt", "cancel_only"), "CANCEL_ONLY first"), ((), "nothing to release")):
        made, tripped = ports(Breakers(readings(*held)))
        outcome = await modes.set_mode("BTC-USD", Mode.NORMAL, NOTES, "OPS-1", made, NOW)
        assert outcome.word == "refused" and says in outcome.message and not tripped


@pytest.mark.parametrize(
    ("wanted", "held", "asked", "says"),
    [
        (Mode.HARD_HALT, (), (), "BTC-USD is in HARD_HALT. hard_halt:BTC-USD done."),
        (Mode.SOFT_HALT, (), (), "BTC-USD is in SOFT_HALT. soft_halt:BTC-USD done."),
        (Mode.SOFT_HALT, None, (), "BTC-USD is in SOFT_HALT or a stricter mode. soft_halt:BTC-USD done."),
        (Mode.SOFT_HALT, ("hard_halt", "cancel_only"), ("done",), "BTC-USD is in SOFT_HALT. soft_halt"),
        (Mode.CANCEL_ONLY, ("hard_halt", "soft_halt"), ("done", "done"), "BTC-USD is in CANCEL_ONLY. "),
        (Mode.CANCEL_ONLY, ("hard_halt", "soft_halt"), ("refused",), "BTC-USD stays HARD_HALT. "),
        (Mode.CANCEL_ONLY, ("hard_halt", "soft_halt"), ("done", "refused"), "BTC-USD stays SOFT_HALT. "),
        (Mode.CANCEL_ONLY, ("hard_halt",), ("pending",), "cancel_only:BTC-USD done. hard_halt"),
        (Mode.NORMAL, ("cancel_only",), ("done",), "BTC-USD is in NORMAL. cancel_only:BTC-USD released done"),
        (Mode.NORMAL, ("cancel_only",), ("refused",), "cancel_only:BTC-USD released refused"),
    ],
)
async def test_the_mode_that_came_of_it_is_said_first(
    monkeypatch: pytest.MonkeyPatch,
    wanted: Mode,
    held: tuple[str, ...] | None,
    asked: tuple[Word, ...],
    says: str,
) -> None:  # I25
    left = list(asked)

    async def ask(wish: Wish, _ports: ResumePorts, _now: datetime) -> Outcome:
        word = left.pop(0)
        return Outcome(wish.breaker_id, word, f"{wish.breaker_id} released {word}.")

    monkeypatch.setattr(modes, "ask", ask)
    made, _ = ports(Breakers(StoreUnreachable("Redis", "gone") if held is None else readings(*held)))
    outcome = await modes.set_mode("BTC-USD", wanted, NOTES, "OPS-1", made, NOW)
    assert outcome.message.startswith(says) and not left
    assert outcome.word == (asked[-1] if asked else "done")


def test_the_warning_names_how_many_are_trapped() -> None:
    assert "traps 1 resting order:" in modes.hard_halt_warning("BTC-USD", 1)
    assert "traps 7 resting orders:" in modes.hard_halt_warning("BTC-USD", 7)
    assert "could not be read" in modes.hard_halt_warning("BTC-USD", None)
