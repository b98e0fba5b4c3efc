"""The README's key table and pictures, by the real screen on a demo: `python -m cockpit.demo.pictures`.

Starts a demo in a folder of its own, drives the screen by its keys through a trip and a resume, saves SVG.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from cockpit.config import Settings, load_settings
from cockpit.domain.states import State

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from cockpit.app import CockpitApp

LOGIN: Final = "operator1"
BREAKER: Final = "instrument:BTC-USD"
SLOW_MS: Final = 900
NEAR: Final = 0.5
DRIFTS: Final = (0.11, 0.12, 0.13, 0.14)
CYCLE_S: Final = 3.0
_WAIT_S: Final = 60.0
_KEYS_BEGIN: Final = "<!-- keys:"
_KEYS_END: Final = "<!-- keys end -->"


class NothingToDraw(RuntimeError):
    """The demo or the screen did not get where the picture is taken."""


class Studio:
    """One screen, driven by keys, and the folder for its pictures."""

    def __init__(self, app: CockpitApp, pilot: Pilot[int], docs: Path) -> None:
        self.app = app
        self.pilot = pilot
        self.docs = docs

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _WAIT_S
        while not holds():
            if time.monotonic() > deadline:
                raise NothingToDraw(f"the screen did not show {what}")
            await self.pilot.pause(0.05)

    async def type(self, text: str) -> None:
        await self.pilot.press(*("space" if char == " " else char for char in text))

    async def save(self, name: str) -> None:
        await self.pilot.pause(0.3)
        svg = self.app.export_screenshot(title="cockpit", simplify=True)
        (self.docs / f"{name}.svg").write_text(svg, encoding="utf-8")
        print(f"docs/{name}.svg")


async def draw(settings: Settings, docs: Path) -> None:
    """Trip, verify, resume, error budgets, triggers, reconciliation, an incident: each with its picture."""
    from cockpit.app import CockpitApp, open_desk

    app = CockpitApp(settings, settings.credentials(LOGIN), open_desk)
    async with app.run_test(size=(120, 40)) as pilot:
        studio = Studio(app, pilot, docs)
        await studio.until(lambda: app.board.authority_alive and app.board.redis_readable, "live data")
        await _trip(studio)
        await studio.save("overview")
        await _resume(studio)
        await _panels(studio)


async def _trip(studio: Studio) -> None:
    app = studio.app
    await studio.pilot.press("j", "j", "t", "2", "enter")
    await studio.type("fills lag the feed by 800 ms since 03:10")
    await studio.save("trip")
    await studio.pilot.press("ctrl+s")
    await studio.until(
        lambda: app.trip_made is not None and app.trip_made.evidence is not None, "the evidence"
    )
    await studio.pilot.pause(2.5)
    await studio.save("verification")
    await studio.pilot.press("escape")


async def _resume(studio: Studio) -> None:
    from widgets.half_open_dialog import HalfOpenDialog

    app = studio.app
    await studio.pilot.press("h")
    await studio.until(lambda: isinstance(app.screen, HalfOpenDialog) and app.screen.read, "the checklist")
    await studio.pilot.press("tab", *(key for _ in range(5) for key in ("space", "down")))
    await studio.type("venue gateway restarted, latency back at 40 ms")
    await studio.save("resume")
    await studio.pilot.press("ctrl+s")
    await studio.until(
        lambda: (row := app.board.run(BREAKER)) is not None and len(row.results) >= 5, "the run"
    )
    await studio.save("probes")


async def _panels(studio: Studio) -> None:
    """The error budgets and the automatic triggers, while the venue is slow; both sides of the books, and the
    first five minutes of an incident, while they drift apart."""
    app = studio.app
    await studio.pilot.press("escape")
    gateway = app.settings.gateway_url or ""
    async with httpx.AsyncClient(base_url=gateway) as venue:
        await venue.put("/faults", json={"latency_ms": SLOW_MS})
        try:
            await studio.pilot.press("2")
            await studio.until(lambda: _some_budget_burns(app), "a burning error budget")
            await studio.pilot.press("s", "home")
            await studio.save("slos")
            await studio.pilot.press("6")
            await studio.until(lambda: _some_rule_is_near(app), "a rule near its threshold")
            await studio.pilot.press("s", "home")
            await studio.save("triggers")
        finally:
            await venue.delete("/faults")
        try:
            await _drift(venue)
            await studio.pilot.press("4")
            await studio.until(lambda: _some_latch_is_set(app), "a safety latch")
            await studio.pilot.press("home")
            await studio.save("reconciliation")
            await studio.pilot.press("3")
            await studio.until(lambda: _drift_is_an_incident(app), "the latch's incident")
            await studio.type("/latch")
            await studio.pilot.press("enter", "enter")
            await studio.pilot.pause(3)
            await studio.save("incidents")
        finally:
            await venue.delete("/faults")


async def _drift(venue: httpx.AsyncClient) -> None:
    """Each change of the faults is reconciled at once; the third mismatch in a row is a breach."""
    for share in DRIFTS:
        await venue.put("/faults", json={"recon_drift": share})
        await asyncio.sleep(CYCLE_S)


def _some_latch_is_set(app: CockpitApp) -> bool:
    readings = app.board.breakers.readings if app.board.breakers is not None else {}
    return any(name.startswith("latch:") and each.state is State.OPEN for name, each in readings.items())


def _drift_is_an_incident(app: CockpitApp) -> bool:
    rows = app.board.desk.incidents if app.board.desk is not None else ()
    return any(row.classification == "reconciliation" for row in rows)


def _some_budget_burns(app: CockpitApp) -> bool:
    return any(each.fired for each in (app.board.slos.slos if app.board.slos else ()))


def _some_rule_is_near(app: CockpitApp) -> bool:
    reports = app.board.guard.reports if app.board.guard is not None else ()
    return any(each.fraction is not None and each.fraction >= NEAR for each in reports)


def write_keys(readme: Path) -> None:
    """The key table between its markers, from the bindings.

    Raises:
        NothingToDraw: the markers are not there.
    """
    from cockpit.keymap import markdown

    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_KEYS_BEGIN)
    line, _, rest = rest.partition("\n")
    _, end, after = rest.partition(_KEYS_END)
    if not begin or not end:
        raise NothingToDraw(f"{readme} has no markers for the keys")
    readme.write_text(f"{before}{begin}{line}\n{markdown()}\n{end}{after}", encoding="utf-8")
    print(readme)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m cockpit.demo.pictures", description=__doc__)
    parser.add_argument("--docs", default="docs", help="where to put the pictures")
    parser.add_argument("--readme", default="README.md", help="where to write the key table")
    options = parser.parse_args(arguments)
    docs = Path(options.docs)
    docs.mkdir(exist_ok=True)
    write_keys(Path(options.readme))
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        Path(folder).chmod(0o755)  # the servers run as another user where root starts them
        command = [sys.executable, "-m", "cockpit", "demo", "--headless", "--data-dir", f"{folder}/demo"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
            try:
                assert demo.stdout is not None  # noqa: S101 - it was asked for
                line = demo.stdout.readline()
                if not line.startswith("{"):
                    raise NothingToDraw("the demo did not get ready")
                asyncio.run(draw(load_settings(Path(json.loads(line)["config"])), docs))
            finally:
                demo.send_signal(signal.SIGTERM)
    return 0


if __name__ == "__main__":
    sys.exit(main())
