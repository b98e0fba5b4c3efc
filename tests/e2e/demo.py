"""One real demo, as `cockpit demo --headless` starts it, and the ways in that people and programs have."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from redis.asyncio import Redis

from backends.gate import Decision, Gate
from cockpit.app import CockpitApp, open_desk
from cockpit.config import Settings, load_settings
from tests.cli.commands import NOTES, Done, cockpit, inside
from tests.demo.test_session import Demo, alive, running
from tests.screen.conftest import Cockpit, any_speed

PACE_S = 0.05
"""Between two looks at a demo, which shares the machine with them: each is a connection or a command."""
ASKS_S = 0.5
"""Between two requests of which each is checked, decided and recorded."""
PATIENCE_S = 60.0
"""How long a busy machine may take for anything that is bound to come."""
PEOPLE = ("admin1", "admin2", "operator1", "operator2", "automation1", "monitor1")


async def until(
    condition: Callable[[], Awaitable[Any]], limit_s: float = PATIENCE_S, pace_s: float = PACE_S
) -> Any:
    """What `condition` says once it is true."""
    ends = time.monotonic() + limit_s
    while not (found := await condition()):
        assert time.monotonic() < ends, "the condition did not come true in time"
        await asyncio.sleep(pace_s)
    return found


@dataclass(slots=True)
class World:
    """The demo with its settings. `said` keeps what every command printed, for the search for secrets."""

    demo: Demo
    settings: Settings
    folder: Path
    said: list[str]

    @property
    def config(self) -> Path:
        return self.settings.path

    async def run(self, *arguments: str, login: str = "operator1") -> Done:
        """One command line with `--json`."""
        done = await cockpit(self.config, *arguments, "--login", login, "--json")
        self.said += [done.out, done.err]
        return done

    async def inside(self, *arguments: str, login: str = "operator1") -> Done:
        """The same in this process, where nothing of a process of its own matters."""
        done = await inside(self.config, *arguments, "--login", login, "--json")
        self.said += [done.out, done.err]
        return done

    async def trip(self, name: str, login: str = "operator1") -> Done:
        return await self.run("trip", name, "--reason", "drill", "--notes", NOTES, "--yes", login=login)

    async def half_open(self, name: str, login: str = "operator1") -> Done:
        return await self.run(*half_open_of(name), login=login)

    async def close(self, name: str, login: str = "operator1") -> Done:
        return await self.run("close", name, "--notes", NOTES, "--yes", login=login)

    async def breaker(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.inside("status", name)).document["breakers"][0]
        return found

    async def becomes(self, name: str, state: str, limit_s: float = PATIENCE_S) -> None:
        async def reached() -> bool:
            return bool((await self.breaker(name))["state"] == state)

        await until(reached, limit_s)

    @contextlib.asynccontextmanager
    async def gateway(self) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(
            base_url=self.settings.gateway_url or "", trust_env=False, timeout=PATIENCE_S
        ) as client:
            yield client

    @contextlib.asynccontextmanager
    async def postgres(self, login: str = "owner") -> AsyncIterator[Any]:
        """A plain connection: somebody's psql."""
        connection = await asyncpg.connect(self.settings.logins[login].postgres_dsn, timeout=PATIENCE_S)
        try:
            yield connection
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def redis(self, login: str = "owner") -> AsyncIterator[Any]:
        """A plain connection: somebody's redis-cli."""
        client: Any = Redis.from_url(self.settings.logins[login].redis_url)
        try:
            yield client
        finally:
            await client.aclose()

    async def query(self, sql: str, *arguments: object) -> Any:
        async with self.postgres() as connection:
            return await connection.fetchval(sql, *arguments)

    async def spend(self, sli: str) -> None:
        """Overspend a budget as the trading side could: a sample with more failures than a month may have."""
        async with self.postgres("gateway") as connection:
            await connection.execute(
                "INSERT INTO sli_samples (sli, good, total)"
                " SELECT $1, 0, 1 + sum(total) FROM sli_samples WHERE sli = $1 AND good <= total",
                sli,
            )

    async def spare(self) -> None:
        """A million good events of all that is counted: what a busy machine makes slow or late, also while
        orders are slow on purpose, burns no budget so fast that somebody is called and a resume waits."""
        async with self.postgres("gateway") as connection:
            await connection.execute(
                "INSERT INTO sli_samples (sli, good, total) SELECT sli, 1000000, 1000000"
                " FROM unnest(ARRAY['data_feed', 'execution_latency', 'operations', 'order_success']) AS sli"
            )

    async def gate(self) -> dict[str, Decision]:
        """What the gate of a gateway would decide now, for every instrument and strategy."""
        async with self.redis("gateway") as client:
            gate = Gate(client, self.settings.catalogue, self.settings.authority_keys)
            return {str(name): each for name, each in (await gate.survey()).items()}

    @contextlib.asynccontextmanager
    async def screen(self, login: str) -> AsyncIterator[Cockpit]:
        """The real screen at 80×24, once it has heard of both stores."""
        app = CockpitApp(self.settings, self.settings.credentials(login), open_desk)
        with any_speed():
            async with app.run_test(size=(80, 24)) as pilot:
                screen = Cockpit(app, pilot)
                await screen.until(lambda: bool(app.board.desk and app.board.breakers))
                yield screen

    async def restart_authority(self, **limits: float) -> None:
        """Change `[limits]` as an owner would, and end the authority, which the demo starts again."""
        text = self.config.read_text()
        for name, value in limits.items():
            text = re.sub(rf"(?m)^{name} = .*\n", "", text)
            text = text.replace("[limits]\n", f"[limits]\n{name} = {value}\n", 1)
        self.config.write_text(text)
        self.settings = load_settings(self.config, env={})
        pid = self.demo.child("-m cockpit authority")
        term = await self.query("SELECT term FROM authority_lease")
        os.kill(pid, signal.SIGTERM)
        await until(lambda: asyncio.sleep(0, not alive(pid)))

        async def acts() -> bool:
            return bool(
                await self.query(
                    "SELECT term > $1 AND expires_at > clock_timestamp() FROM authority_lease", term
                )
            )

        await until(acts)

    def secrets(self) -> list[str]:
        """Every password of the settings, in clear, and every private key's text."""
        found = re.findall(r"://[^:]+:([^@]+)@", self.config.read_text())
        for path in (self.folder / "keys").glob("*.pem"):
            found += [line for line in path.read_text().splitlines() if "-----" not in line]
        return sorted(set(found))


def half_open_of(name: str) -> tuple[str, ...]:
    """The words of the command."""
    return ("half-open", name, "--notes", NOTES, "--checked", "all", "--yes")


@contextlib.contextmanager
def started(folder: Path) -> Iterator[World]:
    with running(folder) as demo:
        config = Path(demo.ready["config"])
        yield World(demo, load_settings(config, env={}), folder, [])


def strictness(decisions: dict[str, Decision]) -> dict[str, int]:
    return {name: each.effective_state.strictness for name, each in decisions.items()}
