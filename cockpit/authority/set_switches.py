"""The switches of an instrument as what stands in the way: while one is set no probe order passes the gate,
and a probe run proves nothing."""

from __future__ import annotations

from collections.abc import Sequence

from cockpit.domain.breakers import WITHDRAWALS, BreakerId, Scope, scope_of, symbol_of
from cockpit.domain.documents import Reading
from cockpit.domain.refusals import Code, Refusal
from cockpit.domain.switches import is_set


def under_switch(breaker_id: BreakerId, switches: Sequence[Reading]) -> Refusal | None:
    """Why a breaker is not half-opened or closed under its own `switches`; None where all are released. A
    switch in doubt is set (I4)."""
    names = [each.breaker_id for each in switches if is_set(each)]
    if not names:
        return None
    commands = dict.fromkeys(map(release_command, names))
    return Refusal(
        Code.ANCESTOR,
        f"{breaker_id} is held by {' and '.join(names)}, which {'are' if len(names) > 1 else 'is'} set:"
        " no probe order passes.",
        f"Release {'them' if len(names) > 1 else 'it'} first: {', '.join(commands)}.",
    )


def release_command(name: BreakerId) -> str:
    """What releases a switch, at the command line."""
    if name == WITHDRAWALS:
        return "cockpit withdrawals resume"
    if scope_of(name) is Scope.LATCH:
        return f"cockpit latch release {symbol_of(name)}"
    return f"cockpit mode {symbol_of(name)} NORMAL"
