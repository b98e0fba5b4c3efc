"""init, keygen, admin and doctor, mostly as a real process."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cockpit.authority.service import running_authority
from cockpit.domain.refusals import Refused
from tests.cli.commands import cockpit, inside, moved, trip_arguments
from tests.trading_platform import PEOPLE, Platform


async def test_keygen_then_add_then_trip_then_revoke(platform: Platform, tmp_path: Path) -> None:
    made = await cockpit(platform.config, "keygen", "--output", str(tmp_path / "night.pem"), "--json")
    assert made.code == 0, made.err
    assert (tmp_path / "night.pem").stat().st_mode & 0o077 == 0
    assert (await cockpit(platform.config, "keygen", "--output", str(tmp_path / "night.pem"))).code == 2
    who = ("night", "--role", "operator-act", "--person", "p-night")
    added = await cockpit(
        platform.config,
        *("admin", "add-operator", *who, "--public-key", made.document["public_key_file"], "--json"),
    )
    assert added.code == 0, added.err
    file = Path(added.document["credentials"])
    assert file.stat().st_mode & 0o077 == 0
    try:
        trip = await cockpit(platform.config, *trip_arguments("instrument:BTC-USD", "--login", "night"))
        assert (trip.code, "unsigned" in trip.err) == (0, False), trip.err
        revoked = await cockpit(platform.config, "admin", "revoke", "night", "--json")
        assert revoked.document["revoked"] is True
        again = await cockpit(platform.config, *trip_arguments("instrument:BTC-USD", "--login", "night"))
        assert again.code != 0
    finally:
        async with platform.connection() as connection:
            await connection.execute('DROP OWNED BY "night"')
            await connection.execute('DROP ROLE "night"')


async def test_init_is_safe_to_repeat(platform: Platform) -> None:
    before = (await cockpit(platform.config, "status", "--json")).document["breakers"]
    done = await cockpit(platform.config, "init", "--json")
    assert done.code == 0, done.err
    assert (done.document["genesis"], done.document["seeded"]) == (False, [])
    assert (await cockpit(platform.config, "status", "--json")).document["breakers"] == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("admin", "add-operator", "x", "--role", "boss", "--person", "p", "--public-key", "f"), "--role"),
        (
            ("admin", "add-operator", "x", "--role", "operator-act", "--person", "p", "--public-key", "/no"),
            "--public-key",
        ),
        (("admin", "add-operator", "x", "--person", "p"), "--role"),
        (("keygen", "--output", "/proc/nowhere/key"), "--output"),
    ],
)
async def test_bad_input_exits_2(platform: Platform, arguments: tuple[str, ...], expected: str) -> None:
    done = await cockpit(platform.config, *arguments)
    assert done.code == 2
    assert expected in done.err
    assert len(done.err.splitlines()) == 1


@pytest.fixture
async def bare(platform: Platform) -> AsyncIterator[Path]:
    """The settings of an owner whose stores are empty, with the two services' logins already at hand (their
    roles belong to the whole test server, and keep their passwords)."""
    name = f"bare_{platform.database}"
    async with platform.connection() as owner:
        await owner.execute(f"CREATE DATABASE {name}")
    async with platform.redis_line() as line:
        await line.command("FLUSHALL")
    text = platform.config.read_text().replace(f"/{platform.database}", f"/{name}")
    config = platform.config.with_name("bare.toml")
    config.touch(0o600)
    config.write_text(text)
    yield config
    async with platform.connection() as owner:
        await owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_init_on_empty_stores_grants_once_and_closes_nothing(bare: Path) -> None:  # I1 I4
    first = await cockpit(bare, "init", "--json")
    assert (first.code, first.document["genesis"]) == (0, True), first.err
    status = (await cockpit(bare, "status", "--json")).document["breakers"]
    seeded = first.document["seeded"]
    assert [each["breaker_id"] for each in status] == seeded[: len(status)]
    assert "withdrawals" in seeded[len(status) :]  # the switches
    assert {(each["state"], each["epoch"]) for each in status} == {("OPEN", 1)}
    again = await cockpit(bare, "init", "--json")
    assert (again.code, again.document["genesis"], again.document["seeded"]) == (0, False, [])
    assert (await cockpit(bare, "status", "--json")).document["breakers"] == status


async def test_lost_redis_users_come_back(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # F26
    """The ACL file went with a restart: `doctor` names it, trips go by Postgres, `init` mends whom it can
    and names the command for whom it cannot."""
    monkeypatch.setattr("cockpit.cli.tripping._STORE_S", 30.0)
    valkey, key = platform.valkey, str(tmp_path / "night.pem")
    assert (await inside(platform.config, "keygen", "--output", key)).code == 0
    add = ("admin", "add-operator", "night", "--role", "operator-act", "--person", "p-night")
    added = await inside(platform.config, *add, "--public-key", f"{key}.pub", "--json")
    file = Path(added.document["credentials"])
    taken = file.with_name("handed-over")
    kept = (valkey.data / "users.acl").read_text()
    await asyncio.to_thread(valkey.stop)
    bare = [line for line in kept.splitlines(True) if line.split()[1] in ("default", "owner")]
    (valkey.data / "users.acl").write_text("".join(bare))
    await asyncio.to_thread(valkey.start)
    try:
        lost = await inside(platform.config, *trip_arguments("instrument:BTC-USD"))
        assert (lost.code, lost.document["delivered"]) == (5, {"redis": False, "postgres": True}), lost.out
        doctor = await inside(platform.config, "doctor", "--login", "owner")
        assert doctor.code == 6
        assert "BAD   redis rights: Redis has no user operator1: run `cockpit init`" in doctor.out

        file.rename(taken)  # the owner keeps no password of hers
        mended = await inside(platform.config, "init", "--json")
        assert mended.code == 0, mended.err
        assert set(mended.document["mended"]) == {"authority", "gateway", "pager", *PEOPLE}
        assert (mended.document["lost"], mended.document["genesis"]) == (["night"], False)
        assert "cockpit admin add-operator night --role operator-act" in mended.err
        assert (await inside(platform.config, *trip_arguments("instrument:BTC-USD"))).code == 0
        assert (await inside(platform.config, "init", "--json")).document["mended"] == []

        again = await inside(platform.config, *add, "--public-key", f"{key}.pub", "--json")
        assert again.code == 0, again.err
        assert file.read_text() != taken.read_text()
        trip = await inside(platform.config, *trip_arguments("instrument:BTC-USD", "--login", "night"))
        assert (trip.code, "unsigned" in trip.err) == (0, False), trip.err
        found = await inside(platform.config, "doctor", "--login", "owner")
        assert "has no user" not in found.out
    finally:
        (valkey.data / "users.acl").write_text(kept)
        async with platform.redis_line() as line:
            await line.command("ACL", "LOAD")
            await line.command("ACL", "DELUSER", "night")
            await line.command("ACL", "SAVE")
        async with platform.connection() as connection:
            await connection.execute('DROP OWNED BY "night"')
            await connection.execute('DROP ROLE "night"')


async def test_rights_that_drifted_are_put_back_and_the_password_stays(platform: Platform) -> None:  # I22
    async with platform.redis_line() as line:
        await line.command("ACL", "SETUSER", "monitor1", "+set", "~*")
    done = await cockpit(platform.config, "init", "--json")
    assert done.document["mended"] == ["monitor1"], done.out
    async with platform.redis_line("monitor1") as line:
        assert await line.command("ACL", "WHOAMI") == b"monitor1"
        with pytest.raises(Refused):
            await line.command("SET", "breaker:global", "x")


async def test_init_takes_no_password_from_the_environment_for_others(platform: Platform) -> None:  # I19
    """COCKPIT_REDIS_URL is the owner's here: it must not become everybody's."""
    async with platform.redis_line() as line:
        await line.command("ACL", "DELUSER", "operator2")
    env = {"COCKPIT_REDIS_URL": platform.owner.redis_url, "COCKPIT_POSTGRES_DSN": platform.owner.postgres_dsn}
    done = await cockpit(platform.config, "init", "--json", env=env)
    assert (done.code, done.document["mended"]) == (0, ["operator2"]), done.err
    async with platform.redis_line("operator2") as line:
        assert await line.command("ACL", "WHOAMI") == b"operator2"


async def test_doctor_lists_every_subject_and_what_to_do(platform: Platform) -> None:
    """A line each, worst words first to be seen; 0 nothing bad, 6 something, 5 a store away."""
    silent = await inside(platform.config, "doctor")
    assert silent.code == 6
    assert "BAD   authority: none is running. Trips work, nothing resumes; start `cockpit" in silent.out
    lines = silent.out.splitlines()
    assert all(line[:6].strip() in ("OK", "WARN", "BAD") and ": " in line for line in lines), lines
    subjects = [line[6:].partition(":")[0] for line in lines]
    assert {"settings", "redis", "postgres", "evidence", "gateway", "spool"} <= set(subjects)
    async with running_authority(platform.settings):
        well = await inside(platform.config, "doctor", "--json")
    assert (well.code, well.document["ok"]) == (0, True), well.out
    facts = well.document["facts"]
    assert all(fact["remedy"] for fact in facts if fact["severity"] != "ok")


async def test_info_says_where_files_lie_and_no_secret(platform: Platform) -> None:  # I27
    config = platform.config.with_name("gateway.toml")
    config.touch(0o600)
    config.write_text('gateway_url = "http://127.0.0.1:9"\n' + platform.config.read_text())
    for more in ((), ("--json",)):
        done = await cockpit(config, "info", *more)
        assert done.code == 0
        settings = platform.settings
        for wanted in (
            config,
            settings.spool_dir,
            settings.evidence_url,
            "http://127.0.0.1:9",
            "cockpit.log",
        ):
            assert str(wanted) in done.out
        passwords = re.findall(r"://[^:]+:([^@]+)@", config.read_text())
        assert len(passwords) > 10
        assert not any(password in done.out + done.err for password in passwords)


async def test_doctor_names_what_is_wrong(platform: Platform) -> None:
    done = await cockpit(platform.config, "doctor", "--json", "--login", "owner")
    found = {fact["subject"] for fact in done.document["facts"]}
    assert {"redis", "postgres", "authority", "evidence", "spool"} <= found
    away = await cockpit(moved(platform.config, "away.toml", redis=1), "doctor")
    assert away.code == 5
    assert "BAD   redis" in away.out


async def test_info_works_without_settings(tmp_path: Path) -> None:
    done = await cockpit(tmp_path / "none.toml", "info", "--json")
    assert done.code == 0
    assert "no file" in done.document["problem"]
