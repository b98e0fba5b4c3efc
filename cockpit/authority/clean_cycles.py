"""Whether reconciliation has been clean for long enough for a safety latch to be released."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backends import reconciliation_store
from cockpit.domain.limits import RECOVERY_FRESH_S
from cockpit.domain.reconciliation import CleanCycles

__all__ = ["CleanCycles", "clean_cycles"]


async def clean_cycles(
    connection: Any, symbol: str, since: datetime, fresh_s: float = RECOVERY_FRESH_S
) -> CleanCycles:
    """Clean cycles of `symbol` in a row, over every kind of its runs, of runs begun after `since`.

    An unknown run, and one that is malformed, begins the count anew; a kind that has not
    run for `fresh_s` proves nothing (I25). A query that fails raises: it never
    reads as clean. Source: operations runbook, "Recovery Decision Tree"; exchange operations runbook 3.1.
    """
    return await reconciliation_store.clean_cycles(connection, symbol, since, fresh_s)
