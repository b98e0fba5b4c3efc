"""Time as it would be on a machine with nothing else to do, for bounds that a busy one must not break."""

from __future__ import annotations

import time
from pathlib import Path


def held_up_s(task: str = "thread-self") -> float:
    """How long a thread (`thread-self`, `PID/task/TID`) was ready to run while others had the processor;
    0 where the kernel does not say or the thread is gone."""
    try:
        return int(Path(f"/proc/{task}/schedstat").read_text().split()[1]) / 1e9
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0.0


def unhindered() -> float:
    """A monotonic clock that stands still while this thread is held up. What it waits for itself counts."""
    return time.monotonic() - held_up_s()
