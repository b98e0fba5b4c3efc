"""A guard in a process of its own: `python -m tests.guard.standalone CONFIG`. Prints `acts` once it does."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from cockpit.config import load_settings
from cockpit.guard.service import run


async def main(config: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run(load_settings(config, env={}), "automation1", stop, ready=lambda: print("acts", flush=True))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
