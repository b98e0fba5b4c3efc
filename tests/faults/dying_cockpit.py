"""A person's process that kills itself: `python -m tests.faults.dying_cockpit CONFIG WHAT BREAKER STEP`.

WHAT is `trip`, `half_open`, `probe` or `close`. A step is a call of a port: odd steps come just before one,
even ones just after it, so that 1 is before the first, 2 after it, and so on. It ends with code 0 where there
are fewer.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from backends.postgres_store import PostgresStore
from backends.redis_store import RedisStore
from backends.signing import KeyRing, SignedCommand, SigningKey, canonical, sign_command
from cockpit.cli.tripping import trip_ports
from cockpit.config import Settings, load_settings
from cockpit.domain.breakers import BreakerId
from cockpit.domain.checklist import VOUCHED
from cockpit.domain.commands import Kind
from cockpit.domain.reasons import Reason
from cockpit.operations import probes, resume, trip
from cockpit.operations.probes import ProbePorts
from cockpit.operations.resume import ResumePorts, Wish
from cockpit.operations.trip import TripPorts

NOTES = "seen by a process that dies in the middle"


class Steps:
    """Counts the calls of the ports that it wraps, and dies at the wanted one."""

    def __init__(self, wanted: int) -> None:
        self.wanted, self.seen = wanted, 0

    def step(self) -> None:
        self.seen += 1
        if self.seen == self.wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    def call(self, function: Any) -> Any:
        def wrapped(*arguments: Any) -> Any:
            self.step()
            result = function(*arguments)
            self.step()
            return result

        return wrapped

    def port(self, inner: Any, *names: str) -> Any:
        """The port with the named coroutine methods counted."""
        steps = self

        class Counted:
            def __getattr__(self, name: str) -> Any:
                method = getattr(inner, name)
                if name not in names:
                    return method

                async def wrapped(*arguments: Any, **more: Any) -> Any:
                    steps.step()
                    result = await method(*arguments, **more)
                    steps.step()
                    return result

                return wrapped

        return Counted()


def run_trip(settings: Settings, breaker_id: BreakerId, steps: Steps) -> None:
    login = settings.credentials("operator1")
    assert login.signing_key is not None
    now = datetime.now(UTC)
    command = trip.command(breaker_id, login.name, str(uuid4()), Reason.DRILL, NOTES, None, now)
    inner = trip_ports(settings, login)
    inner.spool.write = steps.call(inner.spool.write)  # type: ignore[method-assign]
    ports = TripPorts(steps.call(inner.redis), steps.call(inner.recorded), inner.spool, inner.late_trip_s)
    trip.trip(command, sign_command(command, SigningKey.load(login.signing_key)), ports, now)
    steps.step()


async def run_resume(settings: Settings, what: str, breaker_id: BreakerId, steps: Steps) -> None:
    login = settings.credentials("operator1")
    assert login.signing_key is not None
    key = SigningKey.load(login.signing_key)
    breakers = RedisStore(login.redis_url, settings.catalogue, KeyRing(settings.authority_keys))
    inbox = PostgresStore(login.postgres_dsn)
    counted = steps.port(
        inbox, "identity", "snapshot", "submit", "await_outcome", "record_probe_result", "probe_run"
    )
    if what == "probe":
        epoch = (await breakers.snapshot()).readings[breaker_id].epoch
        assert epoch is not None
        row = await counted.probe_run(breaker_id, epoch)

        async def ping() -> float:
            return 1.0

        def sign(fields: Any) -> SignedCommand:
            payload = canonical(fields)
            return SignedCommand(payload, key.key_id, key.sign(payload))

        ports = ProbePorts(None, ping, ping, None, 300)
        async for _ in probes.run_all(row.run, ports, counted, sign, 10):
            pass
        return
    kind = Kind(what)
    wish = Wish(
        kind, breaker_id, NOTES, tuple(item.item_id for item in VOUCHED) if kind is Kind.HALF_OPEN else ()
    )
    asking = ResumePorts(
        steps.port(breakers, "snapshot"), counted, lambda command: sign_command(command, key), settings.limits
    )
    await resume.ask(wish, asking, datetime.now(UTC))


def main() -> None:
    config, what, breaker_id, step = sys.argv[1:]
    settings, steps = load_settings(Path(config), env={}), Steps(int(step))
    if what == "trip":
        run_trip(settings, BreakerId(breaker_id), steps)
    else:
        asyncio.run(run_resume(settings, what, BreakerId(breaker_id), steps))


if __name__ == "__main__":
    main()
