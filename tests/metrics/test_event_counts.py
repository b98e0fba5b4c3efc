"""The totals behind the counters, on a real Postgres."""

from __future__ import annotations

from backends.event_counts import EventCounter
from tests.trading_platform import Platform

ENTRY = """
INSERT INTO audit_log (seq, event_id, timestamp, action, user_id, role, target, details, details_text, key_id,
                       payload, payload_hash, signed_hash, prev_hash, chain_hash)
SELECT $1::bigint, '', clock_timestamp(), $2, '', '', $3, '{}', '', '', '', '', '', '', $1::bigint::text
"""
FIRING = """
INSERT INTO guard_firings (firing_id, term, rule, mode, effect, aim, breaker_id, value, threshold, samples)
VALUES (gen_random_uuid(), 1, $1, $2, 'trip', 'global', 'component:execution', 2, 1, '[]')
"""


async def test_committed_closes_count_and_neither_intents_nor_trips(platform: Platform) -> None:
    told = [("RESET_INTENT", "a"), ("RESET", "a"), ("RESET_INTENT", "a"), ("RESET_VOID", "a"), ("TRIP", "a")]
    told += [("RESET", "b"), ("RESET", "a")]
    async with platform.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")  # no chain is made here
        for seq, (action, target) in enumerate(told, start=1_000):
            await connection.execute(ENTRY, seq, f"CIRCUIT_BREAKER_{action}", target)
    counter = EventCounter(platform.login("monitor1").postgres_dsn)
    found = await counter.read()
    await counter.close()
    assert found.resets == {"a": 2, "b": 1}
    assert found.firings == {}


async def test_firings_count_by_rule_and_mode(platform: Platform) -> None:
    async with platform.connection() as connection:
        for rule, mode in (("r", "live"), ("r", "shadow"), ("r", "live"), ("s", "live")):
            await connection.execute(FIRING, rule, mode)
    counter = EventCounter(platform.login("monitor1").postgres_dsn)
    found = await counter.read()
    await counter.close()
    assert found.firings == {("r", "live"): 2, ("r", "shadow"): 1, ("s", "live"): 1}
