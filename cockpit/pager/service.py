"""`cockpit pager`: delivers pages out of the outbox. Any number run; none is in any halt's way.

A store that is away, and a receiver that is, end nothing: what waits, waits in the outbox and is shown there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable
from typing import Final

from backends.paging_client import PagingClient
from backends.paging_receivers import Alertmanager, PagerDuty, Receiver, Slack, Webhook
from backends.paging_store import PagerStore
from cockpit.config import BadSettings, Settings
from cockpit.domain.permissions import Service
from cockpit.domain.refusals import Refused
from cockpit.domain.text import clean
from cockpit.pager.courier import Courier
from cockpit.paging_settings import PagingSettings
from cockpit.serving import serve, sleep_unless

log: Final = logging.getLogger("cockpit.pager")
TURN_S: Final = 0.25
SIGN_S: Final = 2.0
BACKOFF_S: Final = (0.25, 0.5, 1.0, 2.0)


def receivers_of(paging: PagingSettings, source: str) -> tuple[Receiver, ...]:
    """Those that the settings name. `source` is who pages, as a receiver shows it.

    Raises:
        BadSettings: paging is not enabled, or the routing key cannot be read.
    """
    if not paging.usable().enabled:
        raise BadSettings("paging.enabled: not true (nor is SLO_PAGING_ENABLED), so nobody is paged; set it")
    found: list[Receiver] = []
    if paging.pagerduty_routing_key_file is not None:
        found.append(PagerDuty(paging.pagerduty_url, paging.routing_key(), source))
    if paging.slack_url is not None:
        found.append(Slack(paging.slack_url))
    if paging.webhook_url is not None:
        found.append(Webhook(paging.webhook_url))
    if paging.alertmanager_url is not None:
        found.append(Alertmanager(paging.alertmanager_url, source))
    return tuple(found)


class Pager:
    """One process of the service. `paging` is set once it has given its first sign of life.

    Raises:
        BadSettings: paging is not enabled, or its settings or the login cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        login: str | None = None,
        *,
        client: PagingClient | None = None,
        holder: str | None = None,
    ) -> None:
        self._minimum, self._severities = settings.paging.min_severity, settings.paging.severities
        receivers = receivers_of(settings.paging, f"cockpit {settings.profile}")
        address = settings.credentials(login or Service.PAGER.value).postgres_dsn
        if not address:
            raise BadSettings(f"logins.{login or Service.PAGER.value}.postgres_dsn: missing; set it")
        self._store = PagerStore(address)
        self._client = client or PagingClient(ssl.create_default_context())
        self._couriers = tuple(Courier(receiver, self._store, self._client) for receiver in receivers)
        self._holder = holder or f"{socket.gethostname()}:{os.getpid()}:{time.time_ns() % 10**9}"
        self._signed_at = 0.0
        self.paging = asyncio.Event()

    @property
    def _names(self) -> list[str]:
        return [courier.receiver.name for courier in self._couriers]

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop`, then finish what is under way."""
        failures = 0
        try:
            while not stop.is_set():
                try:
                    await self.turn()
                    failures = 0
                except (Refused, OSError) as error:
                    failures += 1
                    if failures == 1 or failures % 30 == 0:
                        log.warning("nothing can be taken from the outbox: %s", clean(str(error), 300))
                except Exception:  # a fault of ours must not leave the platform without its pages
                    failures += 1
                    log.exception("a turn ended by an unexpected error")
                await sleep_unless(stop, BACKOFF_S[min(failures, len(BACKOFF_S)) - 1] if failures else TURN_S)
            for courier in self._couriers:
                await courier.finish()
            await self._store.end(self._holder)
        except Refused as refused:
            log.warning("the end could not be told: %s", clean(str(refused), 300))
        finally:
            await self._client.close()
            with contextlib.suppress(Refused, OSError):
                await self._store.close()

    async def turn(self) -> None:
        """One look at the outbox.

        Raises:
            StoreUnreachable, Refused: it cannot be read.
        """
        if time.monotonic() - self._signed_at >= SIGN_S:
            faults = [f"{each.receiver.name}: {each.trouble}" for each in self._couriers if each.trouble]
            await self._store.sign(self._holder, self._names, self._minimum, faults)
            self._signed_at = time.monotonic()
            self.paging.set()
        await self._store.spread(self._names, self._severities)
        for courier in self._couriers:
            await courier.step()


async def run(
    settings: Settings, login: str | None, stop: asyncio.Event, ready: Callable[[], None] | None = None
) -> None:
    """Run the service until `stop` is set. `ready` is called at its first sign of life.

    Raises:
        BadSettings: as `Pager`.
    """
    pager = Pager(settings, login)
    await serve(pager.run(stop), pager.paging, ready)
