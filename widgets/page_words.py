"""Whether people are paged: what waits, what failed, whether a pager lives. Pure lines of the board.

Nothing is called delivered but what a receiver has taken (I25).
"""

from __future__ import annotations

from cockpit.domain.paging import PageRow, Paging, TripPage
from cockpit.domain.text import clean, many
from widgets.board import Board
from widgets.line import Line
from widgets.times import clock, clock_s, span


def paging_age_s(board: Board) -> float | None:
    """Since a pager's last sign of life; None where none is known."""
    paging = board.desk.paging if board.desk is not None else None
    if paging is None or paging.age_s is None:
        return None
    return paging.age_s + (board.desk_age_s or 0.0)


def banner_line(board: Board) -> Line | None:
    """A failed page, a dead pager, in this order; None where people are paged, or paging is off."""
    paging = board.desk.paging if board.desk is not None and board.desk_readable else None
    if paging is None:
        return None  # the line on Postgres has said so
    if not paging.alive:
        return _dead(board, paging)
    if not paging.receivers:
        return None
    if paging.failed:
        return (
            (f" ! {paging.failed} PAGE{_s(paging.failed)} NOT DELIVERED: {_newest(paging)}", "banner-bad"),
        )
    if late := [row for row in paging.rows if row.attempts > 1]:
        words = f" ! {len(late)} PAGE{_s(len(late))} tried again: {_row_words(late[0])}"
        return ((words, "banner-warn"),)
    if paging.faults:
        return ((f" ! PAGING: {clean(paging.faults[0], 200)}", "banner-warn"),)
    return None


def _s(number: int) -> str:
    return "" if number == 1 else "S"


def _dead(board: Board, paging: Paging) -> Line | None:
    age = paging_age_s(board)
    if age is None:
        if not paging.waiting:
            return None
        words = f" ! NOBODY IS PAGED: no pager has ever run here · {_waiting(paging)} · call people"
        return ((words, "banner-warn"),)
    words = f" ! NOBODY IS PAGED: pager silent for {span(age)} · {_waiting(paging)} · call people"
    return ((words, "banner-bad" if paging.waiting else "banner-warn"),)


def _waiting(paging: Paging) -> str:
    return f"{many(paging.waiting, 'page')} {'waits' if paging.waiting == 1 else 'wait'}"


def _newest(paging: Paging) -> str:
    failed = next((row for row in paging.rows if row.given_up or row.last_error), None)
    return "the receivers do not answer" if failed is None else _row_words(failed)


def _row_words(row: PageRow) -> str:
    """`P1 to webhook, 4 tries, 503: title`."""
    end = "given up" if row.given_up else f"{row.attempts} tr{'y' if row.attempts == 1 else 'ies'}"
    why = f", {clean(row.last_error, 80)}" if row.last_error else ""
    return f"{clean(row.severity, 4)} to {clean(row.receiver, 40)}, {end}{why}: {clean(row.title, 120)}"


def light_word(board: Board) -> tuple[bool | None, str] | None:
    """For the header: (good, word); None where there is nothing to say."""
    paging = board.desk.paging if board.desk is not None and board.desk_readable else None
    if paging is None:
        return None
    if paging.age_s is None:
        return None  # none was ever started here: the banner says so where a page waits
    if not paging.alive:
        return (False, f"DEAD {paging.waiting} wait" if paging.waiting else "DEAD")
    if not paging.receivers:
        return None
    if paging.failed:
        return (False, f"{paging.failed} FAILED")
    return (None, f"{paging.waiting} wait") if paging.waiting else None


def trip_page(board: Board, event_id: str) -> TripPage | None:
    """What is known of the page of one trip."""
    rows = board.desk.trip_pages if board.desk is not None else ()
    return next((row for row in rows if row.event_id == event_id), None)


def delivered_words(board: Board, event_id: str) -> tuple[bool | None, str]:
    """For the verification of a trip: True only where a receiver has the page that tells of it; then to whom
    and when. None is also the last word on a trip that has no page of its own."""
    if board.desk is None or not board.desk_readable:
        return None, "Postgres unreadable here"
    page, paging = trip_page(board, event_id), board.desk.paging
    if page is not None and page.older:
        where = f"told in incident {page.incident_id[:8]}"
        return None, f"no page of its own: {where}, {_told_there(board, page)}"
    if page is not None and page.receivers and page.delivered_at is not None:
        more = f"; not yet to {', '.join(page.waiting)}" if page.waiting else ""
        whose = f"told in incident {page.incident_id[:8]}, whose " if page.joined else ""
        to = f"{', '.join(page.receivers)} at {clock_s(page.delivered_at)}"
        return True, f"{whose}page was delivered to {to}{more}" if whose else f"page delivered to {to}{more}"
    if paging is not None and paging.alive and not paging.receivers:
        return None, "paging is off: no receiver is set up, so nobody was paged"
    if page is not None and page.unsent:
        return None, f"nobody is paged: {page.unsent}"
    if paging is None or not paging.alive:
        age = paging_age_s(board)
        since = "no pager has ever run here" if age is None else f"pager silent for {span(age)}"
        return False if age is not None else None, f"not delivered: {since}"
    if page is None:
        return None, "waiting: no incident of this trip yet"
    if not page.queued:
        return None, "waiting: its incident has no page yet"
    tries = f"{page.attempts} tr{'y' if page.attempts == 1 else 'ies'}"
    error = f", last error: {page.last_error}" if page.last_error else ""
    whom = ", ".join(page.waiting) or "the receivers"
    return False if page.attempts > 1 or page.last_error else None, f"waiting for {whom}, {tries}{error}"


def _told_there(board: Board, page: TripPage) -> str:
    """Who knows of an incident that a trip joined, from the page that it had before."""
    if page.delivered_at is not None:
        return f"paged at {clock(page.delivered_at, board.desk_now)}"
    if page.unsent:
        return f"for which nobody was paged: {page.unsent}"
    paging = board.desk.paging if board.desk is not None else None
    if not page.queued or (paging is not None and paging.alive and not paging.receivers):
        return "for which nobody was paged"
    error = f", last error: {page.last_error}" if page.last_error else ""
    return f"whose page has reached nobody yet{error}"
