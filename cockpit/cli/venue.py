"""What rests at the venue, for what is said before orders are cancelled or once they are trapped."""

from __future__ import annotations

import asyncio
from typing import Final

from cockpit.cli.wiring import open_gateway
from cockpit.config import Settings
from cockpit.domain.refusals import Refused

_LOOK_S: Final = 5.0  # nothing waits for it, and the gateway of a venue in trouble answers late


async def resting_orders(settings: Settings, symbol: str) -> int | None:
    """How many orders of it rest at the venue; None where it does not say so in time. The limit is the
    gateway's own: making the client does not count."""
    try:
        async with open_gateway(settings) as gateway:
            if gateway is None:
                return None
            async with asyncio.timeout(_LOOK_S):
                return sum(order.symbol == symbol for order in await gateway.open_orders())
    except (TimeoutError, Refused):
        return None
