"""Debian's real Alertmanager for one test: a loopback port, a private folder, alone in its cluster.

It ends with the `with`, and with this process however that ends. Marked tests are NOT RUN where it is absent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from cockpit.demo.launch import spawn
from tests.prometheus.server import free_port

PROGRAM: Final = Path("/usr/bin/prometheus-alertmanager")
needs_alertmanager: Final = pytest.mark.skipif(
    not PROGRAM.exists(), reason="Debian's prometheus-alertmanager is absent"
)
_ROUTE: Final = {"receiver": "hook", "group_by": ["incident"], "group_wait": "10ms", "group_interval": "10ms"}


@dataclass(frozen=True, slots=True)
class Running:
    url: str
    http: httpx.AsyncClient

    async def alerts(self) -> list[dict[str, Any]]:
        """What it holds as firing now, straight past our own client."""
        found: list[dict[str, Any]] = (await self.http.get("/api/v2/alerts")).raise_for_status().json()
        return found

    async def fire(self, **labels: str) -> None:
        """An alert of somebody else's."""
        (await self.http.post("/api/v2/alerts", json=[{"labels": labels}])).raise_for_status()


@contextlib.asynccontextmanager
async def alertmanager(folder: Path, hook: str = "http://127.0.0.1:9/none") -> AsyncIterator[Running]:
    """`hook` is told of what its route lets through: the way that people would be."""
    receiver = {"name": "hook", "webhook_configs": [{"url": hook, "send_resolved": True}]}
    folder.mkdir()
    settings = {"route": _ROUTE, "receivers": [receiver]}
    (folder / "alertmanager.json").write_text(json.dumps(settings))  # JSON is YAML
    port = free_port()
    with (folder / "log").open("ab") as log:
        process = spawn(
            [
                str(PROGRAM),
                f"--config.file={folder / 'alertmanager.json'}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            None,
            signal.SIGKILL,
            cwd=folder,
            log=log,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(base_url=url, verify=False, trust_env=False, timeout=30) as http:
            ends = time.monotonic() + 60
            while not await _ready(http):
                if process.poll() is not None or time.monotonic() > ends:
                    raise RuntimeError(f"alertmanager did not start: {(folder / 'log').read_text()[-2000:]}")
                await asyncio.sleep(0.02)
            yield Running(url, http)
    finally:
        process.kill()
        process.wait()


async def _ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/-/ready")).is_success
    except httpx.HTTPError:
        return False
