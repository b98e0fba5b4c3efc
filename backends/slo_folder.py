"""The objectives' files, read again when they change; what is broken leaves the last good book in force.

A file is taken for changed when its time, size or inode is, and believed once that has stood still for
`settle_s`: an editor that writes in place, or deletes and creates, is then not caught half-way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from backends.openslo import BadObjective, FileObjects, book_of, objective_files, read_bytes, read_file
from cockpit.domain.breakers import Catalogue
from cockpit.domain.slos import SloBook

SETTLE_S: Final = 0.5
_SHIPPED: Final = "; these come with the cockpit, and `[slos] shipped = false` leaves them out"

Marks = Mapping[str, tuple[int, ...]]
"""What tells one version of each file from another."""


@dataclass(frozen=True, slots=True)
class _Read:
    """One file as it was last read whole. `ended`: its last line had an end."""

    mark: tuple[int, ...]
    objects: FileObjects
    ended: bool


class SloFolder:
    """The objectives of `folders`, and of the cockpit itself where `shipped`. For one thread.

    Raises:
        BadObjective: from the first `book()`, where anything at all is wrong. Later faults stand in the
            book's `faults`, beside the objectives of its `loaded_at`.
    """

    def __init__(
        self,
        shipped: bool,
        folders: Sequence[Path | Traversable],
        catalogue: Catalogue,
        settle_s: float = SETTLE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        own: list[Path | Traversable] = [files("runbooks").joinpath("slos")] if shipped else []
        self._shipped = tuple(str(folder) for folder in own)
        self._folders: tuple[Path | Traversable, ...] = (*own, *folders)
        self._catalogue = catalogue
        self._settle_s, self._clock = settle_s, clock
        self._book: SloBook | None = None
        self._read: dict[str, _Read] = {}
        self._taken: Marks = {}
        self._seen: Marks = {}
        self._seen_at = 0.0

    def book(self) -> SloBook:
        """What is in force. Costs one `stat` a file as long as nothing changes."""
        fault: BadObjective | None = None
        marks: Marks = {}
        found: dict[str, Path | Traversable] = {}
        try:
            found = {str(file): file for folder in self._folders for file in objective_files(folder)}
            marks = {name: _mark(file) for name, file in found.items()}
        except BadObjective as error:
            fault = error
        if self._book is None:
            if fault is not None:
                raise self._explained(fault)
            return self._start(found, marks)
        if fault is None and marks == self._taken:
            return self._book
        if not self._settled({"": (hash(str(fault)),)} if fault is not None else marks):
            return self._book
        return self._again(found, marks, fault)

    def _start(self, found: Mapping[str, Path | Traversable], marks: Marks) -> SloBook:
        try:
            read = {name: self._one(name, file, marks[name]) for name, file in found.items()}
            book = book_of([each.objects for each in read.values()])
        except BadObjective as error:
            raise self._explained(error) from None
        self._book, self._read, self._taken = book, read, marks
        return book

    def _again(
        self, found: Mapping[str, Path | Traversable], marks: Marks, fault: BadObjective | None
    ) -> SloBook:
        """Read what changed. Whatever is wrong, the book of before stands and says so."""
        held = self._book or SloBook()
        try:
            if fault is not None:
                raise fault
            for name, file in found.items():
                if name not in self._read or self._read[name].mark != marks[name]:
                    self._read[name] = self._one(name, file, marks[name])
            self._read = {name: self._read[name] for name in found}
            self._book = book_of([each.objects for each in self._read.values()])
        except BadObjective as error:
            since = f"{held.loaded_at or datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}"
            said = f"{error}; the objectives of {since} stand meanwhile"
            self._book = replace(held, faults=(said,))
        self._taken = marks
        return self._book

    def _one(self, name: str, file: Path | Traversable, mark: tuple[int, ...]) -> _Read:
        data = read_bytes(file)
        before = self._read.get(name)
        ended = data.endswith(b"\n")
        if before is not None and before.ended and not ended:
            line = data.count(b"\n") + 1
            raise BadObjective(name, line, "ends in mid-line, as it did not before; was it saved half-way?")
        return _Read(mark, read_file(name, data, self._catalogue), ended)

    def _settled(self, marks: Marks) -> bool:
        """Whether the files have looked the same for `settle_s`."""
        now = self._clock()
        if marks != self._seen:
            self._seen, self._seen_at = marks, now
        return now - self._seen_at >= self._settle_s

    def _explained(self, error: BadObjective) -> BadObjective:
        if any(error.file.startswith(folder) for folder in self._shipped):
            return BadObjective(error.file, error.line, error.why + _SHIPPED)
        return error


def _mark(file: Path | Traversable) -> tuple[int, ...]:
    """A packed resource has no times, and does not change either.

    Raises:
        BadObjective: the file went away between being listed and being looked at.
    """
    if not isinstance(file, os.PathLike):
        return ()
    try:
        found = Path(file).stat()
    except OSError as error:
        raise BadObjective(str(file), 1, f"cannot be read: {error.strerror}; is it being saved?") from None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev
