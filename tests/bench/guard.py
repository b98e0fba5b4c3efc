"""The guard: what 20 rules cost on 1,000 instruments at a sample a second each, and how soon one is OPEN.

`cockpit guard` is a process of its own on servers of its own, with an hour of orders in the store when it
starts. Its processor time is the kernel's count over the span; a writer beside it settles one order of every
instrument and moves every position each second.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic, perf_counter, perf_counter_ns
from typing import Any, Final

from cockpit.demo.servers import Postgres, Valkey
from tests.bench.figures import Figure, Samples
from tests.bench.key_watch import KeyWatch
from tests.bench.stand import Stand
from tests.trading_platform import Platform, build_template, copy_platform

INSTRUMENTS: Final = 1_000
SPAN_S: Final = 30.0
SETTLE_S: Final = 5.0
EXECUTION: Final = "trip:component:execution"
_ORDERS: Final = """
INSERT INTO recent_orders (order_id, symbol, side, quantity, status, latency_ms, slippage, updated_at)
SELECT gen_random_uuid()::text, format('SYM%s-USD', number), 'buy', 1,
       CASE WHEN number % 50 = 0 THEN 'rejected' ELSE 'filled' END, 5 + number % 40, 0.01,
       clock_timestamp() - make_interval(secs => $2)
  FROM generate_series(1, $1::int) number
"""
_POSITIONS: Final = """
INSERT INTO positions (symbol, quantity, max_quantity)
SELECT format('SYM%s-USD', number), number % 10, 10 FROM generate_series(1, $1::int) number
ON CONFLICT (symbol) DO UPDATE SET quantity = (positions.quantity + 1) % 10, updated_at = clock_timestamp()
"""
_LEVELS: Final = """
INSERT INTO sli_samples (sli, good, total, value)
SELECT sli, 1, 1, value FROM (VALUES ('daily_pnl_usd', $1::float8), ('drawdown', 0.01), ('feed_age_s', 0.2),
    ('data_age_s', 1), ('invariant_violations', 0), ('settlement_lag_s', 0.5), ('api_errors', NULL))
    AS levels (sli, value)
"""
_MORE_RULES: Final = """
[[rule]]
name = "extra-{number}"
title = "One more rule on every instrument"
stream = "orders"
figure = "{figure}"
per = "instrument"
condition = "{condition}"
threshold = {threshold}
unit = "x"
min_samples = 20
window_s = {window}
{more}
aim = "instrument"
reason = "other"
severity = "P3"
"""
_EXTRA: Final = (
    ("rejected", "ratio", "0.9", 300, ""),
    ("rejected", "count", "1000", 300, ""),
    ("latency_ms", "consecutive", "500", 600, ""),
    ("latency_ms", "sustained", "500", 30, "for_s = 120\nquantile = 0.95"),
    ("slippage", "consecutive", "0.9", 600, ""),
)


def measure(stand: Stand) -> list[Figure]:
    folder = stand.folder / "guard"
    with Valkey(folder / "servers") as valkey, Postgres(folder / "servers") as postgres:
        keys = folder / "keys"
        keys.mkdir()
        template = build_template(valkey, postgres, keys)
        platform = asyncio.run(copy_platform(template, folder, {}))
        _configure(platform, folder)
        return asyncio.run(_measure(stand, platform))


def _configure(platform: Platform, folder: Path) -> None:
    """A thousand instruments and twenty rules: the fifteen that ship, and five on every instrument."""
    shipped = Path(__file__).resolve().parents[2] / "runbooks" / "triggers.toml"
    more = [
        _MORE_RULES.format(
            number=number, figure=figure, condition=condition, threshold=over, window=window, more=rest
        )
        for number, (figure, condition, over, window, rest) in enumerate(_EXTRA)
    ]  # fmt: skip
    (folder / "triggers.toml").write_text(shipped.read_text() + "".join(more))
    names = ", ".join(f'"SYM{number}-USD"' for number in range(1, INSTRUMENTS + 1))
    text = platform.config.read_text()
    begin = text.index("instruments = [")
    text = text[:begin] + f"instruments = [{names}]" + text[text.index("]", begin) + 1 :]
    platform.config.write_text(text + '[guard]\ntriggers = "triggers.toml"\nlogin = "automation1"\n')


async def _measure(stand: Stand, platform: Platform) -> list[Figure]:
    async with platform.connection("gateway") as gateway:
        for minute in range(60):  # an hour of history, so that the start has something to count
            await gateway.execute(_ORDERS, INSTRUMENTS, float(minute * 60 + 300))
        await gateway.execute(_LEVELS, 100.0)
        log = stand.folder / "guard.log"
        process = stand.process([stand.cockpit, "--config", platform.config, "guard"], log)
        begin = perf_counter()
        await _published(platform, process.pid)
        started = perf_counter() - begin
        cpu = await _cpu(gateway, process.pid, SPAN_S / 5 if stand.quick else SPAN_S)
        took = await _reactions(stand, platform, gateway)
        process.terminate()
        process.wait(15)
    samples = Samples.of(took)
    note = (
        f"from sending the INSERT that breaks a rule to the INCR, most of {len(took)} (p50 {samples.p50:.0f})"
    )
    return [
        Figure(
            f"guard, 20 rules on {INSTRUMENTS:,} instruments", cpu, "%", 10,
            note=f"of one core, a sample a second each; start with an hour of orders {started:.1f} s",
        ),
        Figure("guard, sample to OPEN", max(took), "ms", 1_500, note=note, raw={"reaction_ms": samples}),
    ]  # fmt: skip


async def _published(platform: Platform, _pid: int) -> None:
    """Until the guard has read everything and said so."""
    deadline = monotonic() + 60
    async with platform.connection() as owner:
        while monotonic() < deadline:
            if await owner.fetchval("SELECT count(*) FROM guard_lease WHERE status ? 'reports'"):
                return
            await asyncio.sleep(0.05)
    raise RuntimeError("the guard published nothing in a minute")


async def _cpu(gateway: Any, pid: int, span_s: float) -> float:
    """Percent of one core while one sample of every instrument comes each second."""
    async with _writing(gateway):
        await asyncio.sleep(SETTLE_S)
        begin, before = perf_counter(), _cpu_s(pid)
        await asyncio.sleep(span_s)
        return (_cpu_s(pid) - before) / (perf_counter() - begin) * 100


@asynccontextmanager
async def _writing(gateway: Any) -> AsyncIterator[None]:
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            begin = monotonic()
            await gateway.execute(_ORDERS, INSTRUMENTS, 0.0)
            await gateway.execute(_POSITIONS, INSTRUMENTS)
            await gateway.execute(_LEVELS, 100.0)
            await asyncio.sleep(max(0.0, 1 - (monotonic() - begin)))

    work = asyncio.create_task(write())
    try:
        yield
    finally:
        stop.set()
        await work


async def _reactions(stand: Stand, platform: Platform, gateway: Any) -> list[float]:
    """Milliseconds from sending a loss over its limit to the INCR; each time all was well and closed."""
    took = []
    with KeyWatch(platform.owner.redis_url, EXECUTION) as watch:
        for _ in range(stand.times(30)):
            await gateway.execute(_LEVELS, 100.0)
            await platform.open_for_trading()
            await asyncio.sleep(1.5)  # the guard has seen both
            begin = perf_counter_ns()
            await gateway.execute(_LEVELS, -700.0)
            took.append((await asyncio.to_thread(watch.after, begin, EXECUTION) - begin) / 1e6)
    return took


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
