"""A bastion from which somebody works by the command line, with an authority and a venue that run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cockpit.authority.objectives import EVERY_S
from cockpit.authority.service import running_authority
from tests.authority.desk import Venue, until, venue
from tests.cli.commands import NOTES, Done, inside, trip_arguments
from tests.trading_platform import Platform


@dataclass(frozen=True, slots=True)
class Bastion:
    platform: Platform
    config: Path
    venue: Venue

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

        await until(reached, 15)

    async def trip(self, name: str, login: str = "operator1") -> Done:
        done = await inside(self.config, *trip_arguments(name, "--login", login))
        assert done.code == 0, done.err
        return done


@asynccontextmanager
async def manned(platform: Platform, objectives_every_s: float = EVERY_S) -> AsyncIterator[Bastion]:
    """A bastion whose platform is open for trading; its authority reads the objectives as often as said."""
    async with venue() as made:
        config = platform.config.with_name("cli.toml")
        config.touch(0o600)
        config.write_text(f'gateway_url = "{made.url}"\n' + platform.config.read_text())
        settings = replace(platform.settings, gateway_url=made.url)
        async with running_authority(settings, objectives_every_s=objectives_every_s):
            bastion = Bastion(platform, config, made)
            await bastion.becomes("global", "CLOSED")
            yield bastion
