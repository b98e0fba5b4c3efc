"""Delivers to one receiver: claims what is due, sends a few at a time, records what came of each.

Couriers share nothing but the store, so a receiver that hangs delays no other. A delivery is made at least
once: one whose record is lost is made again, under the same keys.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from datetime import UTC, datetime
from typing import Final

from backends.paging_client import Attempt, PagingClient, Result
from backends.paging_receivers import Page, Receiver
from backends.paging_store import PagerStore
from cockpit.domain.refusals import Refused, StoreUnreachable

log: Final = logging.getLogger("cockpit.pager")
AT_ONCE: Final = 4
BUSY_S: Final = 30.0
FRESH_S: Final = 10.0  # what was claimed longer ago may be in another pager's hands by the time it is sent
FIRST_S: Final = 1.0
MOST_S: Final = 300.0
_RECORD_AGAIN_S: Final = 0.25


def wait_s(attempt: int, draw: float) -> float:
    """Seconds until the next attempt: 1, 2, 4 … 300, of which `draw` (0 to 1) takes up to a half away."""
    return min(MOST_S, FIRST_S * 2.0 ** min(attempt - 1, 10)) * (1.0 - draw / 2)


class Courier:
    """One receiver's deliveries. `trouble` is what is wrong with it now, "" while all is well."""

    def __init__(self, receiver: Receiver, store: PagerStore, client: PagingClient) -> None:
        self.receiver = receiver
        self.trouble = ""
        self._store = store
        self._client = client
        self._under_way: set[asyncio.Task[None]] = set()

    async def step(self) -> int:
        """Take up what is due, as far as hands are free; how many deliveries that are.

        Raises:
            StoreUnreachable, Refused: the store hands nothing out.
        """
        free = AT_ONCE - len(self._under_way)
        if free <= 0:
            return 0
        claimed_at = time.clock_gettime(time.CLOCK_BOOTTIME)
        resends = self.receiver.resend_s is not None
        pages = await self._store.claim(self.receiver.name, free, BUSY_S, resends)
        for page in pages:
            task = asyncio.create_task(self._deliver(page, claimed_at), name=f"page {page.outbox_id}")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return len(pages)

    async def finish(self) -> None:
        """Wait for what is under way; each attempt has a bound of its own."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=BUSY_S)
        for task in self._under_way:
            task.cancel()

    async def _deliver(self, page: Page, claimed_at: float) -> None:
        try:
            if time.clock_gettime(time.CLOCK_BOOTTIME) - claimed_at > FRESH_S:
                return  # we were stopped in between: it is claimed anew
            attempt = await self._client.send(self.receiver.message(page, datetime.now(UTC)))
        except Exception as error:  # a page that breaks our own code must not stop the others
            log.exception("page %d cannot be sent to %s", page.outbox_id, self.receiver.name)
            attempt = Attempt(Result.FAILED, f"a fault of ours ({type(error).__name__}), see the pager's log")
        self._note(page, attempt)
        await self._record(page, attempt, claimed_at)

    def _note(self, page: Page, attempt: Attempt) -> None:
        delivered = attempt.result is Result.DELIVERED
        if not delivered and (attempt.why != self.trouble or attempt.result is Result.GIVEN_UP):
            level = logging.ERROR if attempt.result is Result.GIVEN_UP else logging.WARNING
            log.log(level, "%s %s: %s", self.receiver.name, attempt.result.value, attempt.why)
        elif delivered and self.trouble:
            log.info("%s is reached again", self.receiver.name)
        self.trouble = "" if delivered else attempt.why

    async def _record(self, page: Page, attempt: Attempt, claimed_at: float) -> None:
        """Insist while it is in our hands: what is not recorded is sent again."""
        wait = max(wait_s(page.attempt, random.random()), attempt.rest_s)  # noqa: S311 - jitter, no secret
        while time.clock_gettime(time.CLOCK_BOOTTIME) - claimed_at < BUSY_S:
            try:
                await self._store.record(self.receiver.name, page, attempt, wait, self.receiver.resend_s)
                return
            except StoreUnreachable:
                await asyncio.sleep(_RECORD_AGAIN_S)
            except Refused as refused:
                log.error("what came of page %d cannot be recorded: %s", page.outbox_id, refused)
                return
