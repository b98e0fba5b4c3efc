"""Dialogs on switches: halt and resume withdrawals, release a safety latch, cancel a symbol's orders."""

from __future__ import annotations

from dataclasses import dataclass

from cockpit.domain.breakers import WITHDRAWALS
from cockpit.domain.modes import Mode
from cockpit.domain.permissions import Permission
from widgets.board import Board
from widgets.form_dialog import FormDialog
from widgets.line import Line, wrap
from widgets.next_steps import lacks, resume_blocked
from widgets.switch_words import counted, mode_now, resting, story_words, ticket_fault, withdrawals_halted


@dataclass(frozen=True, slots=True)
class SwitchWish:
    """`symbol` is empty for withdrawals, `ticket` where none is asked for."""

    symbol: str
    notes: str
    ticket: str = ""


class WithdrawalsDialog(FormDialog[SwitchWish]):
    """Halts withdrawals at once where they go on, asks the authority to resume them where they are halted.
    Which of the two is fixed when it opens."""

    FIELDS = ("ticket", "notes")

    def __init__(self, board: Board) -> None:
        self.resumes = withdrawals_halted(board) is True and board.redis_readable
        title = "RESUME WITHDRAWALS" if self.resumes else "HALT WITHDRAWALS · at once, the whole platform"
        super().__init__(title, board, target=WITHDRAWALS, classes="-loosen" if self.resumes else "-tighten")
        self.confirm_word = "Resume" if self.resumes else "Halt"
        self.unsent_word = "NOT RESUMED" if self.resumes else "WITHDRAWALS NOT HALTED"

    def does(self) -> str:
        return "asks the authority to resume withdrawals" if self.resumes else "halts withdrawals at once"

    def lines(self, board: Board) -> list[Line]:
        halted = withdrawals_halted(board)
        state: Line = (("unread: Redis has not answered here", "unknown"),)
        if halted is not None:
            state = (("■ HALTED", "halted"),) if halted else (("● being made", "trading"),)
        if halted is not None and not board.redis_readable:
            state = (*state, (" · STALE, Redis does not answer here", "bad"))
        lines: list[Line] = [(("now    ", "title"), *state)]
        if halted:
            lines += wrap(f"       {story_words(board, WITHDRAWALS)}", self.cells, 2, "dim")
        if self.resumes and not halted:
            lines.append((("somebody has resumed them meanwhile: leave (esc)", "warn"),))
        if self.resumes:
            lines += [
                (("checks ", "title"), ("the authority refuses while a P0 incident is linked to it,", "")),
                (("       or where audit chain, evidence store or epoch are in doubt", ""),),
            ]
        else:
            lines.append(
                (("does   ", "title"), ("the withdrawal service makes none until they are resumed", ""))
            )
        return lines

    def barred(self) -> str | None:
        if not self.resumes:
            return lacks(self.board, WITHDRAWALS, Permission.TRIP_CIRCUIT)
        if withdrawals_halted(self.board) is False:
            return "withdrawals are being made already"
        if self.overtaken:
            return "halted anew since this opened; leave (esc) and look again"
        return resume_blocked(self.board, WITHDRAWALS)

    def field_fault(self, name: str) -> str | None:
        return ticket_fault(self.typed("ticket")) if name == "ticket" else super().field_fault(name)

    def wish(self) -> SwitchWish:
        return SwitchWish("", self.notes(), self.typed("ticket").strip())


class CancelAllDialog(FormDialog[SwitchWish]):
    """Cancels all that rests of one symbol; its mode and its breakers stay as they are."""

    FIELDS = ("ticket", "notes")
    CONFIRM = "Cancel them all"
    CANCEL = "Back"
    DOES = "cancels them now"
    UNSENT = "NOTHING CANCELLED"
    TITLE_STYLE = "halted"

    def __init__(self, symbol: str, board: Board) -> None:
        super().__init__(f"CANCEL ALL ORDERS OF {symbol}", board, classes="-tighten")
        self.symbol = symbol

    def lines(self, board: Board) -> list[Line]:
        orders = resting(board, self.symbol)
        does = f"cancels {counted(orders)} of {self.symbol} at the venue"
        if orders == 0:
            does = f"none of {self.symbol} at the venue as read last; cancels any that rest by then"
        lines: list[Line] = [
            (("does   ", "title"), (does, "strong")),
            (("       positions stay; new orders go on where nothing halts them (m, t)", "dim"),),
        ]
        if mode_now(board, self.symbol) is Mode.HARD_HALT:
            words = "HARD_HALT traps them: the gateway will refuse to cancel; CANCEL_ONLY first (m)"
            lines.append(((words, "bad"),))
        return lines

    def barred(self) -> str | None:
        return lacks(self.board, f"instrument:{self.symbol}", Permission.TRIP_CIRCUIT)

    def field_fault(self, name: str) -> str | None:
        return ticket_fault(self.typed("ticket")) if name == "ticket" else super().field_fault(name)

    def wish(self) -> SwitchWish:
        return SwitchWish(self.symbol, self.notes(), self.typed("ticket").strip())
