"""The real process in a real pseudo-terminal: how it ends (F21), and where it does not start (F22)."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cockpit.terminal import HARD_END_S
from tests.screen.clocks import held_up_s
from tests.screen.conftest import PATIENCE_S
from tests.trading_platform import Platform

ROOT = Path(__file__).resolve().parents[2]
_ESCAPES = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]")
RUN = """
import sys
from pathlib import Path
from cockpit import terminal
from cockpit.app import run
from cockpit.config import load_settings
terminal.HARD_END_S = float(sys.argv[2])
sys.exit(run(load_settings(Path(sys.argv[1])), "operator1"))
"""


class InTerminal:
    def __init__(self, config: Path, hard_end_s: float = HARD_END_S, **environ: str) -> None:
        self.master, slave = pty.openpty()
        os.set_blocking(self.master, False)
        env = (
            os.environ
            | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", "LC_ALL": "C.UTF-8"}
            | environ
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(config), str(hard_end_s)],
            stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=env, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.seen = b""

    def read(self, timeout_s: float = 0.05) -> bytes:
        got = b""
        if select.select([self.master], [], [], timeout_s)[0]:
            try:
                got = os.read(self.master, 65536)
            except OSError:
                got = b""
        self.seen += got
        return got

    def shows(self, text: str, timeout_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + timeout_s
        while text.encode() not in _ESCAPES.sub(b"", self.seen):
            assert time.monotonic() < deadline, _ESCAPES.sub(b"", self.seen)[-2000:].decode(errors="replace")
            self.read()

    def ends(self, within_s: float) -> int:
        """The exit code; within that time, but for what other processes took of it."""
        before, began, held_up = self._held_up(), time.monotonic(), 0.0
        while self.process.poll() is None:
            held_up = sum(at - before.get(task, 0.0) for task, at in self._held_up().items())
            assert time.monotonic() - began - held_up < within_s, "still running"
            if self.master >= 0:
                self.read(0.01)
            else:
                time.sleep(0.01)
        return self.process.returncode

    def _held_up(self) -> dict[str, float]:
        """Of each of its threads, and of ours."""
        own = [
            f"{self.process.pid}/task/{each.name}"
            for each in Path(f"/proc/{self.process.pid}/task").iterdir()
        ]
        return {task: held_up_s(task) for task in ("thread-self", *own)}

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.master >= 0:
            os.close(self.master)


@pytest.fixture
def terminal(platform: Platform) -> Iterator[InTerminal]:
    made = InTerminal(platform.config)
    yield made
    made.close()


def test_sighup_ends_it_within_a_second(terminal: InTerminal) -> None:  # F21
    terminal.shows("BREAKER")
    terminal.process.send_signal(signal.SIGHUP)
    assert terminal.ends(1.0) == 128 + signal.SIGHUP


def test_sigterm_ends_it_and_leaves_the_terminal_whole(platform: Platform) -> None:
    made = InTerminal(platform.config, hard_end_s=PATIENCE_S)  # a busy machine gets it to its end, too
    try:
        made.shows("BREAKER")
        made.process.send_signal(signal.SIGTERM)
        assert made.ends(1.5) == 128 + signal.SIGTERM
        while made.read():
            pass
        assert b"\x1b[?1049l" in made.seen  # back from the alternate screen
    finally:
        made.close()


def test_a_closed_terminal_ends_it_even_where_sighup_is_ignored(platform: Platform) -> None:  # F21
    made = InTerminal(platform.config)
    try:
        made.shows("BREAKER")
        os.close(made.master)
        made.master = -1
        made.ends(1.0)
    finally:
        made.close()


def test_ctrl_q_quits_and_ctrl_c_only_says_so(terminal: InTerminal) -> None:
    terminal.shows("OPEN")
    os.write(terminal.master, b"\x03")
    terminal.shows("ctrl+q quits")
    os.write(terminal.master, b"\x11")
    assert terminal.ends(5) == 0


def test_what_is_typed_in_one_burst_reaches_the_dialog(terminal: InTerminal) -> None:
    """No key is lost while a dialog opens: t, j, Enter and text in one write."""
    terminal.shows("operator1 · operator-act")
    os.write(terminal.master, b"jt3")
    terminal.shows("TRIP component:execution")
    terminal.shows("● rejection-rate")


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_takes_no_screen_is_named(platform: Platform, term: str) -> None:  # F22
    made = InTerminal(platform.config, TERM=term)
    try:
        made.shows("cockpit trip")
        assert made.ends(5) == 2
    finally:
        made.close()


def test_ascii_where_the_terminal_has_no_symbols(platform: Platform) -> None:  # F22
    made = InTerminal(platform.config, TERM="linux")
    try:
        made.shows("# OPEN - HALTED")
        assert all(byte < 128 for byte in made.seen)
    finally:
        made.close()
