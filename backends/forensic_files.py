"""What a forensic bundle takes from the trading side's files: the artefacts of the incident's own run, and of
the audit logs the lines of its stretch of time.

Whoever may write there may write anything: only regular files are opened, no link is followed, and no more
than the end of each is read. Bytes stay as they lie there, but for passwords (I27).
Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from backends.jsonl_tail import Unreadable, open_regular
from backends.run_folder import newest_logs
from cockpit.domain.artefacts import AUDIT_LOGS, LINE_FILES, QUALITY_LATEST, BadLine, is_run_id, parse_line
from cockpit.domain.text import clean

MOST_KEPT: Final = 2_000_000
"""Bytes of each file, its last ones."""
MOST_SEARCHED: Final = 16_000_000
"""Bytes of each audit log in which lines of the stretch are looked for, its last ones."""
MOST_LOGS: Final = 32
RUN: Final = "run"
_BLANK: Final = b"***"
_IN_ADDRESS: Final = re.compile(rb"(://[^\s/:@\"']{0,200}:)[^\s/@\"']{1,500}(?=@)")
_LEAST_SECRET: Final = 6  # what is shorter may be any word
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file of the bundle. `data` is None where there is nothing; `why` says what is missing of it, "" where
    it is whole; `blanked` counts passwords that were taken out of it."""

    name: str
    data: bytes | None
    why: str = ""
    blanked: int = 0


class Artefacts:
    """`results` and `audit_logs` are the folders of the settings, None where there are none. No text in
    `addresses`' passwords leaves this class."""

    def __init__(self, results: Path | None, audit_logs: Path | None, addresses: Collection[str]) -> None:
        self._results = results
        self._logs = audit_logs
        found = {part for each in addresses if (part := urlsplit(each).password)}
        words = {text.encode() for part in found for text in (part, unquote(part))}
        self._secrets = sorted((each for each in words if len(each) >= _LEAST_SECRET), key=len, reverse=True)

    def found(self, run_id: str | None, from_at: datetime, until: datetime) -> list[Artefact]:
        """Of an incident of the run `run_id` (None: of no run) and of a stretch of time."""
        return [*self._run(run_id), *self._lines(from_at, until)]

    def _run(self, run_id: str | None) -> Iterator[Artefact]:
        if run_id is None:
            return
        folder = f"{RUN}/"
        if self._results is None:
            yield Artefact(folder, None, "the settings name no folder of runs ([runs] results)")
            return
        if not is_run_id(run_id):
            yield Artefact(folder, None, f"no run has such a name: {clean(run_id, 100)}")
            return
        try:
            with _opened(self._results) as root, _opened(run_id, os.O_NOFOLLOW, root) as fd:
                for name in (*LINE_FILES, QUALITY_LATEST):
                    yield self._whole(f"{RUN}/{name}", name, fd)
        except OSError as error:
            yield Artefact(folder, None, f"{run_id}: {error.strerror or type(error).__name__}")

    def _whole(self, name: str, path: str, folder: int) -> Artefact:
        try:
            data, before = _end_of(path, folder, MOST_KEPT)
        except Unreadable as error:
            return Artefact(name, None, str(error))
        return self._bundled(name, data, before)

    def _lines(self, from_at: datetime, until: datetime) -> Iterator[Artefact]:
        if self._logs is None:
            return
        folder = f"{AUDIT_LOGS}/"
        try:
            names = newest_logs(self._logs, MOST_LOGS + 1)
            with _opened(self._logs) as fd:
                for name in names[:MOST_LOGS]:
                    yield self._stretch(folder + name, name, fd, from_at, until)
        except (OSError, Unreadable) as error:
            yield Artefact(folder, None, getattr(error, "strerror", None) or str(error))
            return
        if len(names) > MOST_LOGS:
            yield Artefact(folder, None, f"only the newest {MOST_LOGS} files were read, there are more")

    def _stretch(self, name: str, path: str, folder: int, from_at: datetime, until: datetime) -> Artefact:
        """A line that is no event belongs to the one before it. A log of which an earlier event was read as
        well holds no more of the stretch, however much lies before that."""
        try:
            data, before = _end_of(path, folder, MOST_SEARCHED)
        except Unreadable as error:
            return Artefact(name, None, str(error))
        kept: list[bytes] = []
        within, begun = False, False
        for line in data.splitlines(keepends=True):
            with contextlib.suppress(BadLine):
                at = parse_line(line.rstrip(b"\r\n")).at
                before = 0 if not begun and at < from_at else before
                within, begun = from_at <= at <= until, True
            if within:
                kept.append(line)
        found = b"".join(kept)
        late = found[-MOST_KEPT:].partition(b"\n")[2] if len(found) > MOST_KEPT else found
        return self._bundled(name, late, len(found) - len(late) + before)

    def _bundled(self, name: str, data: bytes, before: int) -> Artefact:
        why = f"cut: {before} bytes before these were not taken" if before else ""
        data, blanked = _IN_ADDRESS.subn(rb"\1" + _BLANK, data)
        for secret in self._secrets:
            blanked += data.count(secret)
            data = data.replace(secret, _BLANK)
        return Artefact(name, data, why, blanked)


def _end_of(path: str, folder: int, most: int) -> tuple[bytes, int]:
    """The whole lines in a file's last `most` bytes, and how many bytes lie before them.

    Raises:
        Unreadable: there is no such file, it is a link or no file at all, or it cannot be read.
    """
    fd = open_regular(path, os.O_RDONLY, folder)
    if fd is None:
        raise Unreadable("there is no such file")
    try:
        with os.fdopen(fd, "rb") as file:
            size = os.fstat(fd).st_size
            start = max(0, size - most)
            file.seek(start)
            data = file.read(size - start)
    except OSError as error:
        raise Unreadable(error.strerror or type(error).__name__) from None
    if start:
        cut = data.find(b"\n") + 1
        return data[cut:], start + cut
    return data, 0


@contextlib.contextmanager
def _opened(path: Path | str, flags: int = 0, folder: int | None = None) -> Iterator[int]:
    """A folder's descriptor."""
    fd = os.open(path, _FOLDER | flags, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)
