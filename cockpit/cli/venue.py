"""What rests at the venue, for what is said before orders are trapped or cancelled."""

from __future__ import annotations

import asyncio
from typing import Final

from cockpit.cli.wiring import open_gateway
from cockpit.config import Settings
from cockpit.domain.refusals import Refused

_LOOK_S: Final = 1.0


async def resting_orders(settings: Settings, symbol: str) -> int | None:
    """How many orders of it rest at the venue; None where that cannot be read soon."""
    try:
        async with asyncio.timeout(_LOOK_S), open_gateway(settings) as gateway:
            if gateway is None:
                return None
            return sum(order.symbol == symbol for order in await gateway.open_orders())
    except (TimeoutError, Refused):
        return None
