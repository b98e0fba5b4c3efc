"""Reads what is appended to a JSONL file, whatever happens to the file meanwhile.

A file is read by its descriptor: renamed away, it is read to its end before the one that took its place; cut
or written anew, it is read from its start. A line counts once it has its end. Nothing but a regular file is
opened. At least once: a line may come twice, none is passed over.
Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MOST_LINE: Final = 65_536
SLICE: Final = 1 << 20
_MARK: Final = 64
_OPEN: Final = os.O_RDONLY | os.O_NOCTTY


class Unreadable(Exception):
    """The path is nothing that can be read; the message is why, in a few words."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader has got to: the file's inode, the offset behind the last whole line, and the bytes just
    before it, by which a file that was written anew is told from one that grew."""

    inode: int
    offset: int
    mark: bytes = b""


@dataclass(frozen=True, slots=True)
class Raw:
    """One whole line without its end. `at` is its offset. Too long: `data` is empty and `length` says how
    long it was. `mark` and `restarts` are what `Tail.go_back` tells the place by."""

    at: int
    data: bytes
    length: int = 0
    mark: bytes = field(default=b"", compare=False, repr=False)
    restarts: int = field(default=0, compare=False, repr=False)


class Tail:
    """One file at `path`, which need not be there yet. `folder` is a descriptor that `path` is relative to.

    `start` is where to begin: a remembered place, else `last` bytes before the end (None: at the start). A
    line that is cut by beginning in its midst is passed over.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        start: Place | None = None,
        last: int | None = None,
        most_line: int = MOST_LINE,
        folder: int | None = None,
    ) -> None:
        self.path = path
        self.size = 0
        self.restarts = 0
        self.taken = 0  # bytes that were ever read, those included that were read twice
        self._folder = folder
        self._start = start
        self._last = last
        self._most = most_line
        self._fd: int | None = None
        self._inode = (0, 0)
        self._reset(0)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    @property
    def place(self) -> Place | None:
        """Where the next reader would go on; None while nothing is open."""
        return None if self._fd is None else Place(self._inode[1], self._line_at, self._mark)

    def read(self, most: int = SLICE) -> list[Raw]:
        """The lines that have become whole, out of at most about `most` bytes; [] where there are none.

        Raises:
            Unreadable: a link, pipe, device or folder stands at the path, or it may not be read.
        """
        try:
            return list(self._read(most))
        except OSError as error:
            self.close()
            raise Unreadable(error.strerror or type(error).__name__) from None

    def go_back(self, raw: Raw) -> bool:
        """Give `raw` and what came after it back: the next reading begins with it. False where another file
        has been begun since, of which this line is none."""
        if self._fd is None or raw.restarts != self.restarts:
            return False
        self._reset(raw.at)
        self._mark = raw.mark
        return True

    @property
    def behind(self) -> bool:
        """Whether more bytes are there than have been read."""
        return self._fd is not None and self._read_to < self.size

    def _read(self, most: int) -> Iterator[Raw]:
        fd = self._open() if self._fd is None else self._fd
        if fd is None:
            return
        self.size = os.fstat(fd).st_size
        self._look_back(fd)
        left = most
        while left > 0 and (data := os.pread(fd, min(left, SLICE), self._read_to)):
            left -= len(data)
            yield from self._take(data)
        if left > 0 and self._moved():
            ends = os.fstat(fd).st_size  # what was written to the old file up to now
            while left > 0 and self._read_to < ends:
                data = os.pread(fd, min(left, SLICE, ends - self._read_to), self._read_to)
                if not data:
                    break  # it has been cut
                left -= len(data)
                yield from self._take(data)
            if self._read_to < ends:
                self.size = ends
                return  # the next reading goes on with it, however long it is
            yield from self._last_of_it()
            self.close()
            self._again()
            try:
                fd = self._open()
            except Unreadable:
                return  # the next reading says so; what has been read counts
            if fd is not None:
                yield from self._read(left)

    def _open(self) -> int | None:
        """Open what stands at the path; None where nothing does."""
        fd = open_regular(self.path, _OPEN, self._folder)
        if fd is None:
            return None
        found = os.fstat(fd)
        self._fd, self._inode, self.size = fd, (found.st_dev, found.st_ino), found.st_size
        self._begin(fd)
        return fd

    def _begin(self, fd: int) -> None:
        """Where to start in the file that has just been opened; only the first one is begun in its midst."""
        start, last = self._start, self._last
        self._start = self._last = None
        self._reset(0)
        if start is not None and start.inode == self._inode[1] and start.offset <= self.size:
            self._reset(start.offset)
            self._mark = start.mark
        elif start is None and last is not None and self.size > last:
            self._reset(self.size - last)
            length = min(_MARK, self._read_to)
            self._mark = os.pread(fd, length, self._read_to - length)
            self._skipping = self._mark[-1:] != b"\n"

    def _reset(self, offset: int) -> None:
        self._read_to = self._line_at = offset
        self._mark = b""
        self._partial = bytearray()
        self._dropped = 0
        self._skipping = False

    def _again(self) -> None:
        self._reset(0)
        self.restarts += 1

    def _look_back(self, fd: int) -> None:
        """Whether the bytes before the current line, and what was read of it, are still what they were."""
        mark, part = self._mark, self._partial
        if self.size < self._line_at or os.pread(fd, len(mark), self._line_at - len(mark)) != mark:
            self._again()
        elif self.size < self._read_to or os.pread(fd, len(part), self._read_to - len(part)) != part:
            self._reset(self._line_at)
            self._mark = mark

    def _take(self, data: bytes) -> Iterator[Raw]:
        begin = 0
        self.taken += len(data)
        while (end := data.find(b"\n", begin)) >= 0:
            length = self._dropped + len(self._partial) + end - begin
            if self._skipping:
                self._skipping = False
            elif length > self._most:
                yield Raw(self._line_at, b"", length, self._mark, self.restarts)
            else:
                whole = bytes(self._partial) + data[begin:end]
                yield Raw(self._line_at, whole, length, self._mark, self.restarts)
            before = bytes(self._partial[-_MARK:]) + data[max(begin, end - _MARK) : end + 1]
            self._mark = (self._mark + before)[-_MARK:] if length < _MARK else before[-_MARK:]
            begin = end + 1
            self._line_at = self._read_to + begin
            self._partial.clear()
            self._dropped = 0
        self._read_to += len(data)
        self._partial += data[begin:]
        if len(self._partial) > self._most:  # only its length and its last bytes are needed from now on
            self._dropped += len(self._partial) - _MARK
            del self._partial[:-_MARK]

    def _moved(self) -> bool:
        """Whether another file stands at the path, or none."""
        try:
            found = os.stat(self.path, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False  # it may come back; what was renamed away is still read
        return (found.st_dev, found.st_ino) != self._inode

    def _last_of_it(self) -> Iterator[Raw]:
        """The last line of a file that another one has replaced: it stays without an end for ever."""
        if self._partial:
            data = bytes(self._partial) if not self._dropped else b""
            yield Raw(self._line_at, data, len(self._partial), self._mark, self.restarts)


def open_regular(path: Path | str, flags: int, folder: int | None = None) -> int | None:
    """A descriptor of the regular file at `path` (relative to the descriptor `folder`); None: there is none.

    Raises:
        Unreadable: it is a link, pipe, device, socket or folder, or may not be opened.
    """
    try:
        _check(os.stat(path, dir_fd=folder, follow_symlinks=False))
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(error.strerror or type(error).__name__) from None
    try:
        _check(os.fstat(fd))  # what stood there a moment ago may be something else now
    except Unreadable:
        os.close(fd)
        raise
    return fd


def _check(found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise Unreadable("a link, which is not followed")
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable("a folder, pipe or device, and no file")
