"""`cockpit demo`: embedded servers, the authority, the plant, the guard, the exporter, the pager, and the
screen or, headless, one line of JSON.

Everything lies below one folder, which one demo holds at a time. A later start finds its history there.
Whatever ends this process, nothing that it started lives on: servers and children die with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import asyncpg
import httpx
from platformdirs import user_data_dir

from cockpit.config import BadSettings, Settings
from cockpit.demo.children import Child, Watch
from cockpit.demo.servers import (
    DataDirInUse,
    DataDirLock,
    FolderNotReachable,
    Postgres,
    ServerDidNotStart,
    Valkey,
)
from cockpit.demo.setup import EXPORTER, GUARD, prepare
from cockpit.domain.refusals import Refused
from cockpit.domain.text import clean_lines

_READY_S: Final = 30.0
_RESTORED_S: Final = 2.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_log = logging.getLogger(__name__)


class _Stopped(BaseException):
    """A signal asked us to end; carries its number. No Exception: nothing on the way may handle it."""


class DemoNotReady(RuntimeError):
    """Authority or plant did not come up in time; the message holds their last words."""


def default_data_dir() -> Path:
    """`/var/lib/cockpit/demo` for root, which home folders keep the servers' user out of; else the user's."""
    return Path("/var/lib/cockpit/demo") if os.geteuid() == 0 else Path(user_data_dir("cockpit")) / "demo"


def run(data_dir: Path | None, headless: bool, login: str | None) -> int:
    """Run the demo until it is quit or told to end by SIGTERM, SIGINT or SIGHUP; the exit code.

    Headless, which it also is without a terminal, it prints `{"ready": true, "config", "redis_url",
    "postgres_dsn", "gateway_url"}` with the servers' owner addresses once everything answers. A server, the
    authority or the plant that ends on the way is started again.
    """
    folder = (data_dir or default_data_dir()).expanduser().absolute()
    headless = headless or not (sys.stdin.isatty() and sys.stdout.isatty())
    try:
        with _signals_end_us():
            return _run(folder, headless, login)
    except _Stopped:
        return 0
    except (DataDirInUse, FolderNotReachable, BadSettings) as error:
        _say(str(error))
        return 2
    except (ServerDidNotStart, DemoNotReady, Refused, OSError) as error:
        _say(clean_lines(str(error)))
        return 5 if isinstance(error, Refused) else 1


def _run(folder: Path, headless: bool, login: str | None) -> int:
    with contextlib.ExitStack() as stack:
        stack.enter_context(DataDirLock(folder))
        logs = folder / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        handler = logging.FileHandler(logs / "demo.log")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        _log.addHandler(handler)
        _log.setLevel(logging.INFO)
        stack.callback(handler.close)
        stack.callback(_log.removeHandler, handler)

        valkey, postgres = Valkey(folder), Postgres(folder)
        _say(f"demo: starting Valkey and PostgreSQL in {folder}")
        stack.callback(_together, valkey.stop, postgres.stop)
        _together(valkey.start, postgres.start)

        _say("demo: keys, logins, schema")
        settings, run_id = asyncio.run(prepare(folder, valkey.owner_url, postgres.owner_dsn))
        if login is not None:
            settings.credentials(login)  # says now, not after the start, that there is none of that name

        _say("demo: starting the authority, the trading plant, the guard, the exporter and the pager")
        traders, watchers = _children(settings, logs)
        children = (*traders, *watchers)
        for child in children:
            stack.callback(child.stop)
        for child in traders:
            child.start()
        asyncio.run(_ready(settings, run_id, postgres.owner_dsn, traders))
        for child in watchers:
            child.start()

        watch = Watch([valkey, postgres], children, _say if headless else _log.warning)
        watch.start()
        stack.callback(watch.stop)
        if headless:
            return _serve(settings, valkey.owner_url, postgres.owner_dsn)
        from cockpit.app import run as show

        return show(settings, login)


def _children(settings: Settings, logs: Path) -> tuple[tuple[Child, ...], tuple[Child, ...]]:
    """Authority and plant; then who watches them. The guard would take what an earlier run measured last for
    data that have been silent since then, so it starts once there are measurements of this run."""
    config = ["--config", str(settings.path)]
    guard = ["guard", *config, "--login", settings.guard_login or GUARD]
    exporter = ["exporter", *config, "--login", settings.exporter_login or EXPORTER]
    # Somebody may have turned paging off in the demo's settings.
    pager = (Child("pager", "cockpit", ["pager", *config], logs),) if settings.paging.enabled else ()
    return (
        Child("authority", "cockpit", ["authority", *config], logs),
        Child("plant", "cockpit.demo.plant", config, logs),
    ), (
        Child("guard", "cockpit", guard, logs),
        Child("exporter", "cockpit", exporter, logs),
        *pager,
    )


def _serve(settings: Settings, redis_url: str, postgres_dsn: str) -> int:
    ready = {
        "ready": True,
        "config": str(settings.path),
        "redis_url": redis_url,
        "postgres_dsn": postgres_dsn,
        "gateway_url": settings.gateway_url,
    }
    print(json.dumps(ready), flush=True)
    threading.Event().wait()  # until a signal raises
    return 0


async def _ready(settings: Settings, run_id: str, dsn: str, children: tuple[Child, ...]) -> None:
    """Wait for a live authority that has used the genesis grant, for breakers that are of this Redis server
    (or two seconds, where the authority found a reason not to restore them), for the gateway, and for the
    plant's first measurements.

    Raises:
        DemoNotReady: not within 30 s.
    """
    began = time.monotonic()
    connection = await asyncpg.connect(dsn, timeout=5)
    leased: float | None = None
    try:
        async with httpx.AsyncClient(base_url=settings.gateway_url or "", trust_env=False, timeout=2) as http:
            while time.monotonic() - began < _READY_S:
                row = await connection.fetchrow(_STATE, run_id)
                if row["leased"] and row["measured"] and not row["genesis_waits"]:
                    leased = leased or time.monotonic()
                    settled = row["restored"] or time.monotonic() - leased > _RESTORED_S
                    if settled and await _answers(http):
                        return
                await asyncio.sleep(0.05)
    finally:
        await connection.close(timeout=2)
    words = [f"{child.name}: {child.last_words() or 'silent'}" for child in children]
    raise DemoNotReady(f"demo: authority and plant were not ready in {_READY_S:g} s\n" + "\n".join(words))


_STATE: Final = """
SELECT EXISTS (SELECT FROM authority_lease WHERE expires_at > clock_timestamp()
               AND renewed_at > (SELECT pg_postmaster_start_time())) AS leased,
       EXISTS (SELECT FROM genesis WHERE used_at IS NULL) AS genesis_waits,
       EXISTS (SELECT FROM sli_samples
               WHERE sli = 'feed_age_s' AND observed_at > (SELECT pg_postmaster_start_time())) AS measured,
       NOT EXISTS (SELECT FROM commits WHERE status = 'intent')
       AND (SELECT bool_and(redis_run_id = $1 AND document IS NOT NULL) FROM breakers) AS restored
"""


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/health")).is_success
    except httpx.HTTPError:
        return False


def _together(*actions: Callable[[], None]) -> None:
    """Run the actions at once, each in a thread; the first error is raised once all have ended, and so is a
    signal: nothing may be stopped while a thread of ours is still starting it."""
    with ThreadPoolExecutor(max_workers=len(actions)) as pool:
        futures = [pool.submit(action) for action in actions]
        wait(futures)
    for future in futures:
        future.result()


@contextlib.contextmanager
def _signals_end_us() -> Iterator[None]:
    """SIGTERM, SIGINT and SIGHUP unwind the stack once; while it unwinds they are ignored."""

    def stop(signum: int, frame: FrameType | None) -> NoReturn:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise _Stopped(signum)

    before = {signum: signal.signal(signum, stop) for signum in _SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _say(line: str) -> None:
    _log.info("%s", line)
    with contextlib.suppress(OSError):  # nobody reads it any more
        print(line, file=sys.stderr, flush=True)
