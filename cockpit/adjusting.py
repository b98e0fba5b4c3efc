"""Adjust by key: leave agreed time out of an error budget, take that back, lift a size limit.

All of it goes through the authority, as a signed request with one outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cockpit.domain.breakers import BreakerId
from cockpit.resuming import Resuming

if TYPE_CHECKING:
    from cockpit.desk import Desk
    from cockpit.domain.commands import Kind
    from cockpit.domain.slo_reports import SloReport
    from cockpit.domain.snapshots import BreakerSnapshot
    from cockpit.operations.resume import Wish
    from widgets.end_dialogs import PickWish
    from widgets.exclude_dialog import ExcludeWish


class Adjusting(Resuming):
    """The keys of the error budgets and of the size limits."""

    def action_exclude(self) -> None:
        from cockpit.domain.commands import Kind

        if found := self._adjusted("exclude", Kind.EXCLUDE):
            from widgets.exclude_dialog import ExcludeDialog

            report, desk, seen = found
            self.ask(ExcludeDialog(report, self.board), lambda wish: self._exclude(wish, desk, seen))

    def action_include(self) -> None:
        from cockpit.domain.commands import Kind

        if found := self._adjusted("undo", Kind.INCLUDE):
            from widgets.end_dialogs import IncludeDialog

            report, desk, seen = found
            if not any(each.in_force for each in report.exclusions):
                self.refuse(f"undo: no exclusion of {report.name} is in force")
                return
            self.ask(IncludeDialog(report.name, self.board), lambda wish: self._include(wish, desk, seen))

    def action_lift(self) -> None:
        from widgets.size_words import limits_about

        panel, seen = self._panel(), self.board.breakers
        breaker_id = panel.selected if panel is not None else None
        if breaker_id is None:
            return
        if self.desk is None or self.board.desk is None or seen is None:
            self.refuse("lift: not connected yet")
        elif not limits_about(self.board, breaker_id):
            self.refuse(f"lift: no size limit is in force on {breaker_id}, above or below it")
        else:
            from widgets.end_dialogs import LiftDialog

            desk = self.desk
            self.ask(LiftDialog(breaker_id, self.board), lambda wish: self._lift(wish, desk, seen))

    def _adjusted(self, what: str, kind: Kind) -> tuple[SloReport, Desk, BreakerSnapshot] | None:
        """The SLO under the cursor, where this login may adjust its budget; else the reason is told."""
        from cockpit.domain.slo_reports import SloReport
        from cockpit.screens.slos import SloPanel
        from widgets.next_steps import lacks

        panel, seen = self.screen, self.board.breakers
        report = panel.report if isinstance(panel, SloPanel) else None
        if report is None:
            return None
        if self.desk is None or seen is None:
            self.refuse(f"{what}: not connected yet")
            return None
        if not isinstance(report, SloReport):
            self.refuse(f"{what}: {report.name} is a plain threshold; it has no budget to adjust")
            return None
        permission = kind.permission
        if permission is not None and (why := lacks(self.board, report.breaker, permission)):
            self.refuse(f"{what}: {why}")
            self._record_kind(kind, report.breaker, self.desk)
            return None
        return report, self.desk, seen

    def _exclude(self, wish: ExcludeWish, desk: Desk, seen: BreakerSnapshot) -> None:
        from cockpit.operations.resume import exclude_wish

        asked = exclude_wish(wish.breaker_id, wish.slo, wish.from_at, wish.until_at, wish.notes)
        self._adjust(f"exclude from {wish.slo}", asked, desk, seen)

    def _include(self, wish: PickWish, desk: Desk, seen: BreakerSnapshot) -> None:
        from cockpit.operations.resume import include_wish

        self._adjust("undo", include_wish(BreakerId(wish.breaker_id), wish.picked, wish.notes), desk, seen)

    def _lift(self, wish: PickWish, desk: Desk, seen: BreakerSnapshot) -> None:
        from cockpit.operations.resume import lift_wish

        self._adjust("lift", lift_wish(BreakerId(wish.breaker_id), wish.picked, wish.notes), desk, seen)

    def _adjust(self, what: str, wish: Wish, desk: Desk, seen: BreakerSnapshot) -> None:
        self.tell(f"{what}: asked, the authority decides…", "warn")
        self.do(self._await(what, desk.ask(wish, seen)), what)
