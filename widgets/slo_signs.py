"""How an objective's state, its budget and its trend look in text: readable without colour."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from cockpit.domain.budgets import BudgetState
from cockpit.domain.slo_reports import Report, SloReport
from cockpit.domain.slos import Limit, Op, Slo, Threshold
from cockpit.domain.text import clean
from widgets.board import Board

SYMBOL: Final = {
    BudgetState.GREEN: "●",
    BudgetState.YELLOW: "◆",
    BudgetState.ORANGE: "▲",
    BudgetState.RED: "■",
    BudgetState.NO_TRAFFIC: "○",
    BudgetState.NO_DATA: "?",
    BudgetState.STALE: "?",
    BudgetState.CONTRADICTION: "≠",
}
STYLE: Final = {
    BudgetState.GREEN: "trading",
    BudgetState.YELLOW: "limited",
    BudgetState.ORANGE: "probing",
    BudgetState.RED: "halted",
    BudgetState.NO_TRAFFIC: "dim",
    BudgetState.NO_DATA: "unknown",
    BudgetState.STALE: "unknown",
    BudgetState.CONTRADICTION: "unknown",
}
_COLOURS: Final = frozenset((BudgetState.GREEN, BudgetState.YELLOW, BudgetState.ORANGE, BudgetState.RED))
_STEPS: Final = ((0.0, "▁"), (1.0, "▂"), (3.0, "▃"), (6.0, "▅"), (14.4, "▆"))
"""Burn rates up to which a point of the trend stands so high: the factors of the burn alerts."""
FULL: Final = "█"
NONE: Final = "·"


def shown_state(board: Board, report: Report) -> BudgetState:
    """The state, as far as it is still one: what has grown old since it was read is STALE (I25)."""
    if not board.slos_readable:
        return BudgetState.STALE
    if report.state is BudgetState.NO_DATA or report.state is BudgetState.STALE:
        return report.state
    age = sample_age_s(board, report)
    return report.state if age is None or age <= _spec(report).fresh_s else BudgetState.STALE


def sample_age_s(board: Board, report: Report) -> float | None:
    """How old the newest sample is now, by its source's clock carried on by ours; None without one."""
    if report.newest_at is None or board.slos is None:
        return None
    fresh = report.read_at is not None and report.state is not BudgetState.STALE
    read_at = report.read_at if fresh and report.read_at is not None else board.slos.at
    return max(0.0, (read_at - report.newest_at).total_seconds()) + (board.slos_age_s or 0.0)


def _spec(report: Report) -> Slo | Threshold:
    return report.slo if isinstance(report, SloReport) else report.threshold


def state_words(report: Report, state: BudgetState) -> str:
    """Symbol, state and what it means: `■ RED HALT DUE`, `● GREEN KEPT`, `? NO DATA`."""
    if state not in _COLOURS:
        return f"{SYMBOL[state]} {state.value}"
    if isinstance(report, SloReport):
        return f"{SYMBOL[state]} {state.value} {state.word}"
    return f"{SYMBOL[state]} {state.value} {'KEPT' if state is BudgetState.GREEN else 'BROKEN'}"


def percent(share: Decimal | float) -> str:
    """`62 %`, `-112 %`; under ten with a digit behind the point, which then decides something."""
    number = float(share) * 100
    if abs(number) >= 100_000:
        return f"{number:.0e} %"
    text = f"{number:.1f}" if -10 < number < 10 and number else f"{number:.0f}"
    return f"{text} %"


def amount(value: float | None, unit: str) -> str:
    """`420 ms`, `9.44 %` of a share, `9.44 % of runs` of a share of runs; `-` for none."""
    if value is None:
        return "-"
    if unit == "share" or unit.startswith("share "):
        return f"{value * 100:.3g} %{clean(unit[5:], 30)}"
    return f"{value:.4g} {clean(unit, 20)}".rstrip()


def gauge(share: Decimal | float | None, cells: int) -> str:
    """A bar of `cells` for 0 to 1. Not empty while anything is left, not full before everything is there."""
    if share is None:
        return NONE * cells
    filled = round(float(min(max(share, 0), 1)) * cells)
    if 0 < share < 1:
        filled = min(max(filled, 1), cells - 1)
    return FULL * filled + "░" * (cells - filled)


def burn_words(burn: Decimal | None) -> str:
    """`14.4×`; `-` where there were no events."""
    if burn is None:
        return "-"
    return f"{burn:.1f}×" if burn < 100 else f"{min(burn, 99_999):.0f}×"


def streak_words(report: SloReport) -> str:
    """What the figure of the playbook's consecutive count says: `9 orders since the 5-minute rate fell under
    the objective`; of a limit's readings `4 bars in a row over the bound`."""
    wanted = report.slo.consecutive
    unit = clean(wanted.unit, 20) if wanted else "events"
    if isinstance(report.slo.indicator, Limit):
        side = "over" if report.slo.indicator.op in (Op.LT, Op.LTE) else "under"
        return f"{report.streak} {unit} in a row {side} the bound"
    return f"{report.streak} {unit} since the 5-minute rate fell under the objective"


def excluded_words(report: Report, brief: bool = False) -> str:
    """` · excl. 1,200`, `brief` ` · excl. 1.2k`, where agreed exclusions leave events
    out, so that a budget never looks whole by itself."""
    if not isinstance(report, SloReport):
        return ""
    if total := report.excluded.total:
        return f" · excl. {_thousands(total) if brief else f'{total:,.0f}'}"
    return " · excl. 0" if any(each.in_force for each in report.exclusions) else ""


def _thousands(number: Decimal) -> str:
    for size, sign in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g}{sign}"
    return f"{number:.0f}"


def sparkline(trend: Sequence[float | None], objective: Decimal, cells: int) -> str:
    """How fast the budget was spent, oldest left, at most `cells` points: the taller the worse. Where there
    are more than `cells`, the latest; a point without events is a dot."""
    return "".join(_point(share, float(1 - objective)) for share in trend[-cells:]) if cells > 0 else ""


def _point(share: float | None, allowed: float) -> str:
    if share is None or not 0 <= share <= 1:
        return NONE
    burn = round((1 - share) / allowed, 9)
    return next((sign for most, sign in _STEPS if burn <= most), FULL)
