"""Damage to the chain that two safety-admins accept, and what nobody else can make of it (F18, I24)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from backends.signing import KeyRing, canonical
from cockpit.authority.service import running_authority
from cockpit.domain.audit import ChainBroken, Head
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from cockpit.operations.audit_verify import Verification, VerifyPorts, verify
from cockpit.operations.signed_heads import head_key, target_of
from tests.authority.desk import BTC, Desk, until
from tests.cli.commands import inside


@asynccontextmanager
async def unguarded(desk: Desk) -> AsyncIterator[Any]:
    """The owner of the database, who can switch off what forbids to touch the log."""
    async with desk.platform.connection() as owner, owner.transaction():
        await owner.execute("SET LOCAL session_replication_role = replica")
        yield owner


async def verified(desk: Desk, full: bool) -> Verification:
    platform = desk.platform
    trusted = dict(platform.settings.authority_keys)
    ports = VerifyPorts(
        await desk.store("monitor1"),
        platform.evidence(),
        platform.keyring,
        lambda keys: KeyRing({**keys, **trusted}),
        canonical,
    )
    return await verify(ports, full)


async def edit(desk: Desk, seq: int) -> None:
    async with unguarded(desk) as owner:
        await owner.execute("UPDATE audit_log SET details_text = '{}' WHERE seq = $1", seq)


async def head_of(desk: Desk) -> Head:
    async with desk.platform.connection() as owner:
        row = await owner.fetchrow("SELECT seq, chain_hash FROM audit_head")
    return Head(row["seq"], row["chain_hash"])


async def damage(desk: Desk) -> int:
    """Some entries, one of them edited while no authority runs; its number."""
    async with running_authority(desk.settings):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        broken = (await head_of(desk)).seq
        await desk.trip(BTC)
    await edit(desk, broken)
    return broken


async def accept(desk: Desk) -> Head:
    """Both admins sign for the head as it stands."""
    row = await desk.ask(Kind.HALF_OPEN, BTC)
    assert row.code == "audit-broken", row.message
    head = await head_of(desk)
    first = await desk.ask(Kind.REANCHOR, GLOBAL, "admin1", target=target_of(head))
    assert first.status == "awaiting_approval", first.message
    again = await desk.ask(Kind.REANCHOR, GLOBAL, "admin1", target=target_of(head))
    assert (again.status, again.code) == ("denied", "self-approval")  # I19
    approved = await desk.ask(Kind.APPROVE, GLOBAL, "admin2", target=first.request_id)
    assert approved.status == "refused"
    second = await desk.ask(Kind.REANCHOR, GLOBAL, "admin2", target=target_of(head))
    assert second.status == "done", second.message
    assert (await desk.answer(first.request_id, "admin1")).status == "done"
    await desk.audited(second.request_id, "CHAIN_REANCHORED")
    row = await desk.ask(Kind.HALF_OPEN, BTC)
    assert row.status == "done", row.message  # nothing is blocked any more
    return head


async def damaged_and_accepted(desk: Desk) -> tuple[int, Head]:
    """The edited entry and the accepted head."""
    broken = await damage(desk)
    async with running_authority(desk.settings):
        return broken, await accept(desk)


async def test_two_admins_accept_damage_and_everything_above_is_strict(desk: Desk) -> None:  # F18, I24
    broken, head = await damaged_and_accepted(desk)
    for full in (True, False):
        found = await verified(desk, full)
        assert [(each.first <= broken, each.at) for each in found.damaged] == [(True, head)]
        assert "accepted by admin1 and admin2" in found.damaged[0].line
    async with running_authority(desk.settings) as authority:  # another term starts from it too
        assert authority.means is not None
        assert authority.means.health.chain.fault is None
        assert authority.means.health.published()["chain"]["damaged"]  # type: ignore[index]
    await edit(desk, head.seq + 1)
    with pytest.raises(ChainBroken) as caught:
        await verified(desk, full=True)
    assert caught.value.seq == head.seq + 1


async def test_known_damage_may_not_be_changed_any_further(desk: Desk) -> None:  # I24
    broken, _ = await damaged_and_accepted(desk)
    async with unguarded(desk) as owner:
        await owner.execute("UPDATE audit_log SET user_id = 'nobody' WHERE seq = $1", broken)
    with pytest.raises(ChainBroken, match="was changed since"):
        await verified(desk, full=True)


@pytest.mark.parametrize(
    "what", ["one person twice", "another head", "a stranger's key", "a forged signature", "unsigned"]
)
async def test_nobody_else_can_make_one(desk: Desk, what: str) -> None:  # F18, I24
    _, head = await damaged_and_accepted(desk)
    evidence = desk.platform.evidence()
    name = head_key(head.seq, 1)
    fields = json.loads(await evidence.get(name) or b"")
    fields.pop("signature")
    one, other = fields["by"]
    if what == "one person twice":
        other["person_id"] = one["person_id"]
    elif what == "another head":
        other["payload"] = other["payload"].replace(head.chain_hash, "0" * 64)
        other["signature"] = desk.platform.keys["admin2"].sign(other["payload"].encode())
    elif what == "a stranger's key":
        stranger = desk.platform.keys["operator1"]
        other |= {"public_key": stranger.public_b64, "signature": stranger.sign(other["payload"].encode())}
    elif what == "a forged signature":
        other["signature"] = one["signature"]
    key = desk.platform.keys["operator1" if what == "unsigned" else "authority"]
    path = desk.platform.folder / "evidence" / name
    path.write_bytes(canonical(fields | {"signature": key.sign(canonical(fields))}))
    for full in (True, False):
        with pytest.raises(ChainBroken):
            await verified(desk, full)


async def test_a_reanchoring_needs_damage_the_standing_head_and_an_admin(desk: Desk) -> None:
    async with running_authority(desk.settings):
        await desk.becomes(BTC, State.CLOSED)
        head = await head_of(desk)
        row = await desk.ask(Kind.REANCHOR, GLOBAL, "admin1", target=target_of(head))
        assert (row.status, row.code) == ("refused", "wrong-state")
        row = await desk.ask(Kind.REANCHOR, GLOBAL, "operator1", target=target_of(head))
        assert row.status == "denied"
        await desk.trip(BTC)
    await edit(desk, (await head_of(desk)).seq)
    async with running_authority(desk.settings):
        for target in (f"{head.seq}:{'0' * 64}", target_of(head), "nonsense"):
            row = await desk.ask(Kind.REANCHOR, GLOBAL, "admin1", target=target)
            assert row.status == "refused", row.message


async def test_a_cut_tail_is_reanchored_too(desk: Desk) -> None:  # F18
    async with running_authority(desk.settings):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
        end = (await head_of(desk)).seq

        async def anchored() -> bool:
            names = await desk.platform.evidence().list("heads/")
            return bool(names) and int(names[-1][6:18]) >= end

        await until(anchored)
    async with unguarded(desk) as owner:
        await owner.execute("DELETE FROM audit_log WHERE seq > $1", end - 2)
        await owner.execute(
            "UPDATE audit_head SET seq = $1, chain_hash = (SELECT chain_hash FROM audit_log WHERE seq = $1)",
            end - 2,
        )
    async with running_authority(desk.settings):
        head = await head_of(desk)
        for login, status in (("admin1", "awaiting_approval"), ("admin2", "done")):
            row = await desk.ask(Kind.REANCHOR, GLOBAL, login, target=target_of(head))
            assert row.status == status, row.message
        await desk.trip(BTC)
        assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
        end = (await head_of(desk)).seq

        async def anchored_anew() -> bool:
            names = await desk.platform.evidence().list("heads/")
            return "r0001" in names[-1] and int(names[-1][-17:-5]) >= end

        await until(anchored_anew)
    found = await verified(desk, full=True)
    assert found.generation == 1
    assert [each.at for each in found.damaged] == [head]


async def test_the_command_line_reanchors(desk: Desk) -> None:  # F18
    await damage(desk)
    words = (
        "audit",
        "reanchor",
        "--notes",
        "damaged by a restore of an old backup, both saw it",
        "--json",
    )
    config = desk.platform.config
    async with running_authority(desk.settings):
        assert (await inside(config, *words, "--login", "admin1")).code == 2
        first = await inside(config, *words, "--yes", "--login", "admin1")
        assert (first.code, first.document["outcome"]) == (4, "pending")
        second = await inside(config, *words, "--yes", "--login", "admin2")
        assert (second.code, second.document["outcome"]) == (0, "done"), second.document
    for full in ((), ("--full",)):
        shown = await inside(config, "audit", "verify", *full, "--json", "--login", "monitor1")
        assert shown.code == 0
        assert shown.document["damaged"][0]["accepted_by"] == ["admin1", "admin2"]
        plain = await inside(config, "audit", "verify", *full, "--login", "monitor1")
        assert plain.out.startswith("known damage: entries ")
