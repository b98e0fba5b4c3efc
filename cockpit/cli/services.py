"""What runs until it is stopped: the screen, the demo, the authority, the guard, the exporter."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING

from cockpit.cli.answers import UsageFault, say
from cockpit.cli.wiring import open_postgres, settings_of, whole
from cockpit.config import Credentials
from cockpit.domain.refusals import Code, Refused, StoreUnreachable

if TYPE_CHECKING:
    import asyncio

    from cockpit.domain.permissions import Role


def screen(options: argparse.Namespace) -> int:
    """The Textual screen. Trips that wait in the spool are delivered first (late ones say so)."""
    gc.disable()  # what the start makes stays; the app collects again once its first data stand
    must_be_terminal()
    if options.json:
        raise UsageFault("--json: the screen prints none; `cockpit status --json` does")
    settings = settings_of(options)
    credentials = settings.credentials(options.login)
    if not _is_empty(settings.spool_dir):
        from cockpit.cli.tripping import retry_spool

        for line in retry_spool(settings, credentials):
            say(line)
    from cockpit.app import run

    return run(settings, credentials.name)


def _is_empty(spool: Path) -> bool:
    """Whether there is certainly nothing to deliver, as at nearly every start."""
    try:
        return not any(spool.iterdir())
    except FileNotFoundError:
        return True
    except OSError:
        return False


def must_be_terminal() -> None:
    """
    Raises:
        UsageFault: nothing to draw on (F22).
    """
    term = os.environ.get("TERM", "")
    tty = sys.stdin is not None and sys.stdin.isatty() and sys.stdout is not None and sys.stdout.isatty()
    if term in ("", "dumb") or not tty:
        what = f"TERM is {term or 'not set'}" if tty else "this is no terminal"
        raise UsageFault(
            f"the screen needs a terminal that can place text, and {what}; "
            "`cockpit status` shows every breaker and `cockpit trip ID --reason … --notes … --yes` halts one"
        )


def demo(options: argparse.Namespace) -> int:
    """Embedded servers, a plant and the screen; without a terminal, or asked to, one line of JSON instead."""
    from cockpit.demo.session import run

    tty = sys.stdin is not None and sys.stdin.isatty() and sys.stdout is not None and sys.stdout.isatty()
    headless = options.headless or options.json or not tty
    if not headless:
        must_be_terminal()
    return run(Path(options.data_dir) if options.data_dir else None, headless, options.login)


def authority(options: argparse.Namespace) -> int:
    """The service, until SIGTERM, SIGINT or SIGHUP. It logs to stderr, for the service manager to keep."""
    settings = settings_of(options)

    async def serve(stop: asyncio.Event) -> None:
        from cockpit.authority.service import run

        await run(settings, stop, ready=lambda: say("this authority acts"))

    return served("authority", serve)


def guard(options: argparse.Namespace) -> int:
    """The service that evaluates the automatic triggers, as an automation login."""
    settings = settings_of(options)
    credentials = settings.credentials(options.login or settings.guard_login)

    async def serve(stop: asyncio.Event) -> None:
        from cockpit.domain.permissions import Role

        await _must_be(credentials, Role.AUTOMATION_ROLE, "the guard trips as a machine, never as a person")
        from cockpit.guard.service import run

        await run(settings, credentials.name, stop, ready=lambda: say("this guard acts"))

    return served(credentials.name, serve)


def exporter(options: argparse.Namespace) -> int:
    """The service that serves metrics over HTTP, as a login that may only read."""
    settings = settings_of(options)
    credentials = settings.credentials(options.login or settings.exporter_login)
    port = settings.metrics_port if options.port is None else whole(options.port, "port", 0, 65_535)

    async def serve(stop: asyncio.Event) -> None:
        from cockpit.domain.permissions import Role

        await _must_be(credentials, Role.MONITORING_READ, "what answers on the network can change nothing")
        from cockpit.exporter.service import run

        await run(settings, credentials.name, port, stop, ready=lambda: say("metrics are served"))

    return served(credentials.name, serve)


def served(login: str, serve: Callable[[asyncio.Event], Coroutine[object, object, None]]) -> int:
    """Run a service until SIGTERM, SIGINT or SIGHUP."""
    import asyncio
    import logging
    import signal

    from backends.signing import KeyFileUnusable

    async def until_stopped() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(stop)

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for library in ("httpx", "httpcore"):  # they log each address they ask, passwords in it and all (I27)
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        asyncio.run(until_stopped())
    except KeyFileUnusable as error:
        raise UsageFault(f"logins.{login}.signing_key: {error}") from error
    return 0


async def _must_be(credentials: Credentials, role: Role, why: str) -> None:
    """Refuse to start with rights that the service should not have, as far as Postgres can say.

    Raises:
        Refused: the login is unknown or has another role.
    """
    try:
        async with open_postgres(credentials, 2.0) as store:
            identity = await store.identity()
    except StoreUnreachable as error:
        say(f"the role of {credentials.name} cannot be checked yet: {error}")
        return
    if identity.role is not role:
        raise Refused(
            Code.DENIED,
            f"{identity.login} is {identity.role.value}: {why}.",
            f"Name a login with the role {role.value}: --login, or the settings.",
        )
