"""What the owner of the database can do to the audit log, and that it shows and blocks (F18)."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest

from backends.audit_log import load_entries
from backends.signing import SigningKey
from cockpit.authority.service import running_authority
from cockpit.domain.audit import GENESIS_HASH, chain_hash
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from tests.authority.desk import BTC, Desk, until
from tests.cli.commands import cockpit

NO_TRIGGERS = "ALTER TABLE audit_log DISABLE TRIGGER ALL"


async def _truncate(owner: Any, desk: Desk) -> None:
    await owner.execute("TRUNCATE audit_log")
    await owner.execute("ALTER TABLE audit_head DISABLE TRIGGER ALL")
    await owner.execute("UPDATE audit_head SET seq = 0, chain_hash = repeat('0', 64)")


async def _edit(owner: Any, desk: Desk) -> None:
    await owner.execute("UPDATE audit_log SET details_text = '{}', details = '{}' WHERE seq = 3")


async def _cut(owner: Any, desk: Desk) -> None:
    """The last entry and the head with it, as if it had never been."""
    await owner.execute("DELETE FROM audit_log WHERE seq > 5")
    await owner.execute("ALTER TABLE audit_head DISABLE TRIGGER ALL")
    await owner.execute(
        "UPDATE audit_head SET seq = 5, chain_hash = (SELECT chain_hash FROM audit_log WHERE seq = 5)"
    )


async def _rewrite(owner: Any, desk: Desk) -> None:
    """A whole new chain, consistent in itself and signed with a key that the owner registers."""
    key = SigningKey.generate()
    await owner.execute(
        "INSERT INTO signing_keys (key_id, login, public_key) VALUES ($1, 'owner', $2)",
        key.key_id,
        key.public_b64,
    )
    before = GENESIS_HASH
    for entry in await load_entries(owner, 0, 10_000):
        made = replace(
            entry,
            prev_hash=before,
            key_id=key.key_id,
            signed_hash=key.sign(entry.payload.encode()),
            ip_address="192.0.2.1",
        )
        before = chain_hash(made)
        await owner.execute(
            "UPDATE audit_log SET prev_hash = $2, key_id = $3, signed_hash = $4, ip_address = $5,"
            " chain_hash = $6 WHERE seq = $1",
            made.seq, made.prev_hash, made.key_id, made.signed_hash, made.ip_address, before,
        )  # fmt: skip
    await owner.execute("ALTER TABLE audit_head DISABLE TRIGGER ALL")
    await owner.execute("UPDATE audit_head SET chain_hash = $1", before)


@pytest.mark.parametrize(
    "damage", [_truncate, _edit, _cut, _rewrite], ids=lambda each: str(each.__name__)[1:]
)
@pytest.mark.parametrize("when", ["while it acts", "before it starts"])
async def test_damage_shows_and_blocks_every_resume(desk: Desk, damage: Any, when: str) -> None:  # I24, F18
    async def anchored() -> bool:
        async with desk.platform.connection() as owner:
            count = await owner.fetchval("SELECT count(*) FROM audit_anchors WHERE seq > 5")
        return bool(count)

    async def apply() -> None:
        async with desk.platform.connection() as owner, owner.transaction():
            # First what an append locks first: an authority that is just appending ends before us.
            await owner.execute("LOCK TABLE audit_head IN EXCLUSIVE MODE")
            await owner.execute(NO_TRIGGERS)
            await damage(owner, desk)
            await owner.execute("ALTER TABLE audit_log ENABLE TRIGGER ALL")

    async def blocked() -> None:
        row = await desk.ask(Kind.HALF_OPEN, BTC)
        assert (row.status, row.code) in (("refused", "audit-broken"), ("refused", "checklist")), row.message
        assert await desk.state(BTC) is State.OPEN

    async with running_authority(desk.settings):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        await until(anchored)
        if when == "while it acts":
            await apply()
            if damage is not _edit:  # an old entry in the middle is found by the next full verification
                await blocked()
    if when == "before it starts":
        await apply()
    async with running_authority(desk.settings):
        await blocked()
    done = await cockpit(desk.platform.config, "audit", "verify", "--full", "--json")
    assert done.code == 6, done.out
    assert json.loads(done.out)


async def test_a_trigger_that_is_switched_off_is_named(desk: Desk) -> None:  # I24, F18
    async with desk.platform.connection() as owner:
        await owner.execute("ALTER TABLE audit_log DISABLE TRIGGER audit_log_rows")
    async with desk.platform.connection("monitor1") as raw:
        facts = await raw.fetchrow(files("backends").joinpath("sql/facts.sql").read_text())
    assert facts["disabled_triggers"] == ["audit_log.audit_log_rows"]
