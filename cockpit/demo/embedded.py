"""What the embedded servers share: folder, lock, port, owner's password, start and end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

from cockpit.demo.data_lock import DataDirLock
from cockpit.demo.launch import Account, account_for, descendants, processes_in, spawn
from cockpit.demo.private_files import give, make_folder, open_private, write_private

HOST = "127.0.0.1"
_START_S = 30.0
_STOP_S = 15.0
_ORPHANS_S = 10.0
_LOG_LIMIT_BYTES = 5_000_000
_PORTS_TRIED = 5


class ServerDidNotStart(RuntimeError):
    """A server ended early or did not answer in time. `log_tail` holds its last own words, unsanitised."""

    def __init__(self, name: str, why: str, log_tail: str = "") -> None:
        super().__init__(f"{name} did not start: {why}" + (f"\n{log_tail}" if log_tail else ""))
        self.name = name
        self.why = why
        self.log_tail = log_tail


class Server:
    """What both servers share: folder, port, owner's password, start, end.

    `port`: None takes the one remembered in the folder, or else a free one; a number is taken as it is.
    `settings`: extra configuration, name to value, on top of the built-in one.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    _gentle: ClassVar[signal.Signals]  # asks for an orderly end, from stop() and at our own death

    def __init__(
        self, data_dir: Path, port: int | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self.folder = data_dir.resolve() / self.name
        self.data = self.folder / "data"
        self.log_path = self.folder / "server.log"
        self.settings = dict(settings or {})
        self._wanted_port = port
        self._lock = DataDirLock(self.folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._paused: list[int] = []
        self._last_reply = b""

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; the same at each start while it is free. Known after the first start."""
        if self._wanted_port is not None:
            return self._wanted_port
        return int((self.folder / "port").read_text())

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The main process, or None while the server is not running."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def owner_password(self) -> str:
        return (self.folder / "owner-password").read_text()

    def start(self) -> None:
        """Start and return once the server answers a client; does nothing while it runs.

        Raises ServerDidNotStart, DataDirInUse (another live process runs it), FolderNotReachable, OSError.
        """
        if self.running:
            return
        make_folder(self.folder.parent)
        self._lock.acquire()
        try:
            self._start_locked()
        except BaseException:
            self.kill()
            raise

    def _start_locked(self) -> None:
        with contextlib.ExitStack() as stack:
            alive = open_private(self.folder / "alive")
            stack.callback(os.close, alive)
            self._wait_for_orphans(alive)
            if not (self.folder / "owner-password").exists():
                write_private(self.folder / "owner-password", secrets.token_urlsafe(24))
            self._truncate_long_log()
            account = self._account()
            self._prepare(account, alive)
            for attempt in range(_PORTS_TRIED):
                self._settle_port(anew=attempt > 0)
                if self._launch(account, alive):
                    return
        raise ServerDidNotStart(self.name, f"port {self.port} and others are taken", self._log_tail(0))

    def stop(self) -> None:
        """End it in order; by force after 15 s. Does nothing when it does not run."""
        self.resume()
        self._end(self._gentle)

    def kill(self, signum: signal.Signals = signal.SIGKILL) -> None:
        """Send the signal to the main process alone and wait for its end; by force after 15 s."""
        self._end(signum)

    def restart(self) -> None:
        """stop() and start() on the same port and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP the server and all its children: connections stay open and nothing answers."""
        pid = self.pid
        if pid is None:
            return
        os.kill(pid, signal.SIGSTOP)  # first, so that it starts no more children
        self._paused = [pid, *descendants(pid)]
        for child in self._paused[1:]:
            _send(child, signal.SIGSTOP)

    def resume(self) -> None:
        """Undo pause()."""
        while self._paused:
            _send(self._paused.pop(), signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What a kind of server defines.

    def _needs(self) -> Sequence[Path]:
        raise NotImplementedError

    def _prepare(self, account: Account | None, alive: int) -> None:
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self, connection: socket.socket) -> bool:
        raise NotImplementedError

    # Steps of a start and an end.

    def _account(self) -> Account | None:
        owner = self.data.stat().st_uid if self.data.exists() else None
        if owner is not None and os.geteuid() not in (0, owner):
            why = f"{self.data} belongs to user {owner}; run as that user"
            raise ServerDidNotStart(self.name, f"{why}, or choose another folder with --data-dir")
        account = account_for([*self._needs(), self.folder], owner)
        if account is not None and owner == 0:  # data copied by root
            give(self.data, account)
        return account

    def _wait_for_orphans(self, alive: int) -> None:
        """Every process of a server has `alive` open and locked: the lock is free once the last has ended.

        We hold the folder's own lock, so whoever still lives has lost its parent: it ends soon, or is killed.
        """
        if _try_lock(alive):
            return
        for pid in processes_in(self.data, self.program):
            _send(pid, signal.SIGCONT)  # one that was paused has yet to see its parent's death
        if _until(lambda: _try_lock(alive), _ORPHANS_S):
            return
        for pid in processes_in(self.data, self.program):
            _send(pid, signal.SIGKILL)
        if not _until(lambda: _try_lock(alive), _ORPHANS_S):
            why = f"processes of an earlier {self.program} still use {self.data}; end them first"
            raise ServerDidNotStart(self.name, why)

    def _settle_port(self, *, anew: bool) -> None:
        if self._wanted_port is not None:
            if not _is_free(self._wanted_port):
                raise ServerDidNotStart(self.name, f"port {self._wanted_port} is taken; choose another")
            return
        remembered = self.folder / "port"
        if anew or not remembered.exists() or not _is_free(int(remembered.read_text())):
            write_private(remembered, str(_free_port()))

    def _launch(self, account: Account | None, alive: int) -> bool:
        """Start it and wait for an answer. False when another program took the port in the meantime."""
        with self.log_path.open("ab") as log:
            begin = log.tell()
            self._process = process = spawn(
                self._command(), account, self._gentle, cwd=self.data, log=log, keep_fds=[alive]
            )
        answered = _until(lambda: process.poll() is not None or self._is_ready(), _START_S)
        tail = self._log_tail(begin)
        if process.poll() is not None:
            if self._wanted_port is None and "address already in use" in tail.lower():
                return False
            raise ServerDidNotStart(self.name, f"it ended with code {process.returncode}", tail)
        if not answered:
            said = f"; last reply {self._last_reply[:200]!r}" if self._last_reply else ""
            why = f"no answer on port {self.port} in {_START_S:.0f} s{said}"
            raise ServerDidNotStart(self.name, why, tail)
        return True

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=0.5) as connection:
                return self._answers(connection)
        except OSError:
            return False

    def _end(self, signum: signal.Signals) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signum)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.resume()  # children of a paused and killed server have to run to see that it is gone
        self._process = None
        self._lock.release()

    def _log_tail(self, begin: int) -> str:
        with self.log_path.open("rb") as log:
            log.seek(begin)
            return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-15:])

    def _truncate_long_log(self) -> None:
        if self.log_path.exists() and self.log_path.stat().st_size > _LOG_LIMIT_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))


def _until(condition: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    """Below the ephemeral range: a client that keeps trying an ephemeral port can connect to itself."""
    while not _is_free(port := random.SystemRandom().randrange(20_000, 32_000)):
        pass
    return port


def _send(pid: int, signum: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.kill(pid, signum)
