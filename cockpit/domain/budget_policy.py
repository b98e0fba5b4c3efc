"""What a spent error budget forbids. Source: the incident playbook's error budget status actions."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.budgets import ORANGE_SHARE, BudgetState
from cockpit.domain.checklist import Finding
from cockpit.domain.slo_reports import SloReport, SloSnapshot

ITEM: Final = "error-budgets"
WANTED: Final = "no objective concerned RED or unknown"
_HALVED: Final = frozenset({BudgetState.ORANGE, BudgetState.RED})
_FULL: Final = frozenset({BudgetState.GREEN, BudgetState.YELLOW})


def budget_share(snapshot: SloSnapshot, breaker_id: BreakerId) -> Decimal | None:
    """The share of normal size that the budgets of this very breaker leave: a half while one is ORANGE or
    RED, whole while all are known and neither; None where that cannot be said, and nothing changes."""
    states = {each.name: each.state for each in snapshot.slos if each.breaker == breaker_id}
    if any(state in _HALVED for state in states.values()):
        return ORANGE_SHARE
    if snapshot.book.empty and snapshot.faults:
        return None
    expected = [slo.name for slo in snapshot.book.slos if slo.breaker == breaker_id]
    return Decimal(1) if all(states.get(name) in _FULL for name in (*expected, *states)) else None


def budget_finding(
    snapshot: SloSnapshot | None, breaker_id: BreakerId, catalogue: Catalogue, override: str = ""
) -> Finding:
    """The checklist's item. `override` is a safety-admin's signed reason to resume in spite of it, be the
    budgets spent or unknown."""
    found = _judged(snapshot, breaker_id, catalogue)
    if override and found.ok is not True:
        return Finding(ITEM, True, f"OVERRIDDEN ({override}) {found.read}", WANTED)
    return found


def _judged(snapshot: SloSnapshot | None, breaker_id: BreakerId, catalogue: Catalogue) -> Finding:
    if snapshot is None:
        return Finding(ITEM, None, "the objectives could not be read", WANTED)
    if snapshot.book.empty:
        said = snapshot.faults[0] if snapshot.faults else "no objective is loaded"
        return Finding(ITEM, None if snapshot.faults else True, said, WANTED)
    concerned = snapshot.concerning(breaker_id, catalogue)
    blocking = [each for each in concerned if each.state.blocks_resume]
    unreported = snapshot.unreported(breaker_id, catalogue)
    if not blocking and unreported:
        return Finding(ITEM, None, f"nothing is known of {', '.join(unreported[:3])}", WANTED)
    if not blocking:
        return Finding(ITEM, True, f"{len(concerned)} objectives concerned, none RED or unknown", WANTED)
    read = "; ".join(f"{each.name} {each.state.value}: {each.why}" for each in blocking[:3])
    more = f"; {len(blocking) - 3} more" if len(blocking) > 3 else ""
    known = any(each.state is BudgetState.RED for each in blocking)
    return Finding(ITEM, False if known else None, f"{read}{more}", WANTED)


def halts_due(snapshot: SloSnapshot) -> tuple[SloReport, ...]:
    """The SLOs whose budget is RED: their breaker's halt is due, which the screen proposes with one key."""
    return tuple(each for each in snapshot.slos if each.state is BudgetState.RED)
