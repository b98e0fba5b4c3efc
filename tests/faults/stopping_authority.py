"""An authority that stops itself: `python -m tests.faults.stopping_authority CONFIG POINT ARMED STOPPED`.

It sends itself SIGSTOP at POINT once the file ARMED is there, having made the file STOPPED.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from cockpit.authority.service import run
from cockpit.config import load_settings


async def main(config: Path, wanted: str, armed: Path, stopped: Path) -> None:
    async def fault(point: str) -> None:
        if point == wanted and armed.exists() and not stopped.exists():
            stopped.touch()
            os.kill(os.getpid(), signal.SIGSTOP)

    await run(load_settings(config, env={}), asyncio.Event(), fault)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])))
