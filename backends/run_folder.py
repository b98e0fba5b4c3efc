"""The run folders of the trading side, as a screen reads them: each file's newest lines, bad ones counted.

Whoever may write there may write anything: names that are no run's, links, pipes and folders in place of
files are passed over or said, never followed or waited for. All reading is done in one thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from backends.folder_watch import FolderWatch
from backends.jsonl_tail import MOST_LINE, Raw, Tail, Unreadable, open_regular
from backends.side_thread import SideThread
from cockpit.domain.artefacts import (
    AUDIT_LOGS,
    INCIDENTS,
    LINE_FILES,
    QUALITY_LATEST,
    BadLine,
    FileView,
    RunLine,
    RunView,
    is_run_id,
    parse_line,
)
from cockpit.domain.text import clean

SCREEN_BYTES: Final = 131_072
KEPT: Final = 200
MOST_LOGS: Final = 8
_MOST_BYTES: Final = 1 << 20  # of one file at one reading
_AHEAD_NS: Final = 60 * 1_000_000_000  # how far another machine's clock may be ahead of ours


def newest_runs(results: Path, most: int) -> tuple[list[str], int]:
    """The names of the run folders that were written to last, newest first, at most `most`; and how many
    there are. Links and names that no run has are none; what claims to be of tomorrow comes last, since
    nothing written today would ever pass it.

    Raises:
        Unreadable: the folder cannot be listed.
    """
    found: list[tuple[int, str]] = []
    try:
        with os.scandir(results) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # it is gone already
                    if is_run_id(entry.name) and entry.is_dir(follow_symlinks=False):
                        found.append((_written_ns(entry), entry.name))
    except OSError as error:
        raise Unreadable(error.strerror or type(error).__name__) from None
    found.sort(reverse=True)
    return [name for _, name in found[:most]], len(found)


def _written_ns(folder: os.DirEntry[str]) -> int:
    """When something was last written in it: a folder's own time stays as it is while its files grow."""
    times = [folder.stat(follow_symlinks=False).st_mtime_ns]
    with contextlib.suppress(OSError):  # a run without incidents has no such file
        times.append(Path(folder.path, INCIDENTS).lstat().st_mtime_ns)
    return _of_today(max(times))


def _of_today(written_ns: int) -> int:
    return written_ns if written_ns < time.time_ns() + _AHEAD_NS else 0


def newest_logs(folder: Path, most: int) -> list[str]:
    """The newest `*.jsonl` of a folder, as `newest_runs`."""
    found: list[tuple[int, str]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.name.endswith(".jsonl") and clean(entry.name, 200) == entry.name:
                        written_ns = entry.stat(follow_symlinks=False).st_mtime_ns
                        found.append((_of_today(written_ns), entry.name))
    except OSError as error:
        raise Unreadable(error.strerror or type(error).__name__) from None
    return [name for _, name in sorted(found, reverse=True)[:most]]


@dataclass(slots=True)
class _File:
    """One file that is followed. `shown` is its name on the screen."""

    shown: str
    tail: Tail
    lines: deque[RunLine] = field(default_factory=lambda: deque(maxlen=KEPT))
    bad: int = 0
    newest_bad: str = ""
    fault: str = ""

    def read(self) -> FileView:
        try:
            for raw in self.tail.read(_MOST_BYTES):
                self._take(raw)
            self.fault = ""
        except Unreadable as error:
            self.fault = str(error)
        return FileView(
            self.shown, self.tail.size, tuple(self.lines), self.bad, self.newest_bad, clean(self.fault, 200)
        )

    def _take(self, raw: Raw) -> None:
        place = f"{self.shown}:{raw.at}"
        try:
            self.lines.append(parsed(raw, place))
        except BadLine as error:
            self.bad += 1
            self.newest_bad = f"{place}: {error}"


def parsed(raw: Raw, place: str) -> RunLine:
    """
    Raises:
        BadLine: too long, or no event.
    """
    if raw.length > MOST_LINE:
        raise BadLine(f"over {MOST_LINE:,} bytes")
    return parse_line(raw.data, place)


class RunFolders:
    """The newest run folder below `results`, and the log files in `audit_logs`; either may be None."""

    def __init__(self, results: Path | None, audit_logs: Path | None = None) -> None:
        self._results = results
        self._logs = audit_logs
        self._files: dict[Path, _File] = {}
        self._thread = SideThread("run folders")
        self._watch = FolderWatch()

    async def view(self, run_id: str | None = None) -> RunView:
        """What is there now: of the run `run_id`, of the newest one where None. Raises nothing that a folder
        may cause; that stands in `faults`."""
        found = await asyncio.get_running_loop().run_in_executor(self._thread, self._view, run_id)
        run = [self._results / found.run_id] if self._results and found.run_id else []
        self._watch.follow([each for each in (self._results, *run, self._logs) if each is not None])
        return found

    async def wait(self, timeout_s: float) -> bool:
        """True as soon as something in the folders of the last `view` has changed, or did since; False after
        `timeout_s`, when it is time to look again anyway: notices may be missed, or not be had at all."""
        return await self._watch.wait(timeout_s)

    @property
    def watching(self) -> str:
        """How changes are noticed, for people."""
        return self._watch.how

    async def close(self) -> None:
        await self._watch.close()
        forgotten = asyncio.get_running_loop().run_in_executor(self._thread, self._forget, frozenset[Path]())
        await asyncio.wait({forgotten}, timeout=1.0)  # a disk that does not answer is not waited for
        self._thread.shutdown()

    def _view(self, wanted: str | None) -> RunView:
        faults: list[str] = []
        names: list[str] = []
        count = 0
        if self._results is not None:
            try:
                names, count = newest_runs(self._results, 1)
            except Unreadable as error:
                faults.append(f"run folders: {error}")
        run_id = wanted if wanted is not None and is_run_id(wanted) else (names[0] if names else "")
        folder = self._results / run_id if self._results and run_id else None
        if folder is not None and (folder.is_symlink() or not folder.is_dir()):
            faults.append(f"run {clean(run_id, 128)}: there is no such folder")
            folder = None
        logs: list[str] = []
        if self._logs is not None:
            try:
                logs = newest_logs(self._logs, MOST_LOGS)
            except Unreadable as error:
                faults.append(f"{AUDIT_LOGS}: {error}")
        paths = {folder / name: name for name in LINE_FILES} if folder else {}
        paths |= {self._logs / name: f"{AUDIT_LOGS}/{name}" for name in logs} if self._logs else {}
        self._forget(frozenset(paths))
        views = {path: self._file(path, shown).read() for path, shown in paths.items()}
        files = {view.name: view for path, view in views.items() if path.parent == folder}
        if folder:
            files[QUALITY_LATEST] = self._whole(folder / QUALITY_LATEST)
        return RunView(
            run_id=run_id if folder else "",
            at=datetime.now(UTC),
            files=files,
            audit=tuple(view for path, view in views.items() if path.parent != folder),
            runs=count,
            faults=tuple(faults),
        )

    def _file(self, path: Path, shown: str) -> _File:
        if path not in self._files:
            self._files[path] = _File(shown, Tail(path, last=SCREEN_BYTES))
        return self._files[path]

    def _forget(self, but: frozenset[Path]) -> None:
        for path in [path for path in self._files if path not in but]:
            self._files.pop(path).tail.close()

    def _whole(self, path: Path) -> FileView:
        """A file that is one object and is replaced as a whole."""
        try:
            with _opened(path) as fd:
                if fd is None:
                    return FileView(QUALITY_LATEST)
                data = os.read(fd, MOST_LINE + 1)
            line = parsed(Raw(0, data, len(data)), QUALITY_LATEST)
        except BadLine as error:
            return FileView(QUALITY_LATEST, bad=1, newest_bad=f"{QUALITY_LATEST}: {error}")
        except (OSError, Unreadable) as error:
            return FileView(QUALITY_LATEST, fault=clean(str(error), 200))
        return FileView(QUALITY_LATEST, len(data), (line,))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    fd = open_regular(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)
