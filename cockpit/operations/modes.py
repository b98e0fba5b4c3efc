"""Symbol modes, safety latches and the halt of withdrawals.

Setting a switch is a trip: spool, then Redis, failing that Postgres; it waits for nobody. Releasing one is
asked of the authority. Going to a looser mode sets what it needs first, so that no order ever meets a mode in
between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import uuid4

from cockpit.domain.breakers import WITHDRAWALS, BreakerId, Catalogue, Scope, UnknownInstrument, switch_of
from cockpit.domain.commands import Command, Kind
from cockpit.domain.documents import Reading
from cockpit.domain.modes import SWITCH, Mode
from cockpit.domain.reasons import Reason
from cockpit.domain.refusals import Code, Refusal, Refused, StoreUnreachable
from cockpit.domain.switches import is_set, parse_ticket, surely_set
from cockpit.domain.text import many
from cockpit.operations.outcomes import Outcome, refused
from cockpit.operations.resume import ResumePorts, Wish, ask

LOOK_S: Final = 1.0  # how long a mode that may be a loosening waits to see what is in force
TRIP_REASON: Final = Reason.OPERATIONAL


@dataclass(frozen=True, slots=True)
class SwitchPorts:
    """`trip` signs, spools and delivers a trip and raises nothing that a store may cause; `resume` reads what
    is in force and asks the authority. `login` is whom Redis knows the asker as."""

    login: str
    catalogue: Catalogue
    trip: Callable[[Command], Awaitable[Outcome]]
    resume: ResumePorts


async def set_mode(
    symbol: str, mode: Mode, notes: str, ticket: str, ports: SwitchPorts, now: datetime
) -> Outcome:
    """Put an instrument into a mode, from whatever mode it is in. `notes` have passed `justification`.

    A stricter mode is set at once, also where nothing can be read. A looser one is released by the authority:
    CANCEL_ONLY first, then NORMAL. What is done begins with the mode that came of it.

    Raises:
        Refused: UNKNOWN symbol; or as `resume.ask`, before anything was changed.
        BadTicket: the ticket is none.
    """
    ticket, names = parse_ticket(ticket), _names(symbol, ports.catalogue)
    if mode is Mode.HARD_HALT:  # nothing is stricter: it waits for no reading
        return _into(mode.value, symbol, await _set(names[mode], notes, ticket, ports, now))
    readings = await _look(ports, tightens=mode is not Mode.NORMAL)
    if readings is None:
        outcome = await _set(names[mode], notes, ticket, ports, now)
        told = _into(f"{mode.value} or a stricter mode", symbol, outcome)
        return told.adding("What else is set could not be read; nothing was released.")
    stricter = [each for each in reversed(Mode) if each.strictness > mode.strictness and each in names]
    in_force = [each for each in stricter if is_set(readings.get(names[each]))]
    if mode is Mode.NORMAL:
        return await _to_normal(symbol, in_force, names, notes, ticket, ports, now)
    if not in_force:
        return _into(mode.value, symbol, await _set(names[mode], notes, ticket, ports, now))
    needed = dict.fromkeys((names[Mode.CANCEL_ONLY], names[mode]))
    outcomes = [
        await _set(name, notes, ticket, ports, now) for name in needed if not surely_set(readings.get(name))
    ]
    unset = next((outcome for outcome in outcomes if outcome.word != "done"), None)
    if unset is not None:
        return unset.adding(f"Nothing was released: {symbol} stays {in_force[0].value}.")
    released = await _release([names[each] for each in in_force], notes, ticket, ports, now)
    joined = _joined([*outcomes, *released])
    if joined.word == "refused":  # by the first that was not done; what was set before it stays set
        return _first(f"{symbol} stays {in_force[len(released) - 1].value}.", joined)
    return _into(mode.value, symbol, joined)


async def release_latch(symbol: str, notes: str, ports: SwitchPorts, now: datetime) -> Outcome:
    """Release a safety latch; the authority wants two consecutive clean reconciliation cycles.

    Raises:
        Refused: as `set_mode`.
    """
    _names(symbol, ports.catalogue)
    return await ask(Wish(Kind.RELEASE, switch_of(Scope.LATCH, symbol), notes), ports.resume, now)


async def halt_withdrawals(notes: str, ticket: str, ports: SwitchPorts, now: datetime) -> Outcome:
    """Set the withdrawals switch.

    Raises:
        BadTicket: the ticket is none.
    """
    return await _set(WITHDRAWALS, notes, parse_ticket(ticket), ports, now)


async def resume_withdrawals(notes: str, ticket: str, ports: SwitchPorts, now: datetime) -> Outcome:
    """Release it.

    Raises:
        Refused: as `resume.ask`.
        BadTicket: the ticket is none.
    """
    wish = Wish(Kind.RELEASE, WITHDRAWALS, notes, target=parse_ticket(ticket))
    return await ask(wish, ports.resume, now)


def hard_halt_warning(symbol: str, resting: int | None) -> str:
    """What a HARD_HALT does to orders that rest at the venue. `resting`: how many do, None where unknown."""
    number = "its resting orders (their number could not be read)"
    if resting is not None:
        number = many(resting, "resting order")
    return (
        f"HARD_HALT of {symbol} traps {number}: no cancel passes until it is released. To clear them go to"
        " CANCEL_ONLY or SOFT_HALT and cancel all first."
    )


async def _to_normal(
    symbol: str,
    in_force: list[Mode],
    names: Mapping[Mode, BreakerId],
    notes: str,
    ticket: str,
    ports: SwitchPorts,
    now: datetime,
) -> Outcome:
    if not in_force:
        refusal = Refusal(Code.NOT_TRIPPED, f"{symbol} is in NORMAL mode; nothing to release.", "")
        return refused(names[Mode.CANCEL_ONLY], refusal)
    if in_force[0] is not Mode.CANCEL_ONLY:
        refusal = Refusal(
            Code.WRONG_STATE,
            f"{symbol} is in {in_force[0].value}; it goes to CANCEL_ONLY first, then to NORMAL.",
            f"cockpit mode {symbol} CANCEL_ONLY, look at its book, then cockpit mode {symbol} NORMAL.",
        )
        return refused(names[in_force[0]], refusal)
    released = _joined(await _release([names[Mode.CANCEL_ONLY]], notes, ticket, ports, now))
    return _into(Mode.NORMAL.value, symbol, released)


def _into(mode: str, symbol: str, outcome: Outcome) -> Outcome:
    """What is done, said first: the mode. What waits or was refused speaks for itself."""
    return _first(f"{symbol} is in {mode}.", outcome) if outcome.word == "done" else outcome


def _first(said: str, outcome: Outcome) -> Outcome:
    return replace(outcome, message=f"{said} {outcome.message}".strip())


async def _set(name: BreakerId, notes: str, ticket: str, ports: SwitchPorts, now: datetime) -> Outcome:
    request = Command(
        Kind.TRIP, str(uuid4()), name, ports.login, now, reason=TRIP_REASON.value, notes=notes, target=ticket
    )
    return await ports.trip(request)


async def _release(
    names: list[BreakerId], notes: str, ticket: str, ports: SwitchPorts, now: datetime
) -> list[Outcome]:
    """The strictest first; what one refusal stops stays as it is."""
    outcomes: list[Outcome] = []
    for name in names:
        outcomes.append(await ask(Wish(Kind.RELEASE, name, notes, target=ticket), ports.resume, now))
        if outcomes[-1].word != "done":
            break
    return outcomes


async def _look(ports: SwitchPorts, *, tightens: bool) -> Mapping[BreakerId, Reading] | None:
    """What Redis shows now; None where it does not and the wish may be a tightening, which goes on (I6)."""
    try:
        async with asyncio.timeout(LOOK_S):
            return (await ports.resume.breakers.snapshot()).readings
    except (TimeoutError, Refused) as error:
        if tightens:
            return None
        if isinstance(error, Refused):
            raise
        raise StoreUnreachable("Redis", f"no answer in {LOOK_S:g} s") from error


def _joined(outcomes: list[Outcome]) -> Outcome:
    """The last one's word, and what was said on the way."""
    return replace(outcomes[-1], message=" ".join(outcome.message for outcome in outcomes))


def _names(symbol: str, catalogue: Catalogue) -> Mapping[Mode, BreakerId]:
    """
    Raises:
        Refused: the catalogue has no such instrument.
    """
    try:
        catalogue.instrument(symbol)
    except UnknownInstrument as error:
        raise Refused(Code.UNKNOWN, str(error)) from error
    return {mode: switch_of(scope, symbol) for mode, scope in SWITCH.items()}


__all__ = [
    "SwitchPorts",
    "halt_withdrawals",
    "hard_halt_warning",
    "release_latch",
    "resume_withdrawals",
    "set_mode",
]
