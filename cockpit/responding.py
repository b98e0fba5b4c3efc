"""Incidents by key: open, acknowledge, note, assign, classify, escalate, snooze, merge, resolve, told, items.

All of it goes through the authority as a signed request; what it says is shown, nothing is assumed. The
incident is the one under the cursor when the key was pressed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cockpit.domain.breakers import EXECUTION, GLOBAL
from cockpit.switching import Switching

if TYPE_CHECKING:
    from cockpit.desk import Desk
    from cockpit.domain.desk import DeskSnapshot, IncidentRow
    from cockpit.domain.incidents import Change
    from cockpit.domain.playbooks import Act
    from cockpit.incident_feeds import IncidentsFeed, IncidentsRead, MinutesFeed, MinutesRead
    from cockpit.screens.first_minutes import FirstMinutesPage
    from cockpit.screens.incidents import IncidentPanel
    from widgets.incident_forms import ChangeDraft, IncidentWish
    from widgets.new_incident_dialog import NewDraft

MODE: Final = "incidents"


class Responding(Switching):
    """The keys of panel 3 and of the first-five-minutes page."""

    incidents_feed: IncidentsFeed | None = None
    minutes_feed: MinutesFeed | None = None

    def __init__(self) -> None:
        super().__init__()
        self._change_drafts: dict[str, ChangeDraft] = {}
        self._new_incident: NewDraft | None = None
        self._incident_news = 0
        self._minutes_open = False

    # -- data ------------------------------------------------------------------------------------------------

    def incidents_shown(self) -> None:
        """Incidents are read while panel 3 or a page of it is looked at."""
        if self.incidents_feed is not None:
            self.incidents_feed.show(self.current_mode == MODE)
        if self.minutes_feed is not None:
            self.minutes_feed.show(self.current_mode == MODE and self._minutes_open)

    def on_incidents_read(self, message: IncidentsRead) -> None:
        self.update_board(incidents=message.incidents, incidents_at=message.monotonic, incidents_error=None)

    def on_minutes_read(self, message: MinutesRead) -> None:
        self.update_board(page=message.page, minutes_error=None)

    def on_incident_panel_narrowed(self, message: IncidentPanel.Narrowed) -> None:
        if self.incidents_feed is not None:
            self.incidents_feed.narrow(message.words)

    def wake_for_incidents(self, desk: DeskSnapshot) -> None:
        """What somebody recorded shows at once."""
        newest = max((row.seq for row in desk.audit), default=0)
        if newest > self._incident_news:
            self._incident_news = newest
            for feed in (self.incidents_feed, self.minutes_feed):
                if feed is not None:
                    feed.wake()

    # -- keys ------------------------------------------------------------------------------------------------

    def action_new_incident(self) -> None:
        from cockpit.domain.commands import Kind
        from widgets.incident_steps import recording_blocked
        from widgets.new_incident_dialog import NewDraft, NewIncidentDialog

        panel = self._panel()
        if panel is None:
            return
        if self.desk is None:
            self.refuse("new incident: not connected yet")
        elif why := recording_blocked(self.board):
            self.refuse(f"new incident: {why}")
            self._record_kind(Kind.INCIDENT, GLOBAL, self.desk)
        else:
            if self._new_incident is None or not self._new_incident.filled:
                about = panel.selected or ""
                about = "" if about == GLOBAL else about
                self._new_incident = NewDraft(linked=about, proposed=about)
            desk = self.desk
            self.ask(NewIncidentDialog(self.board, self._new_incident), lambda wish: self._record(wish, desk))

    def action_change_incident(self, change: str) -> None:
        from cockpit.domain.commands import Kind
        from cockpit.domain.incidents import Change
        from widgets.incident_rows import found
        from widgets.incident_steps import WORDS, why_not

        panel = self._panel()
        incident_id = panel.incident_id if panel is not None else None
        chosen = Change(change)
        if incident_id is None:
            if panel is not None:
                self.refuse(f"{WORDS[chosen]}: no incident is under the cursor")
            return
        if self.desk is None:
            self.refuse(f"{WORDS[chosen]}: not connected yet")
            return
        if why := why_not(self.board, found(self.board, incident_id), chosen):
            self.refuse(f"{WORDS[chosen]}: {why}")
            kind = Kind.ACKNOWLEDGE if chosen is Change.ACKNOWLEDGE else Kind.INCIDENT
            self._record_kind(kind, GLOBAL, self.desk)
            return
        self._open_change(chosen, incident_id, self.desk)

    def _open_change(self, change: Change, incident_id: str, desk: Desk) -> None:
        from widgets.incident_dialogs import ChangeDialog
        from widgets.incident_rows import found

        if (row := found(self.board, incident_id)) is not None:
            dialog = ChangeDialog(change, row, self.board, self._change_drafts)
            self.ask(dialog, lambda wish: self._record(wish, desk))

    def _record(self, wish: IncidentWish, desk: Desk) -> None:
        from cockpit.domain.commands import Kind
        from cockpit.operations.resume import Wish

        request = wish.request
        asked = (
            Wish(Kind.ACKNOWLEDGE, wish.breaker_id, wish.notes, target=wish.incident_id)
            if request is None
            else Wish(
                Kind.INCIDENT, wish.breaker_id, wish.notes, target=request.target(), reason=request.verb.value
            )
        )
        self.tell(f"{wish.what}: asked, the authority records it…", "warn")
        self.do(self._await(wish.what, desk.record(asked)), wish.what)

    # -- first five minutes ----------------------------------------------------------------------------------

    def action_first_minutes(self) -> None:
        from cockpit.screens.first_minutes import FirstMinutesPage

        panel = self._panel()
        if panel is None or panel.incident_id is None or isinstance(panel, FirstMinutesPage):
            return
        self.push_screen(FirstMinutesPage(panel.host, panel.incident_id))
        if self.minutes_feed is not None:
            self.minutes_feed.about(panel.incident_id)
        self._minutes_open = True
        self.incidents_shown()

    def leave_minutes(self) -> None:
        """Back from the page to panel 3."""
        self._minutes_open = False
        self.incidents_shown()
        self.pop_screen()

    def action_trip_incident(self) -> None:
        """The trip that an incident asks for: of what it is linked to, else of execution, else of everything;
        opens filled in, and a person confirms it."""
        from widgets.incident_clocks import over
        from widgets.incident_rows import found

        panel = self._panel()
        row = found(self.board, panel.incident_id) if panel is not None else None
        if panel is None or row is None:
            return
        if over(row):
            self._trip_apart(row, panel.selected)
            return
        fallback = EXECUTION if EXECUTION in self.board.catalogue else GLOBAL
        if target := self._target("trip", panel.selected or fallback):
            self._open_trip_of(row, target[0])

    def _trip_apart(self, row: IncidentRow, breaker_id: str | None) -> None:
        """An incident that is over asks for no halt: the trip of what it is linked to opens empty."""
        if breaker_id is None:
            self.refuse(f"trip: this incident is {row.status}, it asks for no halt; panel 1, then t, trips")
        elif target := self._target("trip", breaker_id):
            self._open_trip(target[0], None)

    def _open_trip_of(self, row: IncidentRow, breaker_id: str) -> None:
        """What somebody wrote and left stays."""
        from widgets.incident_forms import trip_proposal
        from widgets.trip_dialog import Draft, TripDialog

        draft = self._drafts.get(breaker_id)
        proposed_by = ""
        if draft is None or not draft.edited:
            self._drafts[breaker_id] = Draft.of(*trip_proposal(row))
            proposed_by = "by the incident that you look at"
        self.ask(TripDialog(breaker_id, self.board, self._drafts, proposed_by), self._trip)

    def action_kill(self) -> None:
        raise NotImplementedError

    def run_step(self, act: Act, named: str) -> None:
        """A step of a playbook, by its own dialog, which says `named`, the playbook and the step: neither
        may be in view. Each checks for itself who may do what. A ticket that it asks for is proposed: the
        incident's id, so that what is set is told there."""
        from cockpit.screens.first_minutes import FirstMinutesPage

        page = self._panel()
        if not isinstance(page, FirstMinutesPage):
            return
        self._asked_by, self._ticket = named, (page.incident_id or "")[:8]
        try:
            self._run_step(page, act)
        finally:
            self._asked_by = self._ticket = ""

    def _run_step(self, page: FirstMinutesPage, act: Act) -> None:
        from cockpit.domain.playbooks import MODES, Act

        if act is Act.TRIP:
            self.action_trip_incident()
        elif act in (Act.ACKNOWLEDGE, Act.NOTE):
            self.action_change_incident(act.value)
        elif act in MODES or act is Act.CANCEL_ALL:
            mode = MODES.get(act)
            if page.aim(mode) is None:
                said = (
                    f"everything that it concerns is in {mode.value}" if mode else "it concerns no instrument"
                )
                self.refuse(f"step: {said}")
            elif mode is None:
                self.action_cancel_all()
            else:
                self.open_mode(mode)
        elif act is Act.WITHDRAWALS_HALT:
            self.action_withdrawals()
        elif act is Act.KILL_SWITCH:
            self.action_kill()
