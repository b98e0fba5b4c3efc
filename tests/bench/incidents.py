"""10,000 incidents: how long panel 3 takes to open, and how long a refresh keeps the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter_ns
from typing import Final

import asyncpg
from textual.app import App

from backends.postgres_admin import PostgresAdmin
from backends.postgres_store import PostgresStore
from cockpit.domain.breakers import Catalogue
from cockpit.domain.limits import Limits
from cockpit.screens.incidents import IncidentPanel
from cockpit.style_sheet import SteadySheet
from tests.bench.figures import Figure, Samples, since_ms
from tests.bench.loop_blocking import watched
from tests.bench.stand import Stand
from themes import STYLE_SHEET, THEMES
from widgets.board import Board
from widgets.line import Line

SIZE: Final = 10_000
OPEN_MS: Final = 100
BLOCKED_MS: Final = 16
_DATABASE: Final = "bench_incidents"
_FILL: Final = """
INSERT INTO incidents (severity, classification, title, status, opened_at, alarm_at, last_event_at, owner,
                       breakers, acknowledged_at, acknowledged_by)
SELECT 'P' || g % 4, 'data_quality', 'bars of instrument ' || g || ' are late and the feed does not answer',
       CASE g % 10 WHEN 0 THEN 'resolved' WHEN 1 THEN 'acknowledged' ELSE 'open' END, at, at, at,
       CASE g % 3 WHEN 0 THEN 'operator1' END, '{component:execution}',
       CASE g % 10 WHEN 1 THEN at END, CASE g % 10 WHEN 1 THEN 'operator1' END
  FROM (SELECT g, clock_timestamp() - g * interval '7 s' AS at FROM generate_series(1, $1::int) g) made
"""


class Shell(App[None]):
    """Panel 3 alone, on boards that the bench gives it."""

    CSS_PATH = STYLE_SHEET

    def __init__(self, board: Board) -> None:
        super().__init__()
        self.keys_remapped: Mapping[str, str] = {}
        self.board = board
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEMES[0].name
        self.stylesheet = SteadySheet(variables=self.get_css_variables())

    @property
    def status_line(self) -> Line:
        return ((" ", ""),)


def measure(stand: Stand) -> list[Figure]:
    return asyncio.run(_measure(stand))


async def _measure(stand: Stand) -> list[Figure]:
    store = PostgresStore(await _filled(stand))
    catalogue = Catalogue.build(("execution",), (), ())
    board = Board("bench", "operator1", catalogue, Limits(), time.monotonic(), datetime.now(UTC))
    opened: list[float] = []
    wall: list[float] = []
    cpu: list[float] = []
    whole: list[float] = []
    await store.incidents()
    for _ in range(stand.times(10)):
        app = Shell(board)
        async with app.run_test(size=(120, 40)) as pilot:
            begin = perf_counter_ns()
            app.board = await _read(board, store)
            panel = IncidentPanel(app)
            await app.push_screen(panel)
            while not (panel.is_mounted and panel.rows.drawn):
                await asyncio.sleep(0)
            opened.append(since_ms(begin))
            await pilot.pause()
            for _ in range(10):
                async with watched() as blocking:
                    begin = perf_counter_ns()
                    app.board = await _read(board, store)
                    panel.follow(app.board)
                    whole.append(since_ms(begin))
                wall.append(blocking.wall_ms)
                cpu.append(blocking.cpu_ms)
    await store.close()
    at_open, blocked, busy, took = (Samples.of(each) for each in (opened, wall, cpu, whole))
    told = f"longest turn, p50 (p99 {blocked.p99:.1f}; processor time {busy.p50:.1f}, p99 {busy.p99:.1f} ms)"
    raw = {"refresh_ms": took, "blocked_wall_ms": blocked, "blocked_cpu_ms": busy}
    return [
        Figure(f"{SIZE:,} incidents, panel 3 opens", at_open.p50, "ms", OPEN_MS,
               note=f"read, laid out, drawn; p99 {at_open.p99:.0f} ms", raw={"open_ms": at_open}),
        Figure(f"{SIZE:,} incidents, loop blocked by a refresh", blocked.p50, "ms", BLOCKED_MS,
               note=f"{told}; whole refresh {took.p50:.1f} ms", raw=raw),
    ]  # fmt: skip


async def _read(board: Board, store: PostgresStore) -> Board:
    found = await store.incidents()
    now = time.monotonic()
    return replace(board, incidents=found, incidents_at=now, monotonic=now)


async def _filled(stand: Stand) -> str:
    """A database of its own with the incidents."""
    owner = await asyncpg.connect(stand.postgres.owner_dsn)
    await owner.execute(f"CREATE DATABASE {_DATABASE}")
    await owner.close()
    dsn = stand.postgres.owner_dsn.rpartition("/")[0] + f"/{_DATABASE}"
    admin = PostgresAdmin(dsn)
    await admin.upgrade(Catalogue.build(("execution",), (), ()))
    await admin.close()
    owner = await asyncpg.connect(dsn)
    await owner.execute(_FILL, SIZE)
    await owner.execute("ANALYZE incidents")
    await owner.close()
    return dsn
