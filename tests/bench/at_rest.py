"""What the screen costs while nothing happens, and while the plant trades."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from tests.bench.figures import Figure, Samples
from tests.bench.first_frame import LIVE_ROW
from tests.bench.stand import Stand
from tests.bench.terminal import Terminal
from tests.bench.whole_demo import Platform, demo

WATCH_S = 30.0
SETTLE_S = 6.0
NOTES = "halted so that nothing moves while the screen is measured"


@dataclass(frozen=True, slots=True)
class Cost:
    """`cpu` in percent of one core, `written` in KB/s to the terminal, `rss` in MB at the end."""

    cpu: float
    written: float
    rss: float


def measure(stand: Stand) -> list[Figure]:
    platform = demo(stand)
    seconds = WATCH_S / 5 if stand.quick else WATCH_S
    with Terminal(platform.command(), stand.folder) as terminal:
        terminal.shows(LIVE_ROW)
        terminal.drain(SETTLE_S)
        trading = _watch(terminal, seconds)
        _halt(platform)
        terminal.drain(SETTLE_S)
        rest = _watch(terminal, seconds)
        terminal.quit()
    took = f"over {seconds:.0f} s"
    return [
        _figure("screen at rest, processor", rest.cpu, "%", 3, f"of one core {took}, all trading halted"),
        _figure("screen at rest, terminal", rest.written, "KB/s", 1, "written to the pseudo-terminal"),
        _figure("screen at rest, memory", rest.rss, "MB", 110, "resident set"),
        _figure("screen while trading, processor", trading.cpu, "%", None, "shown, not judged"),
        _figure("screen while trading, terminal", trading.written, "KB/s", None, "shown, not judged"),
        _figure("screen while trading, memory", trading.rss, "MB", None, "shown, not judged"),
    ]


def _figure(name: str, value: float, unit: str, bound: float | None, note: str) -> Figure:
    return Figure(name, value, unit, bound, note=note, raw={unit: Samples.of([value])})


def _watch(terminal: Terminal, seconds: float) -> Cost:
    pid = terminal.process.pid
    terminal.forget()
    begin, cpu, written = perf_counter(), _cpu_s(pid), terminal.written
    terminal.drain(seconds)
    took = perf_counter() - begin
    return Cost(
        (_cpu_s(pid) - cpu) / took * 100,
        (terminal.written - written) / took / 1_000,
        _status_kb(pid, "VmRSS") / 1_000,
    )


def _halt(platform: Platform) -> None:
    """Trip `global` by the command line: the plant stops, and nothing changes any more."""
    words = ["trip", "global", "--reason", "drill", "--notes", NOTES, "--yes"]
    subprocess.run(platform.command(*words, login="admin1"), check=True, capture_output=True, timeout=60)


def _cpu_s(pid: int) -> float:
    """User and system time of the process with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status_kb(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/{pid}/status holds no {name}")
