"""`cockpit trip` from exec to OPEN, and to its end, against the barest Python script that does an INCR."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns

from tests.bench.figures import Figure, Samples, since_ms
from tests.bench.key_watch import KeyWatch
from tests.bench.stand import Stand
from tests.bench.whole_demo import demo

BARE_KEY = "bench:bare"
TRIPPED = "instrument:ADA-USD"
NOTES = "measuring how long this command takes"
SCRIPT = "import redis, sys; redis.Redis.from_url(sys.argv[1]).incr(sys.argv[2])"


def measure(stand: Stand) -> list[Figure]:
    platform = demo(stand)
    bare = [sys.executable, "-c", SCRIPT, platform.redis_url, BARE_KEY]
    trip = platform.command("trip", TRIPPED, "--reason", "drill", "--notes", NOTES, "--yes")
    taken: dict[str, list[float]] = {"bare_open_ms": [], "bare_ms": [], "trip_open_ms": [], "trip_ms": []}
    with KeyWatch(platform.redis_url, "trip:*", BARE_KEY) as watch:
        for turn in range(-2, stand.times(30)):
            for name, command, key in (("bare", bare, BARE_KEY), ("trip", trip, f"trip:{TRIPPED}")):
                opened, whole = _run(watch, command, key, stand.folder)
                if turn >= 0:
                    taken[f"{name}_open_ms"].append(opened)
                    taken[f"{name}_ms"].append(whole)
    raw = {name: Samples.of(values) for name, values in taken.items()}
    return [
        Figure("cockpit trip, exec to OPEN", raw["trip_open_ms"].p50, "ms", 1.25, raw["bare_open_ms"].p50,
               'python -c "import redis; redis.Redis(…).incr(…)", exec to INCR; p50', raw),
        Figure("cockpit trip, whole process", raw["trip_ms"].p50, "ms", 1.6, raw["bare_ms"].p50,
               "the same script to its end; p50"),
    ]  # fmt: skip


def _run(watch: KeyWatch, command: Sequence[str | Path], key: str, cwd: Path) -> tuple[float, float]:
    """Milliseconds from exec to the write of `key`, and to the end of the process."""
    begin = perf_counter_ns()
    done = subprocess.run(command, cwd=cwd, capture_output=True, timeout=60, check=False)
    whole = since_ms(begin)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.decode()[-1_000:]}")
    return (watch.after(begin, key) - begin) / 1e6, whole
