"""The demo's other processes and servers: started, watched, started again, ended in order.

A child (authority, plant) that ends is started again after 0.5 s, then 1, 2, 4, 5 s, and at 0.5 s anew
once it has lived for half a minute. A server that ends (somebody killed it) is started again after 3 s on
its port and data. Children die with us, whatever ends us: the kernel sends them SIGKILL, which both
survive by design.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cockpit.demo.embedded import Server
from cockpit.demo.launch import spawn
from cockpit.demo.servers import DataDirInUse, FolderNotReachable, ServerDidNotStart

_log = logging.getLogger(__name__)
_ROOT: Final = Path(__file__).resolve().parents[2]
_STOP_S: Final = 5.0
_LOOK_S: Final = 0.2
_SETTLED_S: Final = 30.0
_SERVER_AFTER_S: Final = 3.0
_WAITS_S: Final = (0.5, 1.0, 2.0, 4.0, 5.0)
_LOG_LIMIT_BYTES: Final = 5_000_000


class Child:
    """One Python module of ours as a process of its own; its words go to `<logs>/<name>.log`."""

    def __init__(self, name: str, module: str, arguments: Sequence[str], logs: Path) -> None:
        self.name = name
        self.log_path = logs / f"{name}.log"
        # A crash report goes where the logs are; `env` becomes the program, so the pid stays the same.
        self._command = ["/usr/bin/env", f"XDG_STATE_HOME={logs}", sys.executable, "-m", module, *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def code(self) -> int | None:
        """Exit code, or minus the signal, of the last run."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        if self.log_path.exists() and self.log_path.stat().st_size > _LOG_LIMIT_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        with self.log_path.open("ab") as log:
            self._process = spawn(self._command, None, signal.SIGKILL, cwd=_ROOT, log=log)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after 5 s."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)  # one that somebody paused could not end
            process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            _log.warning("%s did not end in %g s", self.name, _STOP_S)
            process.kill()
            process.wait()

    def last_words(self, lines: int = 5) -> str:
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text("utf-8", "replace").splitlines()[-lines:])


@dataclass(slots=True)
class _Watched:
    """`due`: when an ended one is to be started again."""

    what: Child | Server
    started: float
    failures: int = 0
    due: float | None = None


class Watch:
    """Looks after children and servers from a thread of its own. `say` gets one line for each event."""

    def __init__(
        self, servers: Sequence[Server], children: Sequence[Child], say: Callable[[str], None]
    ) -> None:
        now = time.monotonic()
        everything: list[Child | Server] = [*servers, *children]
        self._watched = [_Watched(each, now) for each in everything]
        self._say = say
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Start nothing more. Returns once a start that is under way has ended."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(_LOOK_S):
            for each in self._watched:
                if not self._ending.is_set() and not each.what.running:
                    self._again(each)

    def _again(self, each: _Watched) -> None:
        now = time.monotonic()
        if each.due is None:
            wait = _SERVER_AFTER_S
            if isinstance(each.what, Child):
                each.failures = 0 if now - each.started > _SETTLED_S else each.failures
                wait = _WAITS_S[min(each.failures, len(_WAITS_S) - 1)]
                each.failures += 1
                words = each.what.last_words(1)
                ended = f"ended with code {each.what.code}" + (f": {words}" if words else "")
            else:
                ended = "ended"
            self._say(f"{each.what.name} {ended}; starting it again in {wait:g} s")
            each.due = now + wait
        elif now >= each.due:
            each.due = None
            try:
                each.what.start()
                each.started = now
                self._say(f"{each.what.name} runs again")
            except (ServerDidNotStart, DataDirInUse, FolderNotReachable, OSError) as error:
                self._say(f"{each.what.name} does not start: {error}")
