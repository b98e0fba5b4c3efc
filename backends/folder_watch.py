"""Notices that something in some folders has changed, by the kernel where it tells.

Folders are watched, never files: one that is renamed and made anew would go silent. A notice is a help and no
need: who waits looks again by itself after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cockpit.domain.text import clean

DEBOUNCE_MS: Final = 100
_AGAIN_S: Final = 30.0  # after the kernel has refused


class FolderWatch:
    """One set of folders, themselves and not what is below them."""

    def __init__(self) -> None:
        self._folders: frozenset[Path] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()
        self.how = "nothing is watched"

    def follow(self, folders: Iterable[Path]) -> None:
        """Watch these from now on. Those that are missing are looked for again when somebody waits."""
        wanted = frozenset(folders)
        alive = self._task is not None and not self._task.done()
        if wanted == self._folders and (alive or not wanted):
            return
        self._folders = wanted
        self._stop.set()
        self._stop = asyncio.Event()
        self._task = (
            asyncio.create_task(self._watch(wanted, self._stop), name="folder watch") if wanted else None
        )

    async def wait(self, timeout_s: float) -> bool:
        """True as soon as something has changed since the last call; False after `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        changed = self._changed.is_set()
        self._changed.clear()
        return changed

    async def close(self) -> None:
        self._stop.set()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self, folders: frozenset[Path], stop: asyncio.Event) -> None:
        from watchfiles import awatch

        present = [folder for folder in folders if folder.is_dir()]
        while not stop.is_set():
            try:
                if len(present) == len(folders):
                    self.how = f"{len(folders)} folders are watched"
                    async for _ in awatch(
                        *present,
                        watch_filter=None,
                        debounce=DEBOUNCE_MS,
                        step=20,
                        stop_event=stop,
                        recursive=False,
                        rust_timeout=1_000,
                    ):
                        self._changed.set()
                else:
                    self.how = "looked at now and then: a folder is missing"
            except (OSError, RuntimeError) as error:  # no watches left, a file system that has none
                self.how = clean(f"looked at now and then: {error}", 200)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_S if not stop.is_set() else 0):
                    await stop.wait()
            present = [folder for folder in folders if folder.is_dir()]
