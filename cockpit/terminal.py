"""The terminal that the screen is drawn on, and the end of the process when it is gone (F21).

A pseudo-terminal that was closed reads as endless nothing, which would burn a whole core; and nobody would
ever see the screen again. So a lost terminal, SIGHUP and SIGTERM all end the process within a second, also
where the event loop is stuck.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Final

EXIT_SIGNAL: Final = 128
HARD_END_S: Final = 0.8
_SIGNALS: Final = (signal.SIGHUP, signal.SIGTERM)


def unusable(environ: Mapping[str, str], is_tty: bool) -> str | None:
    """Why no screen can be drawn here, in one line for people; None where one can (F22)."""
    instead = "use `cockpit status` and `cockpit trip`"
    if not is_tty:
        return f"no terminal: the screen needs one; {instead}"
    if environ.get("TERM", "") in ("", "dumb", "unknown"):
        return f"TERM={environ.get('TERM', '')!r} takes no screen; {instead}"
    return None


class EndWatch:
    """Calls `leave(exit_code)` on SIGHUP, SIGTERM or a lost terminal, and ends the process itself where that
    takes over `HARD_END_S`. A context manager; the former signal handlers come back at its end."""

    def __init__(self, leave: Callable[[int], None]) -> None:
        self._leave = leave
        self._done = threading.Event()
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> EndWatch:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._signalled)
        threading.Thread(target=self._watch_terminal, name="terminal", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        self._end(EXIT_SIGNAL + number)

    def _watch_terminal(self) -> None:
        poll = select.poll()
        poll.register(sys.__stdin__.fileno() if sys.__stdin__ else 0, 0)  # a hang-up is always reported
        while not self._done.is_set():
            if any(
                event & (select.POLLHUP | select.POLLNVAL | select.POLLERR) for _, event in poll.poll(500)
            ):
                self._end(EXIT_SIGNAL + signal.SIGHUP)
                return

    def _end(self, code: int) -> None:
        if self._done.is_set():
            return
        threading.Thread(target=self._end_hard, args=(code,), name="end", daemon=True).start()
        self._leave(code)

    def _end_hard(self, code: int) -> None:
        if not self._done.wait(HARD_END_S):
            os._exit(code)
