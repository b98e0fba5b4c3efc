"""The audit chain in the database: no gap, no fork, nothing from outside stops an entry."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest

from backends.audit_log import NotInTransaction, append, load_entries, read_head, recorded, verify_signatures
from backends.signing import KeyRing, SigningKey
from cockpit.domain.audit import EMPTY, Action, ChainBroken, Head, verify_chain
from tests.trading_platform import Platform


def _entry(key: SigningKey, number: int, **details: object):
    return recorded(
        key,
        event_id=f"event-{number}",
        action=Action.DENIED,
        user_id="operator1",
        role="operator-act",
        target="global",
        details={"number": number, **details},
    )


def _keys(platform: Platform) -> KeyRing:
    return KeyRing({key.key_id: key.public_key for key in platform.keys.values()})


async def test_twenty_appends_at_once_make_one_chain(platform: Platform) -> None:  # I24
    async def write(number: int) -> None:
        async with platform.connection("authority") as connection:
            for part in range(5):
                async with connection.transaction():
                    await append(connection, _entry(platform.authority_key, number * 100 + part))

    await asyncio.gather(*(write(number) for number in range(20)))
    async with platform.connection("monitor1") as reader:
        entries = await load_entries(reader, 0, 1_000)
        assert len(entries) == 6 + 20 * 5
        assert verify_chain(entries) == await read_head(reader)
        verify_signatures(entries, _keys(platform))
    assert sorted(entry.timestamp for entry in entries) == [entry.timestamp for entry in entries]


async def test_a_rolled_back_append_leaves_no_gap(platform: Platform) -> None:  # I24
    async with platform.connection("authority") as connection:
        transaction = connection.transaction()
        await transaction.start()
        await append(connection, _entry(platform.authority_key, 1))
        await transaction.rollback()
        async with connection.transaction():
            kept = await append(connection, _entry(platform.authority_key, 2))
        entries = await load_entries(connection, 0, 100)
    assert kept.seq == 7
    assert verify_chain(entries) == Head(7, kept.chain_hash)


async def test_several_entries_in_one_transaction(platform: Platform) -> None:  # I24
    async with platform.connection("authority") as connection:
        async with connection.transaction():
            for number in range(3):
                await append(connection, _entry(platform.authority_key, number))
        assert (verify_chain(await load_entries(connection, 0, 100))).seq == 9


async def test_what_was_read_back_is_what_was_hashed(platform: Platform) -> None:  # I24, I26
    odd = {
        "quote": "\"'\\",
        "nul": "a\0b",
        "lone": "\ud800",
        "wide": 2**63,
        "unicode": "žluťoučký 🐎",
        "none": None,
    }
    async with platform.connection("authority") as connection:
        async with connection.transaction():
            written = await append(
                connection, _entry(platform.authority_key, 1, **odd, nested={"x": [1.5, True]})
            )
        entries = await load_entries(connection, 0, 100)
        stored = await connection.fetchval("SELECT details FROM audit_log WHERE seq = $1", written.seq)
    assert entries[-1] == written
    verify_chain(entries)
    verify_signatures(entries, _keys(platform))
    assert json.loads(stored) == json.loads(written.details)
    assert json.loads(stored)["nul"] == "a\ufffdb"


async def test_appending_outside_a_transaction_is_refused(platform: Platform) -> None:  # I24
    async with platform.connection("authority") as connection:
        with pytest.raises(NotInTransaction):
            await append(connection, _entry(platform.authority_key, 1))


@pytest.mark.parametrize("login", ["admin1", "operator1", "automation1", "monitor1", "gateway"])
async def test_nobody_else_appends(platform: Platform, login: str) -> None:  # I22
    async with platform.connection(login) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with connection.transaction():
                await append(connection, _entry(platform.authority_key, 1))


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit_log SET details_text = '{}' WHERE seq = 3",
        "UPDATE audit_log SET timestamp = timestamp + interval '1 microsecond' WHERE seq = 3",
        "UPDATE audit_log SET user_id = 'monitor1' WHERE seq = 3",
        "UPDATE audit_log SET ip_address = '10.0.0.1' WHERE seq = 3",
        "UPDATE audit_log SET signed_hash = 'x' WHERE seq = 3",
        "DELETE FROM audit_log WHERE seq = 3",
        "DELETE FROM audit_log WHERE seq = 1",
        "UPDATE audit_log SET seq = 99 WHERE seq = 6",
    ],
)
async def test_an_owners_edit_is_found(platform: Platform, tampering: str) -> None:  # I24, F18
    async with platform.connection() as owner:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await owner.execute(tampering)
        await owner.execute("ALTER TABLE audit_log DISABLE TRIGGER ALL")
        await owner.execute(tampering)
        entries = await load_entries(owner, 0, 100)
    with pytest.raises(ChainBroken):
        verify_chain(entries, EMPTY)


async def test_a_payload_with_its_hashes_rewritten_fails_its_signature(
    platform: Platform,
) -> None:  # I24, F18
    foreign = SigningKey.generate()
    async with platform.connection() as owner:
        async with owner.transaction():
            await append(owner, _entry(foreign, 1))
        entries = await load_entries(owner, 0, 100)
    verify_chain(entries)
    with pytest.raises(ChainBroken, match="entry 7"):
        verify_signatures(entries, _keys(platform))
