"""Trip by key, then its verification; and the spool, retried as long as the screen is open."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cockpit.asking import Asking
from cockpit.domain.refusals import Refused

if TYPE_CHECKING:
    from cockpit.desk import Desk
    from cockpit.domain.desk import AuditRow
    from cockpit.domain.slo_reports import SloReport
    from widgets.trip_checks import TripMade
    from widgets.trip_dialog import TripWish

SPOOL_S = 5.0
EVIDENCE_TRIES = 20
EVIDENCE_S = 0.5


class Halting(Asking):
    """The tightening half of the screen."""

    def action_trip(self) -> None:
        panel = self._panel()
        if panel is not None and (target := self._target("trip")):
            self._open_trip(target[0], panel.asks_for_halt(self.board))

    def action_halt_due(self) -> None:
        """The trip that a spent error budget proposes: of the worst one, which the banner names."""
        from widgets.halts_due import due

        reports = due(self.board)
        if not reports:
            self.refuse("halt due: no error budget is RED where trading goes on")
        elif target := self._target("trip", reports[0].breaker):
            self._open_trip(target[0], reports[0])

    def _open_trip(self, breaker_id: str, report: SloReport | None) -> None:
        """What somebody wrote and left stays; a proposal that nobody touched gives way to the newest."""
        from widgets.trip_dialog import Draft, TripDialog

        draft = self._drafts.get(breaker_id)
        if draft is not None and not draft.edited:
            del self._drafts[breaker_id]
            draft = None
        proposed_by = ""
        if report is not None and draft is None:
            from widgets.halts_due import proposal, words

            self._drafts[breaker_id] = Draft.of(*proposal(report))
            proposed_by = words(report)
        self.ask(TripDialog(breaker_id, self.board, self._drafts, proposed_by), self._trip)

    def _trip(self, wish: TripWish) -> None:
        assert self.desk is not None  # noqa: S101 - the dialog opens with a desk only
        self.tell(f"tripping {wish.breaker_id}…", "warn")
        self.do(self._trip_now(wish, self.desk), f"trip {wish.breaker_id}")

    async def _trip_now(self, wish: TripWish, desk: Desk) -> None:
        from cockpit.desk import new_event_id
        from widgets.board_entries import PendingTrip
        from widgets.trip_checks import TripMade

        event_id = new_event_id()
        sending = PendingTrip(wish.breaker_id, event_id, datetime.now(UTC), "sent, not confirmed yet")
        self.update_board(local_pending=(*self.board.local_pending, sending))
        try:
            outcome = await desk.trip(wish.breaker_id, wish.reason, wish.notes, event_id)
        finally:
            rest = tuple(trip for trip in self.board.local_pending if trip.event_id != event_id)
            self.update_board(local_pending=rest)
        self._outcome(f"trip {wish.breaker_id}", outcome)
        await self._look_at_spool(desk, deliver=False)
        if outcome.word == "done":
            at = self.board.desk_now if self.board.desk_readable else None
            self.trip_made = TripMade(wish.breaker_id, event_id, outcome.epoch, at)
            self._verify_view()

    def action_verify_trip(self) -> None:
        if self.trip_made is None:
            self.refuse("verify: no trip was made from this screen yet")
        else:
            self._verify_view()

    def _verify_view(self) -> None:
        from widgets.views import VerificationView

        if self.trip_made is not None:
            panel = self._panel()
            here = panel is not None and any(key.key_id == "verify-trip" for key in panel.KEYS)
            again = self.keys_remapped.get("verify-trip", "v").split(",")[0]
            self.ask(VerificationView(self.trip_made, self.board, again if here else f"1, then {again}"))

    async def keep_spool(self) -> None:
        """Retry what the spool holds, as long as the screen is open (F10)."""
        while True:
            if self.desk is not None:
                try:
                    await self._look_at_spool(self.desk, deliver=True)
                except Refused as error:
                    self.tell(f"spool: {error.refusal}", "bad")
            await asyncio.sleep(SPOOL_S)

    async def _look_at_spool(self, desk: Desk, deliver: bool) -> None:
        from widgets.board_entries import PendingTrip

        waiting = await desk.spooled()
        sending = {trip.event_id for trip in self.board.local_pending if trip.note.startswith("sent")}
        if deliver and any(entry.event_id not in sending for entry in waiting):
            for outcome in await desk.retry_spool():
                if outcome.word == "done":
                    self._outcome("spool", outcome)
            waiting = await desk.spooled()
        kept = tuple(trip for trip in self.board.local_pending if trip.event_id in sending)
        spooled = tuple(
            PendingTrip(
                entry.breaker_id,
                entry.event_id,
                entry.requested_at,
                f"in the spool of this machine ({entry.login}), retried",
            )
            for entry in waiting
            if entry.event_id not in sending
        )
        if (*kept, *spooled) != self.board.local_pending:
            self.update_board(local_pending=(*kept, *spooled))

    def _note_enforced(self) -> None:
        """Keep when each gateway was first seen to enforce the trip."""
        if (made := self.trip_made) is not None and (seen := made.seen_by(self.board)) is not made:
            self._trip_known(seen)

    def _trip_known(self, made: TripMade) -> None:
        """More is known of the trip: also where it is looked at."""
        from widgets.views import VerificationView

        self.trip_made = made
        for screen in self.screen_stack:
            if isinstance(screen, VerificationView) and screen.made.event_id == made.event_id:
                screen.update_made(made)

    def _read_evidence(self, desk: Desk) -> None:
        from widgets.trip_checks import audit_row

        self._note_enforced()
        made = self.trip_made
        if made is None or made.evidence_asked:
            return
        row = audit_row(self.board, made)
        if row is not None and row.evidence_link:
            self.trip_made = made.reading()

            async def read() -> None:
                for _ in range(EVIDENCE_TRIES):  # a trip's entry comes first, its evidence may follow
                    found = await self._evidence_of(row, desk)
                    self._evidence_read(made, found)
                    if found[0]:
                        return
                    await asyncio.sleep(EVIDENCE_S)
                self._evidence_read(made, (False, found[1]))

            self.do(read(), "evidence")

    async def _evidence_of(self, row: AuditRow, desk: Desk) -> tuple[bool | None, str]:
        try:
            return await desk.evidence_matches(row)
        except Refused as error:
            return None, f"unreadable: {error.refusal.message}"

    def _evidence_read(self, made: TripMade, found: tuple[bool | None, str]) -> None:
        if self.trip_made is not None and self.trip_made.event_id == made.event_id:
            self._trip_known(self.trip_made.with_evidence(found))
