"""The screen's first frame and first live data, from exec, in a real terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench.figures import Figure, Samples
from tests.bench.stand import ROOT, Stand
from tests.bench.terminal import Terminal
from tests.bench.whole_demo import demo

# The words are those of the overview: the heading of the breaker table, and a state in one of its rows.
HEADING: Final = rb"BREAKER.{0,40}STATE"
LIVE_ROW: Final = rb"(?:CLOSED|OPEN|HALF_OPEN|QUIET_PERIOD) \xc2\xb7 (?:TRADING|HALTED|PROBING|LIMITED)"
BARE_HEADING: Final = rb"Breaker.{0,40}State"


def measure(stand: Stand) -> list[Figure]:
    platform = demo(stand)
    bare: list[str | Path] = [sys.executable, "-P", ROOT / "tests/bench/bare_app.py"]
    screen = platform.command()
    bare_ms, frame_ms, live_ms = [], [], []
    for turn in range(-1, stand.times(20)):
        shown = _shown(bare, (BARE_HEADING,), stand.folder)
        frame, live = _shown(screen, (HEADING, LIVE_ROW), stand.folder)
        if turn >= 0:
            bare_ms.append(shown[0])
            frame_ms.append(frame)
            live_ms.append(live)
    raw = {"bare_ms": Samples.of(bare_ms), "frame_ms": Samples.of(frame_ms), "live_ms": Samples.of(live_ms)}
    note = "bare Textual app with one DataTable: exec to its heading; p50"
    bare_p50 = raw["bare_ms"].p50
    return [
        Figure("screen, first frame", raw["frame_ms"].p50, "ms", 1.25, bare_p50, note, raw),
        Figure(
            "screen, first live data",
            raw["live_ms"].p50,
            "ms",
            2.2,
            bare_p50,
            "the same; to a row with its state",
        ),
    ]


def _shown(command: Sequence[str | Path], wanted: Sequence[bytes], cwd: Path) -> list[float]:
    with Terminal(command, cwd) as terminal:
        found = [terminal.shows(pattern) for pattern in wanted]
        terminal.quit()
    return found
