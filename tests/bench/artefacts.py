"""A gigabyte of a run's events: how soon a screen shows its end, and how little a look costs afterwards."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from time import perf_counter_ns
from typing import Final

from backends.jsonl_tail import Tail
from backends.run_folder import SCREEN_BYTES, parsed
from tests.bench.figures import Figure, Samples, since_ms
from tests.bench.stand import Stand

SIZE: Final = 1 << 30
OPENING_MS: Final = 100
_LINE: Final = (
    b'{"event_id": "11111111-2222-3333-4444-555555555555", "event_type": "slo_breach", '
    b'"at": "2026-01-31T10:00:00Z", "run_id": "r", "slo": "latency", "value": "1.5", "threshold": "1"}\n'
)


def measure(stand: Stand) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ops_slo_events.jsonl"
        with path.open("wb") as file:
            file.truncate(SIZE)  # sparse: what lies before the end must not be read anyway
            file.seek(0, os.SEEK_END)
            file.write(b"\n" + _LINE * (2 * SCREEN_BYTES // len(_LINE)))
        opening, looking = [], []
        for _ in range(stand.times(30)):
            begin = perf_counter_ns()
            tail = Tail(path, last=SCREEN_BYTES)
            lines = [parsed(raw, "f") for raw in tail.read()]
            opening.append(since_ms(begin))
            with path.open("ab") as file:
                file.write(_LINE)
            begin = perf_counter_ns()
            if len(tail.read()) != 1 or len(lines) < SCREEN_BYTES // len(_LINE) - 1:
                raise RuntimeError("not every line was read")
            looking.append(since_ms(begin))
            tail.close()
    took, looks = Samples.of(opening), Samples.of(looking)
    told = f"{len(lines):,} lines parsed; a look at one more {looks.p50:.2f} ms, in a thread"
    return [
        Figure(
            "1 GB of run events: its end shown, p50", took.p50, "ms", OPENING_MS, note=told, raw={"ms": took}
        )
    ]
