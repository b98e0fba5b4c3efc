"""A cockpit that dies between any two of its steps, a gateway whose replies get lost."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from cockpit.domain.refusals import StoreUnreachable
from cockpit.operations.kill_ports import KillPorts


class Death(BaseException):
    """The process is gone: nothing after this line happens."""


@dataclass(slots=True)
class Life:
    """Dies at the `ends`th touch of the outside world (None: never), before it is done or, where `after`,
    when it is. Once dead, nothing reaches the outside any more."""

    ends: int | None = None
    after: bool = False
    touches: int = 0

    def touch(self) -> bool:
        """Count; True where this one is the last and still done.

        Raises:
            Death: it is over.
        """
        self.touches += 1
        if self.ends is None or self.touches < self.ends:
            return False
        if self.touches == self.ends and self.after:
            return True
        raise Death


class Mortal:
    """Everything of `of`, as long as `life` lasts."""

    def __init__(self, of: Any, life: Life) -> None:
        self._of = of
        self._life = life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        return mortal(found, self._life) if callable(found) else found


def mortal(work: Callable[..., Any], life: Life) -> Callable[..., Any]:
    def sync(*args: Any, **more: Any) -> Any:
        last = life.touch()
        made = work(*args, **more)
        if inspect.isawaitable(made):
            return awaited(made, last)
        if last:
            raise Death
        return made

    async def awaited(made: Any, last: bool) -> Any:
        found = await made
        if last:
            raise Death
        return found

    return sync


def mortal_ports(ports: KillPorts, life: Life) -> KillPorts:
    """The ports of a cockpit that has this life."""
    trips = replace(
        ports.trips,
        redis=mortal(ports.trips.redis, life),
        recorded=mortal(ports.trips.recorded, life),
        spool=Mortal(ports.trips.spool, life),  # type: ignore[arg-type]
    )
    return replace(
        ports,
        trips=trips,
        gateway=Mortal(ports.gateway, life),
        acks=mortal(ports.acks, life),
        standing=mortal(ports.standing, life),
        inbox=Mortal(ports.inbox, life),
        journal=Mortal(ports.journal, life),  # type: ignore[arg-type]
    )


@dataclass(slots=True)
class Lossy:
    """A gateway of which some replies get lost after the work is done, or that cannot be reached. Checks that
    one key has one answer."""

    of: Any
    lose: int = 0
    down: bool = False
    unreadable: bool = False
    answers: dict[str, Any] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)

    async def open_orders(self) -> Any:
        self._reached(self.unreadable)
        return await self.of.open_orders()

    async def positions(self) -> Any:
        self._reached(self.unreadable)
        return await self.of.positions()

    async def cancel_all(self, symbol: str | None = None, key: str | None = None) -> Any:
        return await self._act(key, self.of.cancel_all(symbol=symbol, key=key))

    async def flatten(self, key: str | None = None) -> Any:
        return await self._act(key, self.of.flatten(key=key))

    async def _act(self, key: str | None, work: Any) -> Any:
        if self.down:
            work.close()
        self._reached()
        answer = await work
        if key is not None:
            self.sent.append(key)
            if not answer.why:
                assert self.answers.setdefault(key, answer) == answer, f"{key} was done twice"
        if self.lose:
            self.lose -= 1
            raise StoreUnreachable("gateway", "the reply was lost by the test", maybe_applied=True)
        return answer

    def _reached(self, also: bool = False) -> None:
        if self.down or also:
            raise StoreUnreachable("gateway", "cut off by the test")
