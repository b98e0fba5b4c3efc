"""The kill switch by key: begin it, watch it, go on with one that is not proved FLAT, review it.

It runs beside the screen: no dialog holds it up, and what one cockpit leaves another goes on with.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cockpit.domain.breakers import GLOBAL
from cockpit.switching import Switching

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cockpit.config import Settings
    from cockpit.desk import Desk
    from cockpit.domain.desk import KillRow
    from cockpit.domain.kill import Fact
    from cockpit.domain.snapshots import BreakerSnapshot
    from cockpit.operations.kill import KillSwitch
    from cockpit.operations.kill_journal import KillJournal
    from cockpit.operations.kill_ports import KillPorts
    from widgets.kill_dialogs import KillWish, ReviewWish

    Begin = Callable[[KillPorts, str], KillSwitch]

REPORTS_S: Final = 5.0


class Killing(Switching):
    """ctrl+k, from any panel."""

    settings: Settings
    _killing: asyncio.Task[None] | None = None

    def action_kill(self) -> None:
        from cockpit.asking import is_dialog
        from cockpit.domain.commands import Kind
        from cockpit.domain.permissions import Permission
        from widgets.next_steps import lacks

        screen = self.screen
        if is_dialog(screen):
            screen.say("kill switch: esc first, then ctrl+k")
        elif self.desk is None:
            self.refuse("kill switch: not connected yet")
        elif why := lacks(self.board, GLOBAL, Permission.KILL_SWITCH):
            self.refuse(f"kill switch: {why}")
            self._record_kind(Kind.KILL_STEP, GLOBAL, self.desk)
        elif self._shown_here():
            self._kill_view()
        elif row := self._left_by_others():
            self._unfinished(row)
        else:
            from widgets.kill_dialogs import KillDialog

            self.ask(KillDialog(self.board), self._kill)

    def _shown_here(self) -> bool:
        """Whether this screen's own kill switch is the one to look at: it runs, or is not over yet."""
        kill, desk = self.board.kill, self.board.desk
        if kill is None:
            return False
        if kill.running or not self.board.desk_readable or desk is None:
            return True
        known = [row for row in desk.kills if row.kill_id == kill.report.kill_id]
        return bool(known) or not kill.report.flat

    def _left_by_others(self) -> KillRow | None:
        """The newest that is not proved FLAT, else one without review; where Postgres cannot say, also of
        what this machine has kept."""
        from cockpit.domain.kill_records import finished
        from widgets.kill_words import unreviewed

        if not self.board.desk_readable:
            self.update_board(kills_kept=self._kept_here())
        rows = unreviewed(self.board)
        return next((row for row in rows if not finished(row.steps)), rows[0] if rows else None)

    def _kept_here(self) -> tuple[KillRow, ...]:
        """What this machine's journal holds of kill switches that are not over, newest first."""
        from cockpit.kill_rows import row_of

        kept = [each for each in self._journal().all() if not each.over]
        return tuple(
            row_of(each.kill_id, each.login, each.notes, each.begun_at, each.facts, self.settings.gateways)
            for each in reversed(kept)
        )

    def _journal(self) -> KillJournal:
        from cockpit.cli.killing import journal_of

        return journal_of(self.settings)

    # -- dialogs --------------------------------------------------------------------------------------------

    def _kill_view(self) -> None:
        from widgets.kill_dialogs import KillView

        kill_id = self.board.kill.report.kill_id if self.board.kill else ""
        self.ask(KillView(self.board), lambda chosen: self._chosen(chosen, kill_id, None))

    def _unfinished(self, row: KillRow) -> None:
        from widgets.kill_dialogs import UnfinishedDialog

        self.ask(UnfinishedDialog(row, self.board), lambda chosen: self._chosen(chosen, row.kill_id, row))

    def _chosen(self, chosen: str, kill_id: str, row: KillRow | None) -> None:
        known = row or next((each for each in self._rows() if each.kill_id == kill_id), None)
        if chosen == "go on":
            facts = self._facts(kill_id, known)
            self._run_kill(lambda ports, login: _resumed(ports, login, kill_id, facts))
        elif known is None:
            self.refuse("review: the kill switch is not recorded in Postgres yet")
        else:
            from widgets.kill_dialogs import ReviewDialog

            seen, desk = self.board.breakers, self.desk
            self.ask(ReviewDialog(known, self.board), lambda wish: self._review(wish, desk, seen))

    def _rows(self) -> Sequence[KillRow]:
        return self.board.desk.kills if self.board.desk is not None else ()

    def _facts(self, kill_id: str, row: KillRow | None) -> tuple[Fact, ...]:
        """To go on from: this machine's own journal, which is fuller, else what was reported."""
        from cockpit.domain.kill import Tripped
        from cockpit.domain.kill_records import facts_of

        kept = self._journal().get(kill_id)
        if kept is not None and kept.facts:
            return kept.facts
        told = facts_of((each.step, each.details) for each in row.steps) if row is not None else ()
        return told or ((Tripped(row.epoch),) if row is not None else ())

    def _review(self, wish: ReviewWish, desk: Desk | None, seen: BreakerSnapshot | None) -> None:
        from cockpit.domain.commands import Kind
        from cockpit.operations.resume import Wish

        if desk is None or seen is None:
            self.tell("review: not connected yet", "warn")
            return
        self.tell("review: asked, it waits for a second safety-admin…", "warn")
        asked = desk.ask(Wish(Kind.KILL_REVIEW, GLOBAL, wish.notes, target=wish.kill_id), seen)
        self.do(self._await("review", asked), "review")

    # -- running --------------------------------------------------------------------------------------------

    def _kill(self, wish: KillWish) -> None:
        self.tell("KILL SWITCH: tripping global…", "bad")
        self._run_kill(lambda ports, login: _begun(ports, login, wish.notes))

    def _run_kill(self, begin: Begin) -> None:
        if self._killing is not None and not self._killing.done():
            self.refuse("kill switch: it is running (ctrl+k shows it)")
            return
        self._killing = self.do(self._keep_killing(begin), "kill switch")

    async def _keep_killing(self, begin: Begin) -> None:
        """Until it is proved FLAT or nothing more can be done here; what is shown is what was found."""
        from cockpit.cli.killing import open_kill_ports
        from cockpit.cli.tripping import login_of
        from cockpit.domain.kill import KillProgress
        from widgets.kill_words import status_words

        told = ("", "")
        async with open_kill_ports(self.settings, self.credentials) as (ports, _):
            switch = begin(ports, login_of(self.credentials))
            self.update_board(kill=KillProgress(switch.report, True))
            self._kill_view()
            try:
                async for progress in switch.run():
                    refusal = [str(switch.refusal)] if switch.refusal else []
                    said = progress.message if progress.running else " ".join((*refusal, *switch.notes))
                    self.update_board(kill=replace(progress, message=said))
                    if progress.running and told != (now := status_words(progress.report)):
                        told = now
                        self.tell(*told)
                    self.wake_feeds()
            finally:
                report = switch.report
                if self.board.kill is not None and self.board.kill.running:
                    stopped = KillProgress(report, False, "It broke off here; the trip of global stays.")
                    self.update_board(kill=stopped)
            line = str(switch.refusal) if switch.denied else report.line
            self.tell(f"kill switch: {line}", "good" if report.flat else "bad")

    async def keep_reports(self) -> None:
        """Send what this machine's kill switches could not report, as long as the screen is open; and show
        those that are not over where Postgres cannot say."""
        from cockpit.cli.tripping import login_of
        from cockpit.operations.kill_reports import send_waiting

        login = login_of(self.credentials)
        while self.desk is not None:
            kept = await asyncio.to_thread(self._kept_here)
            if kept != self.board.kills_kept:
                self.update_board(kills_kept=kept)
            if self._killing is None or self._killing.done():
                await send_waiting(login, self.desk.stores.postgres, self._journal())
            await asyncio.sleep(REPORTS_S)


def _begun(ports: KillPorts, login: str, notes: str) -> KillSwitch:
    from cockpit.operations.kill import KillSwitch

    return KillSwitch.begin(ports, login, notes, datetime.now(UTC))


def _resumed(ports: KillPorts, login: str, kill_id: str, facts: tuple[Fact, ...]) -> KillSwitch:
    from cockpit.operations.kill import KillSwitch

    return KillSwitch.resume(ports, login, kill_id, facts, datetime.now(UTC))
