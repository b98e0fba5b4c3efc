"""A bastion from which somebody works by the command line, with an authority and a venue that run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cockpit.authority.service import Authority, running_authority
from cockpit.domain.documents import parse_document
from tests.authority.desk import Venue, until, venue
from tests.cli.commands import NOTES, Done, inside, trip_arguments
from tests.trading_platform import Platform


@dataclass(frozen=True, slots=True)
class Bastion:
    platform: Platform
    config: Path
    venue: Venue
    authority: Authority

    async def run(self, *arguments: str) -> Done:
        return await inside(self.config, *arguments, "--json")

    async def half_open(self, name: str, login: str = "operator1", checked: str = "all") -> Done:
        steps = ("half-open", name, "--notes", NOTES, "--checked", checked, "--yes", "--login", login)
        return await self.run(*steps)

    async def close(self, name: str, login: str = "operator1") -> Done:
        return await self.run("close", name, "--notes", NOTES, "--yes", "--login", login)

    async def becomes(self, name: str, state: str) -> None:
        async def reached() -> bool:
            done = await self.run("status", name)
            return bool(done.document["breakers"][0]["state"] == state)

        await until(reached, 60)

    async def recorded(self, tripped: Done) -> None:
        """Wait until the authority has audited this trip, and its evidence lies where the entry says."""
        folder = self.platform.folder / "evidence" / "transitions"
        async with self.platform.connection() as connection:

            async def audited() -> bool:
                found: bool = await connection.fetchval(
                    "SELECT EXISTS (SELECT FROM audit_log WHERE event_id = $1"
                    " AND action = 'CIRCUIT_BREAKER_TRIP')",
                    tripped.document["event_id"],
                )
                return found and any(folder.glob(f"{tripped.document['event_id']}-*.json"))

            await until(audited, 60)

    def samples_changed(self) -> None:
        """The authority's next decision reads the objectives anew: a sample was written that it may not have
        seen."""
        assert self.authority.means is not None
        self.authority.means.objectives.outdate()

    async def trip(self, name: str, login: str = "operator1") -> Done:
        """Trip, and wait until the authority has written the document of it."""
        done = await inside(self.config, *trip_arguments(name, "--login", login))
        assert done.code == 0, done.err
        await self.written(name)
        return done

    async def written(self, name: str) -> None:
        """Wait for the document of a trip. Until it is there, whatever is asked of the breaker or switch may
        find it changed meanwhile."""
        async with self.platform.redis_line() as line:

            async def current() -> bool:
                document, _ = parse_document(await line.command("GET", f"breaker:{name}"))
                return document.epoch.counter == int(await line.command("GET", f"trip:{name}"))

            await until(current, 60)


SLOW: Mapping[str, object] = {"latency_bound_ms": 60_000, "run_deadline_s": 60}
"""`[limits]` for tests that are not about being late: a busy machine answers all the same."""

# How long decisions, probes and people wait for an answer, likewise.
_PATIENCE: Mapping[str, float] = {
    "cockpit.authority.objectives.WAIT_S": 25.0,
    "cockpit.authority.scenes.AUDIT_WAIT_S": 30.0,
    "cockpit.cli.probing._VERDICT_S": 30.0,
    "cockpit.cli.tripping._DECISION_S": 30.0,
    "cockpit.cli.tripping._STORE_S": 30.0,
    "cockpit.operations.checklist.BUDGETS_S": 28.0,
    "cockpit.operations.checklist.READ_S": 30.0,
    "cockpit.operations.modes.LOOK_S": 30.0,
    "cockpit.operations.probes.STORE_BOUND_MS": 30_000.0,
    "cockpit.operations.resume.RECORD_S": 30.0,
    "cockpit.operations.trip._QUICK_FAILURE_S": 30.0,
}


@asynccontextmanager
async def manned(platform: Platform) -> AsyncIterator[Bastion]:
    """A bastion whose platform is open for trading. Whoever waits for the authority or for a store in this
    process does it patiently."""
    with pytest.MonkeyPatch.context() as patch:
        for name, seconds in _PATIENCE.items():
            patch.setattr(name, seconds)
        async with venue() as made:
            config = platform.config.with_name("cli.toml")
            config.touch(0o600)
            config.write_text(f'gateway_url = "{made.url}"\n' + platform.config.read_text())
            settings = replace(platform.settings, gateway_url=made.url)
            async with running_authority(settings) as authority:
                bastion = Bastion(platform, config, made, authority)
                await bastion.becomes("global", "CLOSED")
                yield bastion
