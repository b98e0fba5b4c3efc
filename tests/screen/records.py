"""What the authority has recorded of the people at the screens, in a test's real database."""

from __future__ import annotations

from tests.authority.desk import until
from tests.trading_platform import Platform


async def denied(platform: Platform, login: str) -> None:
    """Wait until one denied attempt of this login is in the audit log, and see that it is the only one."""
    async with platform.connection() as owner:
        sql = "SELECT count(*) FROM audit_log WHERE user_id = $1 AND action LIKE '%DENIED%'"
        await until(lambda: owner.fetchval(sql, login))
        assert await owner.fetchval(sql, login) == 1
