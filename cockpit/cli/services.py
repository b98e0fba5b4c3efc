"""What runs until it is stopped: the screen, the demo, the authority."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from pathlib import Path

from cockpit.cli.answers import UsageFault, say
from cockpit.cli.wiring import settings_of
from cockpit.config import Settings


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
    import asyncio
    import logging

    from backends.signing import KeyFileUnusable

    settings = settings_of(options)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_serve(settings))
    except KeyFileUnusable as error:
        raise UsageFault(f"logins.authority.signing_key: {error}") from error
    return 0


async def _serve(settings: Settings) -> None:
    import asyncio
    import signal

    from cockpit.authority.service import run

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, stop, ready=lambda: say("this authority acts"))
