"""Starting a server so that it can never outlive, outrank or be interrupted in place of its parent.

- It dies with us. On Linux the parent-death signal ends it even after our own `kill -9`. The kernel ties
  that signal to the parent *thread* and forgets it when credentials change, so one thread that lives as long
  as the process starts every server, and the signal is set after the change of user.
- It is never root. Started by root it runs as an unprivileged user, and no folder's permissions are loosened
  for that: where this user cannot pass a folder (a 0700 clone, a data folder under /root) the process gets
  the one capability of reading past permissions, CAP_DAC_READ_SEARCH. PostgreSQL refuses to run as root.
- It has its own session: Ctrl-C in the terminal reaches the cockpit, which then stops its servers in order.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

NOBODY = 65534
_CAP_DAC_READ_SEARCH = 2  # linux/capability.h

# A parent that died before the signal was armed never sends it: so the parent is compared once after that.
_CHECK_PARENT = '[ "$PPID" = "$0" ] && exec "$@"'
_WITHOUT_SETPRIV = """
import ctypes, os, sys  # now: the interpreter may lie where the other user cannot read
parent, signum, uid, gid, *command = sys.argv[1:]
if int(uid) >= 0:
    os.setgroups([])
    os.setresgid(int(gid), int(gid), int(gid))
    os.setresuid(int(uid), int(uid), int(uid))
if sys.platform == "linux":
    if ctypes.CDLL(None, use_errno=True).prctl(1, int(signum), 0, 0, 0):
        sys.exit("cannot set the parent-death signal")
if os.getppid() == int(parent):
    os.execv(command[0], command)
"""


class FolderNotReachable(RuntimeError):
    """The unprivileged user that is to run a server cannot pass `folder`, and we cannot lend it the right."""

    def __init__(self, folder: Path, uid: int, why: str) -> None:
        super().__init__(
            f"{folder} cannot be entered or read by user {uid}, as which servers run that root starts, "
            f"and {why}. Choose a folder that this user can reach with --data-dir, or install the cockpit "
            f"where it can; permissions of existing folders are not changed."
        )
        self.folder = folder
        self.uid = uid


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a server runs as; `reads_past_permissions` adds CAP_DAC_READ_SEARCH."""

    uid: int
    gid: int
    reads_past_permissions: bool = False


def unprivileged_account(owner_uid: int | None = None) -> Account:
    """Who runs servers that root starts: the owner of existing data, else `nobody`, else any other user."""
    if owner_uid:
        try:
            return Account(owner_uid, pwd.getpwuid(owner_uid).pw_gid)
        except KeyError:
            return Account(owner_uid, owner_uid)
    entries = sorted(
        (entry for entry in pwd.getpwall() if entry.pw_uid > 0 and entry.pw_gid > 0),
        key=lambda entry: (entry.pw_name != "nobody", entry.pw_uid != NOBODY, -entry.pw_uid),
    )
    return Account(entries[0].pw_uid, entries[0].pw_gid) if entries else Account(NOBODY, NOBODY)


def first_unreachable(path: Path, account: Account) -> Path | None:
    """The first folder down to `path` that the account cannot enter, or `path`, a file it cannot read."""
    for step in [*reversed(path.parents), path]:
        status = step.stat()
        shift = 6 if status.st_uid == account.uid else 3 if status.st_gid == account.gid else 0
        wanted = 1 if stat.S_ISDIR(status.st_mode) else 4
        if not status.st_mode >> shift & wanted:
            return step
    return None


def account_for(needs: Sequence[Path], owner_uid: int | None) -> Account | None:
    """The account for a server that needs these resolved paths: folders to enter, files to read.

    None: run it as we are, for we are not root. Raises FolderNotReachable.
    """
    if os.geteuid() != 0:
        return None
    account = unprivileged_account(owner_uid)
    blocked = next((found for need in needs if (found := first_unreachable(need, account))), None)
    if blocked is None:
        return account
    if setpriv() is None:
        raise FolderNotReachable(blocked, account.uid, "util-linux's setpriv, to lend it that, is missing")
    if not _holds_capability(_CAP_DAC_READ_SEARCH):
        raise FolderNotReachable(blocked, account.uid, "we lack CAP_DAC_READ_SEARCH to lend it that")
    return Account(account.uid, account.gid, reads_past_permissions=True)


def _holds_capability(number: int) -> bool:
    status = Path("/proc/self/status")
    if not status.exists():
        return False
    for line in status.read_text().splitlines():
        if line.startswith("CapPrm:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def setpriv() -> str | None:
    """util-linux's setpriv; other programs of that name (busybox) lack the options used here."""
    found = shutil.which("setpriv", path="/usr/sbin:/usr/bin:/sbin:/bin")
    return found if found and _is_util_linux(found) else None


@functools.cache
def _is_util_linux(program: str) -> bool:
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return "util-linux" in answer.stdout


def command_line(
    command: Sequence[str], account: Account | None, on_parent_death: signal.Signals
) -> list[str]:
    """The command wrapped in change of user and parent-death signal; the pid stays the same down to it."""
    program = setpriv() if sys.platform == "linux" else None
    if program is None:
        ids = [str(account.uid), str(account.gid)] if account else ["-1", "-1"]
        signum = str(on_parent_death.value)
        return [sys.executable, "-I", "-S", "-c", _WITHOUT_SETPRIV, str(os.getpid()), signum, *ids, *command]
    line = [program, "--no-new-privs", "--pdeathsig", on_parent_death.name.removeprefix("SIG")]
    if account is not None:
        line += [f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
        if account.reads_past_permissions:
            # PostgreSQL seeks its programs by access(2), which heeds capabilities only with this secure bit.
            line += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
            line += ["--securebits=+no_setuid_fixup"]
    return [*line, "--", "/bin/sh", "-c", _CHECK_PARENT, str(os.getpid()), *command]


@functools.cache
def _starter() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="server-parent")


def spawn(
    command: Sequence[str],
    account: Account | None,
    on_parent_death: signal.Signals,
    *,
    cwd: Path,
    log: IO[bytes],
    stdin: bytes = b"",
    keep_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start the command from the one lasting thread. Output goes to `log`; `stdin` must fit a pipe (4 KB)."""

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command_line(command, account, on_parent_death),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            pass_fds=tuple(keep_fds),
        )
        assert process.stdin is not None  # noqa: S101 (PIPE was asked for)
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # it ended: its exit code says so
            pipe.write(stdin)
        return process

    future = _starter().submit(start)
    try:
        return future.result()
    except BaseException:
        if future.exception() is None:  # we were interrupted while it started
            future.result().kill()
            future.result().wait()
        raise


def descendants(pid: int) -> list[int]:
    """Pids of all living processes below `pid`, parents first. Empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found, queue = [], [pid]
    while queue:
        below = children.get(queue.pop(0), [])
        found += below
        queue += below
    return found


def processes_in(folder: Path, program: str) -> list[int]:
    """Pids of processes of that program whose working directory is `folder`, as far as we may look."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            inside = (entry / "cwd").readlink() == folder
            if inside and (entry / "exe").readlink().name.removesuffix(" (deleted)") == program:
                found.append(int(entry.name))
        except OSError:  # ended meanwhile, or not ours to see
            continue
    return found
