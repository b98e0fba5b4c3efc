"""Writes one event into a run's own file, once, whoever else writes there and whenever we died.

One `write` to a file that is opened for appending, under the file's lock, synced before it counts. Everything
blocks, for a second at most where somebody holds the lock: call it in a thread.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from backends.jsonl_tail import MOST_LINE, Unreadable, open_regular
from cockpit.domain.artefacts import INCIDENTS, is_run_id

LOCK_S: Final = 1.0
_SEARCHED: Final = 1 << 20


def append_once(results: Path, run_id: str, fields: Mapping[str, object]) -> bool:
    """Append `fields` to the run's `incident_events.jsonl` unless a whole line has its `event_id` already;
    False where one has.

    Raises:
        Unreadable: no such run, something else in place of the file, its lock is held, or the disk is full.
    """
    if not is_run_id(run_id):
        raise Unreadable("no run has such a name")
    try:
        root = os.open(results, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            folder = os.open(run_id, flags, dir_fd=root)
        finally:
            os.close(root)
        try:
            return _append(folder, fields)
        finally:
            os.close(folder)
    except OSError as error:
        raise Unreadable(error.strerror or type(error).__name__) from None


def _append(folder: int, fields: Mapping[str, object]) -> bool:
    fd = open_regular(INCIDENTS, os.O_RDWR | os.O_APPEND, folder)
    if fd is None:
        fd = os.open(
            INCIDENTS, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder
        )
        os.fsync(folder)
    try:
        _lock(fd)
        if _holds(fd, str(fields["event_id"])):
            os.fsync(fd)  # it may have been written a moment before we died
            return False
        size = os.fstat(fd).st_size
        cut_off = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        line = b"\n" * cut_off + json.dumps(dict(fields)).encode() + b"\n"
        if os.write(fd, line) != len(line):
            raise Unreadable("only a part of the line could be written")
        os.fsync(fd)
        return True
    finally:
        os.close(fd)  # which gives the lock back


def _lock(fd: int) -> None:
    ends = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > ends:
                raise Unreadable("somebody else holds its lock") from None
            time.sleep(0.02)


def _holds(fd: int, event_id: str) -> bool:
    """Whether one of the last whole lines of the file is the event `event_id`; a part of one is none.

    Only its last `_SEARCHED` bytes are looked at, however long somebody has made it. If more than that was
    written since we died, the event stands there twice, which its readers can tell by its id.
    """
    wanted, size = event_id.encode(), os.fstat(fd).st_size
    begin = max(0, size - _SEARCHED)
    data = os.pread(fd, size - begin, begin)
    lines = data.split(b"\n")[1 if begin else 0 : -1]  # the first one may be cut, the last one has no end
    return any(_is_event(line, event_id) for line in lines if wanted in line)


def _is_event(line: bytes, event_id: str) -> bool:
    if len(line) > MOST_LINE:
        return False
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("event_id") == event_id
