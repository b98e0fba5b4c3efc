"""One thread beside the loop for work on files, which keeps no process from ending.

The threads of `ThreadPoolExecutor` are waited for when the interpreter ends; a file on a disk that no longer
answers would hold the process for ever. This one is a daemon: what it is at when the process ends is cut off.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_Work = tuple[Future[Any], Callable[[], Any]]
_CLOSED: Final = "the thread is closed"


class SideThread(Executor):
    """Does one call after the other, in the order in which they came."""

    def __init__(self, name: str) -> None:
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._closed = False
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """
        Raises:
            RuntimeError: `shutdown` was called.
        """
        if self._closed:
            raise RuntimeError(_CLOSED)
        future: Future[T] = Future()
        self._queue.put((future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Take no more calls. Never waits, whatever `wait` says; calls that wait still come to their turn
        unless `cancel_futures`."""
        self._closed = True
        with contextlib.suppress(Empty):
            while cancel_futures:
                if (work := self._queue.get_nowait()) is not None:
                    work[0].cancel()
        self._queue.put(None)

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            future, call = work
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - its caller's to handle, as with every executor
                future.set_exception(error)
            del work, future, call
