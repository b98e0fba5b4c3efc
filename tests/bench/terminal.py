"""A program in a real pseudo-terminal, read as it writes."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, perf_counter_ns
from types import TracebackType
from typing import Final

COLUMNS: Final = 120
ROWS: Final = 40
QUIT: Final = b"\x11"
_SEQUENCE: Final = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])", re.DOTALL
)


class NothingShown(RuntimeError):
    """The program did not show what was waited for; the message holds the end of what it did show."""


class Terminal:
    """`with Terminal(command) as terminal: terminal.shows(rb"heading")`: kills what is left at the exit.

    `started_ns` is the moment right before the program was started (perf_counter_ns), `written` the number of
    bytes that it has sent so far.
    """

    def __init__(self, command: Sequence[str | Path], cwd: Path) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        env = {name: value for name, value in os.environ.items() if not name.startswith("COCKPIT_")}
        env |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
        env.pop("NO_COLOR", None)
        self._raw = bytearray()
        self.written = 0
        self.started_ns = perf_counter_ns()
        self.process = subprocess.Popen(
            list(map(str, command)), env=env, cwd=cwd, preexec_fn=lambda: os.login_tty(slave)
        )
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self._master)

    @property
    def text(self) -> bytes:
        """All that was written so far, without escape sequences."""
        return _SEQUENCE.sub(b"", bytes(self._raw))

    def shows(self, wanted: bytes, timeout_s: float = 30.0) -> float:
        """Read until the regular expression `wanted` was written; milliseconds since the program's start.

        Raises:
            NothingShown: it was not, in time or before the program's end.
        """
        pattern, deadline = re.compile(wanted, re.DOTALL), monotonic() + timeout_s
        while True:
            alive = self.read(deadline - monotonic())
            at = perf_counter_ns()
            if pattern.search(self.text):
                return (at - self.started_ns) / 1e6
            if not alive or monotonic() > deadline:
                end = self.text[-1_500:].decode("utf-8", "replace")
                raise NothingShown(f"{wanted!r} was not shown; the end of what was:\n{end}")

    def read(self, timeout_s: float) -> bool:
        """Take what is there, waiting for at most `timeout_s`; False once the program has ended."""
        if not select.select([self._master], [], [], max(0.0, timeout_s))[0]:
            return True
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # EIO: the other side is closed
            return False
        self._raw += data
        self.written += len(data)
        return bool(data)

    def forget(self) -> None:
        """Drop what was read, so that `shows` looks at what comes."""
        self._raw.clear()

    def drain(self, seconds: float) -> None:
        """Read for so long, like a terminal that is looked at."""
        end = monotonic() + seconds
        while (left := end - monotonic()) > 0 and self.read(left):
            pass

    def send(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def quit(self, timeout_s: float = 5.0) -> int | None:
        """ctrl+q, then its exit code; None where it does not end (it is killed at the exit)."""
        self.send(QUIT)
        end = monotonic() + timeout_s
        while self.process.poll() is None and monotonic() < end:
            self.read(0.05)
        return self.process.poll()
