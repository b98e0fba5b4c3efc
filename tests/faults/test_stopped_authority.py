"""An authority process that is stopped in mid-commit for longer than its lease (F23)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from cockpit.authority import faults
from cockpit.authority.service import running_authority
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from tests.authority.desk import BTC, Desk, until

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("point", [faults.AFTER_INTENT, faults.AFTER_EVIDENCE])
async def test_what_slept_through_its_lease_is_void_and_never_closes(desk: Desk, point: str) -> None:
    # I1, I7, I10, F23
    signs = desk.platform.folder / "armed", desk.platform.folder / "stopped"
    first = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.stopping_authority", str(desk.platform.config), point,
        *map(str, signs),
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await desk.becomes(BTC, State.CLOSED, 60)
        await desk.trip(BTC)
        assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
        await desk.run_status(await desk.probe(BTC), "passed")
        signs[0].touch()
        command = await desk.command(Kind.CLOSE, BTC, "operator1")
        await desk.send(command)

        async def stopped() -> bool:
            return signs[1].exists() and Path(f"/proc/{first.pid}/stat").read_text().split()[2] == "T"

        await until(stopped)
        async with running_authority(desk.settings, wait_s=60) as second:  # once the lease has run out
            assert (await desk.answer(command.request_id)).status == "void"
            first.send_signal(signal.SIGCONT)
            for _ in range(30):
                assert await desk.state(BTC) is not State.CLOSED
                assert await desk.state(BTC) is not State.QUIET_PERIOD
                await asyncio.sleep(0.05)
            assert second.acting.is_set()
            assert (await desk.answer(command.request_id)).status == "void"
            assert "CIRCUIT_BREAKER_RESET" not in await desk.actions(BTC)
            async with desk.platform.connection() as connection:
                assert await connection.fetchval("SELECT count(*) FROM commits WHERE status = 'intent'") == 0
                assert await connection.fetchval("SELECT count(*) FROM reset_slots") == 1  # I12: not refunded
            assert first.returncode is None  # it stands by
    finally:
        if first.returncode is None:
            first.kill()
        await first.wait()
