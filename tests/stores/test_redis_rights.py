"""What each login's raw client may do (I22): every command really sent, not only asked about."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import NoPermissionError

from backends.redis_acl import CHECKS
from backends.redis_admin import RedisAdmin, _keeps_transactions
from backends.redis_connection import Line
from cockpit.demo.servers import DataDirLock, Valkey
from cockpit.domain.refusals import Refused
from tests.stores.conftest import LOGINS, RedisDesk


@pytest.mark.parametrize("login", LOGINS)
async def test_each_login_runs_exactly_what_its_role_may(desk: RedisDesk, login: str) -> None:  # I22
    line = Line(desk.url(login))
    wrong = []
    for command, allowed in CHECKS:
        reply = (await line.exchange(command))[0]
        ran = not isinstance(reply, NoPermissionError)
        if ran != (LOGINS[login] in allowed):
            wrong.append((command, reply))
    await line.close()
    assert wrong == []


@pytest.mark.parametrize("login", [name for name in LOGINS if name != "authority"])
async def test_no_counter_falls_and_no_document_changes(
    desk: RedisDesk, owner: Line, login: str
) -> None:  # I22
    keys = ["trip:global", "trip:instrument:BTC-USD", "breaker:global", "breaker:instrument:BTC-USD"]
    for key in keys:
        await owner.command("SET", key, 41)
    line = Line(desk.url(login))
    for command, _allowed in CHECKS:
        await line.exchange(command)
    await line.close()
    after = [int(value) for value in await owner.command("MGET", *keys)]
    assert after[2:] == [41, 41]
    assert min(after[:2]) >= 41


async def test_rights_survive_a_restart(desk: RedisDesk) -> None:
    desk.server.stop()
    desk.server.start()
    line = Line(desk.url("operator1"))
    assert await line.command("INCR", "trip:instrument:BTC-USD") == 1
    with pytest.raises(Refused, match="denies"):
        await line.command("INCR", "trip:global")
    await line.close()


async def test_doctor_finds_nothing_on_a_good_server(desk: RedisDesk) -> None:
    admin = RedisAdmin(desk.owner_url)
    facts = await admin.doctor(LOGINS)
    await admin.close()
    assert facts.faults == ()
    assert facts.default_off
    assert facts.aclfile.endswith("users.acl")
    assert facts.store.durable
    assert facts.store.version.split()[0] in ("valkey", "redis")


@pytest.mark.parametrize(
    ("version", "rules", "kept"),
    [
        ("valkey 9.1.2", "off sanitize-payload resetchannels -@all", True),
        ("valkey 9.1.1", "off sanitize-payload resetchannels -@all", False),
        ("redis 7.0.15", "off sanitize-payload resetchannels -@all", False),
        ("redis 7.0.15", "off sanitize-payload ~* &* +@all", True),
        ("redis 7.0.15", "off sanitize-payload ~* &* +@all -incr", False),
        ("redis 7.0.15", "off sanitize-payload ~x* &* +@all", False),
        ("redis ?", "off", False),
    ],
)
def test_doctor_knows_which_servers_drop_transactions(version: str, rules: str, kept: bool) -> None:  # F1
    assert _keeps_transactions(version, rules) is kept


async def test_doctor_names_what_is_unsafe(desk: RedisDesk, owner: Line) -> None:  # F26
    admin = RedisAdmin(desk.owner_url)
    await owner.command("ACL", "SETUSER", "operator1", "+incrby", "~*")
    await owner.command("ACL", "SETUSER", "stranger", "on")
    await owner.command("ACL", "DELUSER", "monitor1")
    await owner.command("CONFIG", "SET", "appendfsync", "everysec")
    await owner.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        faults = "\n".join((await admin.doctor(LOGINS)).faults)
    finally:
        await owner.command("CONFIG", "SET", "appendfsync", "always")
        await owner.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await owner.command("ACL", "DELUSER", "stranger")
        await admin.close()
    assert "operator1 (operator-act) may run INCRBY trip:instrument:BTC-USD 5" in faults
    assert "user stranger is unknown" in faults
    assert "Redis has no user monitor1" in faults
    assert "appendfsync is everysec" in faults
    assert "maxmemory-policy is allkeys-lru" in faults


async def test_doctor_compares_a_replicas_users(desk: RedisDesk, owner: Line, tmp_path) -> None:  # F26
    admin = RedisAdmin(desk.owner_url)
    password = desk.owner_url.split(":")[2].split("@")[0]
    with DataDirLock(tmp_path), Valkey(tmp_path) as replica:
        theirs = Line(replica.owner_url)
        for command in (
            ("ACL", "SETUSER", "owner", f">{password}"),
            ("CONFIG", "SET", "masteruser", "owner"),
            ("CONFIG", "SET", "masterauth", password),
            ("REPLICAOF", "127.0.0.1", desk.server.port),
        ):
            await theirs.command(*command)
        async with asyncio.timeout(60):
            while b"state=online" not in await owner.command("INFO", "replication"):
                await asyncio.sleep(0.02)
        facts = await admin.doctor(LOGINS)
        await theirs.close()
    await admin.close()
    assert [item.acl_equal for item in facts.replicas] == [False]
    assert "operator1" in facts.replicas[0].why


@pytest.mark.parametrize("name", ["owner", "default", "", "a b", "x\n", "ro%ot", ">x", "A" * 40])
async def test_a_name_that_is_no_logins_is_refused(desk: RedisDesk, name: str) -> None:
    admin = RedisAdmin(desk.owner_url)
    with pytest.raises(Refused):
        await admin.set_user(name, LOGINS["monitor1"], "x")
    await admin.close()


async def test_a_removed_users_connection_ends(desk: RedisDesk) -> None:  # I21
    admin = RedisAdmin(desk.owner_url)
    line = Line(desk.url("operator2"))
    await line.command("PING")
    assert await admin.remove_user("operator2")
    with pytest.raises(Refused, match="does not accept this login"):
        await line.command("PING")
    assert not await admin.remove_user("operator2")
    await line.close()
    await admin.close()
