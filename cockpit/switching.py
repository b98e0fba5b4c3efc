"""Switches by key: a symbol's mode, its latch, all its orders, withdrawals.

Setting one is a trip and waits for nothing; releasing one is asked of the authority.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from cockpit.adjusting import Adjusting
from cockpit.domain.breakers import WITHDRAWALS, BreakerId, Scope, switch_of

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from cockpit.desk import Desk
    from cockpit.domain.modes import Mode
    from cockpit.domain.snapshots import BreakerSnapshot
    from cockpit.operations.outcomes import Outcome
    from cockpit.recon_feed import ReconFeed, ReconRead
    from widgets.latch_dialog import LatchDialog
    from widgets.mode_dialog import ModeWish
    from widgets.switch_dialogs import SwitchWish

MODE: Final = "reconciliation"
CYCLES_S: Final = 2.0


class Switching(Adjusting):
    """The keys of the switches, and of panel 4."""

    recon_feed: ReconFeed | None = None

    def recon_shown(self) -> None:
        """Reconciliation is read while its panel is looked at."""
        if self.recon_feed is not None:
            self.recon_feed.show(self.current_mode == MODE)

    def on_recon_read(self, message: ReconRead) -> None:
        self.update_board(recon=message.snapshot, recon_at=message.monotonic, recon_error=None)

    def action_mode(self) -> None:
        self.open_mode(None)

    def open_mode(self, proposed: Mode | None) -> None:
        """The dialog on the instrument's mode; `proposed` is marked from the start."""
        if found := self._symbol("mode", Scope.CANCEL_ONLY):
            from widgets.mode_dialog import ModeDialog

            symbol, desk = found
            seen = self.board.breakers
            self.ask(ModeDialog(symbol, self.board, proposed), lambda wish: self._set_mode(wish, desk, seen))

    def action_cancel_all(self) -> None:
        if found := self._symbol("cancel all", Scope.INSTRUMENT):
            from widgets.switch_dialogs import CancelAllDialog

            symbol, desk = found
            self.ask(CancelAllDialog(symbol, self.board), lambda wish: self._cancel_all(wish, desk))

    def action_release_latch(self) -> None:
        panel = self._panel()
        symbol = panel.symbol if panel is not None else None
        if symbol is None:
            self.refuse("release: no instrument is under the cursor")
        elif desk := self._may("release", switch_of(Scope.LATCH, symbol), releases=True):
            from widgets.switch_words import latched

            if latched(self.board, symbol) is False:
                self.refuse(f"release: the latch of {symbol} is not set")
                return
            from widgets.latch_dialog import LatchDialog

            dialog, seen = LatchDialog(symbol, self.board), self.board.breakers
            self.ask(dialog, lambda wish: self._release(wish, desk, seen))
            self.do(self._keep_cycles(dialog), "clean cycles")

    async def _keep_cycles(self, dialog: LatchDialog) -> None:
        """Count the clean cycles anew as long as the dialog is open, as the authority will."""
        from cockpit.domain.refusals import Refused

        while dialog in self.screen_stack and self.recon_feed is not None:
            since = dialog.since(self.board)
            try:
                store = await self.recon_feed.store()
                fresh_s = self.board.limits.reconciliation_fresh_s
                dialog.counted(await store.clean_cycles(dialog.symbol, since, fresh_s) if since else None)
            except Refused as error:
                dialog.counted(None, error.refusal.message)
            await asyncio.sleep(CYCLES_S)

    def action_withdrawals(self) -> None:
        if desk := self._may("withdrawals", WITHDRAWALS):
            from widgets.switch_dialogs import WithdrawalsDialog

            dialog, seen = WithdrawalsDialog(self.board), self.board.breakers
            self.ask(dialog, lambda wish: self._withdrawals(wish, dialog.resumes, desk, seen))

    def _symbol(self, what: str, scope: Scope) -> tuple[str, Desk] | None:
        """The instrument under the cursor, where this login may halt it; else the reason is told."""
        panel = self._panel()
        symbol = panel.symbol if panel is not None else None
        if panel is None:
            return None
        if symbol is None:
            self.refuse(f"{what}: put the cursor on an instrument")
            return None
        desk = self._may(what, switch_of(scope, symbol))
        return None if desk is None else (symbol, desk)

    def _may(self, what: str, switch: BreakerId, *, releases: bool = False) -> Desk | None:
        """The desk, where this login may set the switch, or release it; else the reason is told, and the
        attempt recorded."""
        from cockpit.domain.commands import Kind
        from cockpit.domain.permissions import Permission
        from widgets.next_steps import lacks

        if self._panel() is None:
            return None
        if self.desk is None:
            self.refuse(f"{what}: not connected yet")
            return None
        kind = Kind.RELEASE if releases else Kind.TRIP
        permission = Permission.RESET_CIRCUIT if releases else Permission.TRIP_CIRCUIT
        if why := lacks(self.board, switch, permission):
            self.refuse(f"{what}: {why}")
            self._record_kind(kind, switch, self.desk)
            return None
        return self.desk

    # -- what was confirmed ---------------------------------------------------------------------------------

    def _set_mode(self, wish: ModeWish, desk: Desk, seen: BreakerSnapshot | None) -> None:
        from cockpit import switch_desk

        what = f"mode {wish.symbol}"
        self.tell(f"{what}: {wish.mode.value} asked…", "warn")
        asked = switch_desk.mode(desk, wish.symbol, wish.mode, wish.notes, wish.ticket, seen)
        self.do(self._switched(what, asked, desk), what)

    def _cancel_all(self, wish: SwitchWish, desk: Desk) -> None:
        from cockpit import switch_desk

        what = f"cancel all {wish.symbol}"
        self.tell(f"{what}: sent to the gateway…", "warn")
        self.do(self._await(what, switch_desk.cancel_all(desk, wish.symbol, wish.notes, wish.ticket)), what)

    def _release(self, wish: SwitchWish, desk: Desk, seen: BreakerSnapshot | None) -> None:
        from cockpit import switch_desk

        what = f"release {wish.symbol}"
        self.tell(f"{what}: asked, the authority decides…", "warn")
        self.do(self._await(what, switch_desk.latch(desk, wish.symbol, wish.notes, seen)), what)

    def _withdrawals(self, wish: SwitchWish, resumes: bool, desk: Desk, seen: BreakerSnapshot | None) -> None:
        from cockpit import switch_desk

        self.tell("withdrawals: asked, the authority decides…" if resumes else "halting withdrawals…", "warn")
        asked = switch_desk.withdrawals(desk, resumes, wish.notes, wish.ticket, seen)
        self.do(self._switched("withdrawals", asked, desk), "withdrawals")

    async def _switched(self, what: str, asked: Coroutine[Any, Any, Outcome], desk: Desk) -> None:
        """A switch that is set is a trip: where Redis did not take it, it waits in the spool (F10)."""
        await self._await(what, asked)
        await self._look_at_spool(desk, deliver=False)
