"""Resume by key: half-open, the probe run, close, a second person's approval, incidents."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from cockpit.domain.breakers import BreakerId
from cockpit.halting import Halting

if TYPE_CHECKING:
    from cockpit.desk import Desk
    from cockpit.domain.desk import RequestRow, RunRow
    from cockpit.domain.documents import Epoch
    from cockpit.domain.snapshots import BreakerSnapshot
    from cockpit.operations.outcomes import Outcome
    from widgets.acknowledge_dialog import AcknowledgeWish
    from widgets.approve_dialog import ApproveWish
    from widgets.close_dialog import CloseWish
    from widgets.half_open_dialog import HalfOpenWish

FINDINGS_S = 2.0


class Resuming(Halting):
    """The loosening half of the screen: everything here goes through the authority."""

    def action_half_open(self) -> None:
        if target := self._target("half_open"):
            from widgets.half_open_dialog import HalfOpenDialog

            breaker_id, desk = target
            seen = self.board.breakers
            dialog = HalfOpenDialog(breaker_id, self.board)
            self.ask(dialog, lambda wish: self._half_open(wish, seen))
            self.do(self._keep_findings(dialog, breaker_id, desk), "checklist")

    async def _keep_findings(self, dialog: Any, breaker_id: str, desk: Desk) -> None:
        """Read the live items again as long as the dialog is open."""
        while dialog in self.screen_stack:
            alive = self.board.authority_alive  # what a silent one said last is old
            status = self.board.authority_status if alive else {}
            dialog.findings(await desk.findings(BreakerId(breaker_id), status))
            await asyncio.sleep(FINDINGS_S)

    def _half_open(self, wish: HalfOpenWish, seen: BreakerSnapshot | None) -> None:
        if self.desk is not None and seen is not None:
            self.tell(f"half-open {wish.breaker_id}: asked, the authority decides…", "warn")
            self.do(self._half_open_now(wish, seen, self.desk), f"half-open {wish.breaker_id}")

    async def _half_open_now(self, wish: HalfOpenWish, seen: BreakerSnapshot, desk: Desk) -> None:
        from cockpit.operations.resume import half_open_wish

        self._half_opening[wish.breaker_id], begun = "", None
        try:
            asked = half_open_wish(wish.breaker_id, wish.notes, wish.checked, wish.override)
            outcome = await desk.ask(asked, seen)
            begun = outcome.event_id if outcome.word == "done" else None
        finally:
            if begun:
                self._half_opening[wish.breaker_id] = begun  # until its run is on the board
            else:
                self._half_opening.pop(wish.breaker_id, None)
        if outcome.event_id:
            self._own_half_opens.add(outcome.event_id)
        self._outcome(f"half-open {wish.breaker_id}", outcome)
        if outcome.word == "done":
            self.tell(f"{wish.breaker_id} is HALF_OPEN · PROBING; its probes run (p)", "good")
            self._run_view(wish.breaker_id, self.board.epoch(wish.breaker_id))

    def action_probe_run(self) -> None:
        from cockpit.domain.probes import RunStatus

        if target := self._target("probes"):
            row = self.board.last_run(target[0])
            if row is not None and not row.results and row.run.status is RunStatus.RUNNING:
                self._own_half_opens.add(row.request_id)  # one's own from before a restart: start it
                self.data_changed()
            self._run_view(target[0], row.run.epoch if row is not None else None)

    def _run_view(self, breaker_id: str, epoch: Epoch | None) -> None:
        from widgets.views import RunView

        def answered(key: str) -> None:
            if key == "close":
                self.action_close()

        self.ask(RunView(breaker_id, self.board, epoch), answered)

    def data_changed(self) -> None:
        """A new snapshot is on the board: start one's own probe runs, read one's own evidence back."""
        desk, board = self.desk, self.board
        if desk is None or board.desk is None or board.breakers is None:
            return
        from cockpit.domain.probes import RunStatus

        for row in board.desk.runs:
            mine = row.run.login == desk.stores.login and row.request_id in self._own_half_opens
            if self._half_opening.get(row.run.breaker_id) == row.request_id:
                del self._half_opening[row.run.breaker_id]
            if mine and row.run.status is RunStatus.RUNNING and row.run.run_id not in self._own_runs:
                self._own_runs[row.run.run_id] = self.do(self._probe(row, board.breakers, desk), "probe run")
            if mine and row.run.status is not RunStatus.RUNNING and row.run.run_id not in self._told_runs:
                self._told_runs.add(row.run.run_id)
                self._tell_end(row)
        self._read_evidence(desk)

    def _tell_end(self, row: RunRow) -> None:
        from widgets.run_lines import ended

        self.tell(*ended(self.board, row))

    async def _probe(self, row: RunRow, seen: BreakerSnapshot, desk: Desk) -> None:
        left = (row.run.deadline - self.board.desk_now).total_seconds()
        await desk.run_probes(row, seen, left)
        self.wake_feeds()

    def action_close(self) -> None:
        if target := self._target("close"):
            from widgets.close_dialog import CloseDialog

            seen = self.board.breakers
            self.ask(CloseDialog(target[0], self.board), lambda wish: self._close(wish, seen))

    def _close(self, wish: CloseWish, seen: BreakerSnapshot | None) -> None:
        if self.desk is not None and seen is not None:
            from cockpit.domain.commands import Kind
            from cockpit.operations.resume import Wish

            self.tell(f"close {wish.breaker_id}: asked, the authority probes once more and decides…", "warn")
            asked = self.desk.ask(Wish(Kind.CLOSE, wish.breaker_id, wish.notes), seen)
            self.do(self._await(f"close {wish.breaker_id}", asked), f"close {wish.breaker_id}")

    async def _await(self, what: str, asked: Coroutine[Any, Any, Outcome]) -> None:
        self._outcome(what, await asked)

    def action_approvals(self) -> None:
        from widgets.approve_dialog import ApproveDialog

        if self.desk is None:
            self.refuse("approvals: not connected yet")
        elif not self.board.waiting():
            self.refuse("approvals: nothing waits for a second person")
        else:
            seen = self.board.breakers
            self.ask(ApproveDialog(self.board), lambda wish: self._approve(wish, seen))

    def _approve(self, wish: ApproveWish, seen: BreakerSnapshot | None) -> None:
        if self.desk is not None and seen is not None:
            self.tell(f"approve {wish.breaker_id}: asked…", "warn")
            row = next((row for row in self.board.waiting() if row.request_id == wish.request_id), None)
            asked = self.desk.approve(wish.request_id, wish.notes, seen)
            self.do(self._approve_now(wish, row, asked), "approve")

    async def _approve_now(
        self, wish: ApproveWish, row: RequestRow | None, asked: Coroutine[Any, Any, Outcome]
    ) -> None:
        """The probes of what was approved are its asker's: this cockpit runs none."""
        from cockpit.domain.commands import Kind
        from cockpit.domain.text import clean

        outcome = await asked
        self._outcome(f"approve {wish.breaker_id}", outcome)
        if outcome.word == "done" and row is not None and row.kind == Kind.HALF_OPEN.value:
            whose = clean(row.login, 40)
            self.tell(
                f"{wish.breaker_id} is HALF_OPEN · PROBING; {whose}'s cockpit runs the probes (p)", "good"
            )

    def action_acknowledge(self) -> None:
        from cockpit.screens.overview import may_acknowledge
        from widgets.acknowledge_dialog import AcknowledgeDialog

        incidents = self.board.desk.incidents if self.board.desk else ()
        if self.desk is None or self.board.desk is None:
            self.refuse("acknowledge: Postgres has not been read yet")
        elif not any(row.status == "open" for row in incidents):
            self.refuse("acknowledge: no incident is open")
        elif why := may_acknowledge(self.board):
            self.refuse(f"acknowledge: {why}")
        else:
            self.ask(AcknowledgeDialog(self.board), self._acknowledge)

    def _acknowledge(self, wish: AcknowledgeWish) -> None:
        if self.desk is not None:
            from cockpit.domain.commands import Kind
            from cockpit.operations.resume import Wish

            asked = self.desk.record(
                Wish(Kind.ACKNOWLEDGE, wish.breaker_id, wish.notes, target=wish.incident_id)
            )
            self.do(self._await("acknowledge", asked), "acknowledge")
