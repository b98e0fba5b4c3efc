"""One owner at a time for a data folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from cockpit.demo.private_files import make_folder, open_private


class DataDirInUse(RuntimeError):
    """Another live process holds the folder. `pid` is None when it left no readable number."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(
            f"{folder} is in use by {holder}. Stop that one first, choose another folder with --data-dir, or "
            f"join it: COCKPIT_CONFIG={folder / 'config.toml'} cockpit"
        )
        self.folder = folder
        self.pid = pid


class DataDirLock:
    """An flock on `<folder>/lock`, with the holder's pid as its text.

    The kernel drops it when the process ends, however that happens, so nothing stale is ever left.
    The descriptor is close-on-exec: programs started by the holder do not keep the folder locked.
    Creates the folder where it is missing. Raises DataDirInUse, OSError.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        return self._fd is not None

    def acquire(self) -> None:
        if self._fd is not None:
            return
        make_folder(self.folder)
        fd = open_private(self.folder / "lock")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            raise DataDirInUse(self.folder, int(text) if text.isdecimal() else None) from None
        else:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
            self._fd, fd = fd, -1
        finally:
            if fd >= 0:
                os.close(fd)

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> DataDirLock:
        self.acquire()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
