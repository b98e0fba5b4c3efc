"""Running the real `cockpit` process against a test's platform."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[2]
NOTES = "feed lags by more than five seconds"
OUTCOME = {
    "breaker_id",
    "state",
    "epoch",
    "event_id",
    "evidence_link",
    "audit_seq",
    "outcome",
    "delivered",
    "message",
}


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


async def cockpit(
    config: Path | None, *arguments: str, env: Mapping[str, str] | None = None, program: str = "-m cockpit"
) -> Done:
    """Run one command to its end, with nothing of our own environment but the path."""
    flags = ["--config", str(config)] if config else []
    state = str(config.parent / "state") if config else "/nonexistent"
    clean = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "XDG_STATE_HOME": state,
        "HOME": "/nonexistent",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *program.split(),
        *arguments,
        *flags,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**clean, **(env or {})},
        cwd=ROOT,
    )
    try:
        async with asyncio.timeout(120):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    done = Done(process.returncode or 0, out.decode(), err.decode())
    assert "Traceback" not in done.out + done.err
    return done


async def inside(config: Path, *arguments: str) -> Done:
    """`cockpit` in this process: for tests of many commands, where nothing of the process itself matters."""
    from cockpit.cli.run import run

    out, err = io.StringIO(), io.StringIO()
    state = {"XDG_STATE_HOME": str(config.parent / "state"), "HOME": "/nonexistent"}
    with patch.dict(os.environ, state), redirect_stdout(out), redirect_stderr(err):
        async with asyncio.timeout(120):
            code = await asyncio.to_thread(run, [*arguments, "--config", str(config)])
    done = Done(code, out.getvalue(), err.getvalue())
    assert "Traceback" not in done.out + done.err
    return done


def trip_arguments(breaker_id: str, *more: str, notes: str = NOTES) -> tuple[str, ...]:
    return ("trip", breaker_id, "--reason", "latency", "--notes", notes, "--yes", "--json", *more)


def moved(config: Path, name: str, **ports: int) -> Path:
    """A copy of the settings whose Redis or Postgres address has another port (a closed one, mostly)."""
    text = config.read_text()
    if "redis" in ports:
        text = re.sub(r'(redis_url = "[^"]*?:)\d+(/?\d*")', rf"\g<1>{ports['redis']}\g<2>", text)
    if "postgres" in ports:
        text = re.sub(r'(postgres_dsn = "[^"]*?:)\d+(/[^"]*")', rf"\g<1>{ports['postgres']}\g<2>", text)
    path = config.with_name(name)
    path.touch(0o600)
    path.write_text(text)
    return path
