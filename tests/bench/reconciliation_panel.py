"""Panel 4 in the real screen on real stores: how long it takes from its key to drawn rows, how long a refresh
with 100,000 runs keeps the event loop, and what drawing a thousand rows anew costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from time import monotonic, perf_counter_ns, thread_time
from typing import Final

from textual import events

from backends.redis_admin import RedisAdmin
from cockpit.app import CockpitApp, open_desk
from cockpit.demo.servers import Postgres, Valkey
from cockpit.domain.breakers import Catalogue
from cockpit.domain.reconciliation import Kind, Line, ReconRun, ReconSnapshot, Verdict
from cockpit.recon_feed import OPEN_AHEAD_S, ReconRead
from cockpit.screens.reconciliation import ReconciliationPanel
from tests.bench.figures import Figure, Samples, since_ms
from tests.bench.loop_blocking import watched
from tests.bench.reconciliation import FILL, ROWS
from tests.bench.stand import Stand
from tests.trading_platform import Platform, build_template, copy_platform

OPEN_MS: Final = 100
BLOCKED_MS: Final = 16
INSTRUMENTS: Final = 1_000
LINES: Final = 300  # of them with runs: as many as the store reads of each kind
_PATIENCE_S: Final = 60.0
_REFRESHES: Final = 10
_FRAMES_S: Final = 0.05  # three frames: what a reading has changed is drawn by then, if it changed anything


class Watched(CockpitApp):
    """The real screen, which notes when what was read of reconciliation is drawn."""

    def __init__(self, platform: Platform) -> None:
        super().__init__(platform.settings, platform.login("operator1"), open_desk)
        self.drawn_ns = 0
        self._fresh = False

    def on_recon_read(self, _message: ReconRead) -> None:
        """Comes before the app's own handler of it."""
        if isinstance(self.screen, ReconciliationPanel):
            self._fresh, self.screen.rows.drawn = True, False

    def post_display_hook(self) -> None:
        super().post_display_hook()
        panel = self.screen
        if self._fresh and isinstance(panel, ReconciliationPanel) and panel.rows.keys and panel.rows.drawn:
            self._fresh, self.drawn_ns = False, perf_counter_ns()

    async def drawn_after(self, begin_ns: int) -> float:
        """Milliseconds from `begin_ns` until the next reading since then was drawn."""
        deadline = monotonic() + _PATIENCE_S
        while self.drawn_ns < begin_ns:
            if monotonic() > deadline:
                raise TimeoutError(f"no reading was drawn in {_PATIENCE_S:g} s: {self.board.recon_error}")
            await asyncio.sleep(0.001)
        return (self.drawn_ns - begin_ns) / 1e6


@dataclass(slots=True)
class Took:
    """Milliseconds: of each opening and of the query in it; of each refresh the longest turn of the loop, by
    the clock and in processor time, and the whole."""

    opened: list[float] = field(default_factory=list)
    query: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)


def measure(stand: Stand) -> list[Figure]:
    folder = stand.folder / "reconciliation-panel"
    keys, home = folder / "keys", folder / "home"
    for each in (keys, home):
        each.mkdir(parents=True)
    with Valkey(folder / "servers") as valkey, Postgres(folder / "servers") as postgres:
        template = build_template(valkey, postgres, keys)

        async def both() -> list[Figure]:
            platform = await copy_platform(template, home, {})
            return [*await _runs(stand, platform), *await _rows(stand, platform)]

        return asyncio.run(both())


async def _runs(stand: Stand, platform: Platform) -> list[Figure]:
    rows = 10_000 if stand.quick else ROWS
    async with platform.connection() as owner:
        await owner.execute(FILL, rows)
        await owner.execute("ANALYZE reconciliation_runs")
    await platform.open_for_trading()
    took = Took()
    await _open(platform, Took())  # imports, and what the servers have to load
    for _ in range(stand.times(12)):
        await _open(platform, took)
    opened, query, wall, cpu, whole = map(
        Samples.of, (took.opened, took.query, took.wall, took.cpu, took.whole)
    )
    name = f"{rows:,} reconciliation runs"
    busy = f"processor time {cpu.p50:.1f}, p99 {cpu.p99:.1f} ms"
    raw = {"blocked_wall_ms": wall, "blocked_cpu_ms": cpu, "refresh_ms": whole}
    return [
        Figure(f"{name}, panel 4 opens", opened.p50, "ms", OPEN_MS,
               note=f"from its key to drawn rows; p99 {opened.p99:.0f} ms; its query {query.p50:.0f} ms",
               raw={"open_ms": opened, "query_ms": query}),
        Figure(f"{name}, loop blocked by a refresh", wall.p50, "ms", BLOCKED_MS,
               note=f"longest turn, p50 (p99 {wall.p99:.1f}; {busy}); whole refresh {whole.p50:.1f} ms",
               raw=raw),
    ]  # fmt: skip


@asynccontextmanager
async def _screen(platform: Platform) -> AsyncIterator[Watched]:
    """The screen once it has heard of its stores and nothing is left to be loaded."""
    app = Watched(platform)
    async with app.run_test(size=(120, 40)):
        deadline = monotonic() + _PATIENCE_S
        while not (app.board.desk and app.board.breakers and app.recon_feed) or app._opening:
            if monotonic() > deadline:
                raise TimeoutError(f"the stores were not read in {_PATIENCE_S:g} s: {app.board.desk_error}")
            await asyncio.sleep(0.01)
        await asyncio.sleep(2 * OPEN_AHEAD_S)  # dialogs' modules, objectives, panel 4's own connection
        yield app


async def _open(platform: Platform, took: Took) -> None:
    async with _screen(platform) as app:
        begin = perf_counter_ns()
        app.post_message(events.Key("4", "4"))
        took.opened.append(await app.drawn_after(begin))
        if app.board.recon is None or len(app.board.recon.lines) != 12:
            raise RuntimeError(f"not everything was read: {app.board.recon}")
        took.query.append(app.board.recon.latency_ms)
        for _ in range(_REFRESHES):
            await _refresh(app, took)


async def _refresh(app: Watched, took: Took) -> None:
    if app.recon_feed is None:
        raise RuntimeError("nothing reads the runs")
    before, deadline = app.board.recon, monotonic() + _PATIENCE_S
    async with watched() as blocking:
        begin = perf_counter_ns()
        app.recon_feed.wake()
        while app.board.recon is before:
            if monotonic() > deadline:
                raise TimeoutError(f"no reading came in {_PATIENCE_S:g} s: {app.board.recon_error}")
            await asyncio.sleep(0.001)
        took.whole.append(since_ms(begin))
        await asyncio.sleep(_FRAMES_S)
    took.wall.append(blocking.wall_ms)
    took.cpu.append(blocking.cpu_ms)


async def _rows(stand: Stand, platform: Platform) -> list[Figure]:
    """A thousand instruments, of three hundred of them a run: each redraw brings other figures."""
    symbols = [f"S{number:04}-USD" for number in range(INSTRUMENTS)]
    platform.settings = replace(platform.settings, catalogue=Catalogue.build(["execution"], symbols, []))
    redis = RedisAdmin(platform.owner.redis_url)
    await redis.seed_counters(platform.catalogue.everything)
    await redis.close()
    await platform.open_for_trading()
    took: list[float] = []
    cpu: list[float] = []
    async with _screen(platform) as app:
        begin = perf_counter_ns()
        app.post_message(events.Key("4", "4"))
        await app.drawn_after(begin)
        panel = app.screen
        if not isinstance(panel, ReconciliationPanel):
            raise RuntimeError("panel 4 is not shown")
        for turn in range(stand.times(100)):
            board = replace(app.board, recon=_snapshot(app, symbols[:LINES], turn), recon_at=monotonic())
            begin, spent = perf_counter_ns(), thread_time()
            panel.follow(board)
            took.append(since_ms(begin))
            cpu.append((thread_time() - spent) * 1_000)
            await asyncio.sleep(0.02)  # drawn, and whatever else goes on
        if len(panel.rows.keys) != INSTRUMENTS:
            raise RuntimeError(f"{len(panel.rows.keys)} rows are shown")
    wall, busy = Samples.of(took), Samples.of(cpu)
    told = f"p99 {wall.p99:.1f}, most {max(took):.1f}; processor time {busy.p50:.1f}, p99 {busy.p99:.1f} ms"
    return [
        Figure(f"panel 4, {INSTRUMENTS:,} rows, a redraw", wall.p50, "ms", BLOCKED_MS, note=told,
               raw={"redraw_wall_ms": wall, "redraw_cpu_ms": busy}),
    ]  # fmt: skip


def _snapshot(app: Watched, symbols: list[str], turn: int) -> ReconSnapshot:
    at = app.board.desk_now
    lines = []
    for place, symbol in enumerate(symbols):
        verdict = Verdict.MISMATCH if (place + turn) % 50 == 0 else Verdict.CLEAN
        run = ReconRun(f"r{turn}-{place}", Kind.ORDER, symbol, verdict, at)
        lines.append(Line(Kind.ORDER, symbol, run, turn % 3, turn % 5, 1_000 + turn, turn, 0, run))
    return ReconSnapshot(at, tuple(lines))
