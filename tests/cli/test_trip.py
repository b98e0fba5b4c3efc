"""`cockpit trip` as a real process on real stores."""

from __future__ import annotations

import json

import pytest

from cockpit.domain.breakers import BreakerId
from tests.cli.commands import NOTES, OUTCOME, cockpit, moved, trip_arguments
from tests.trading_platform import Platform

BTC = BreakerId("instrument:BTC-USD")
CLOSED_PORT = 1


async def counter(platform: Platform, breaker_id: str) -> int:
    async with platform.redis_line() as line:
        return int(await line.command("GET", f"trip:{breaker_id}") or 0)


async def test_a_trip_raises_the_epoch_and_the_breaker_reads_open(platform: Platform) -> None:  # I2
    await platform.open_for_trading()
    before = await counter(platform, BTC)
    done = await cockpit(platform.config, *trip_arguments(BTC))
    assert done.code == 0
    assert set(done.document) == OUTCOME
    assert done.document["outcome"] == "done"
    assert done.document["state"] == "OPEN"
    assert done.document["epoch"] == before + 1 == await counter(platform, BTC)
    assert done.document["delivered"]["redis"] is True
    assert list(platform.settings.spool_dir.glob("*.json")) == []
    state = (await cockpit(platform.config, "status", BTC, "--json")).document["breakers"][0]
    assert (state["state"], state["reason"], state["actor"]) == ("OPEN", "latency", "operator1")


async def test_an_open_breaker_trips_again(platform: Platform) -> None:
    first = await cockpit(platform.config, *trip_arguments(BTC))
    second = await cockpit(platform.config, *trip_arguments(BTC))
    assert (first.code, second.code) == (0, 0)
    assert second.document["epoch"] == first.document["epoch"] + 1


async def test_the_event_carries_the_signed_command(platform: Platform) -> None:
    done = await cockpit(platform.config, *trip_arguments(BTC, "--ttl", "3600"))
    async with platform.redis_line() as line:
        [[_, flat]] = await line.command("XREVRANGE", "circuit_breaker:events", "+", "-", "COUNT", 1)
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    payload = json.loads(fields[b"payload"])
    assert payload["request_id"] == done.document["event_id"] == fields[b"event_id"].decode()
    assert (payload["notes"], payload["ttl_s"]) == (NOTES, 3600)
    key = platform.keys["operator1"]
    assert fields[b"key_id"].decode() == key.key_id
    assert key.sign(fields[b"payload"]) == fields[b"signature"].decode()


@pytest.mark.parametrize("where", ["before", "after"])
async def test_global_options_stand_before_or_after_the_command(platform: Platform, where: str) -> None:
    flags = ("--login", "admin1", "--json")
    command = ("trip", "global", "--reason", "drill", "--notes", NOTES, "--yes")
    arguments = (*flags, *command) if where == "before" else (*command, *flags)
    done = await cockpit(platform.config, *arguments)
    assert done.code == 0, done.err


@pytest.mark.parametrize(("login", "breaker_id"), [("operator1", "global"), ("monitor1", BTC)])
async def test_a_denied_trip_exits_3_and_is_recorded(platform: Platform, login: str, breaker_id: str) -> None:
    before = await counter(platform, breaker_id)
    done = await cockpit(platform.config, *trip_arguments(breaker_id, "--login", login))
    assert done.code == 3
    assert done.document["outcome"] == "refused"
    assert "TRIP_CIRCUIT" in done.document["message"]
    assert await counter(platform, breaker_id) == before
    async with platform.connection() as connection:
        payloads = await connection.fetch("SELECT payload FROM requests WHERE login = $1", login)
    attempts = [json.loads(row["payload"]) for row in payloads]
    assert [(each["kind"], each["breaker_id"], each["target"]) for each in attempts] == [
        ("denied", breaker_id, "trip")
    ]
    assert list(platform.settings.spool_dir.glob("*.json")) == []


async def test_redis_away_the_trip_is_recorded_in_postgres(platform: Platform) -> None:  # F9
    config = moved(platform.config, "away.toml", redis=CLOSED_PORT)
    done = await cockpit(config, *trip_arguments(BTC))
    assert done.code == 5
    assert done.document["outcome"] == "pending"
    assert done.document["delivered"] == {"redis": False, "postgres": True}
    assert "NOT HALTED YET" in done.document["message"]
    async with platform.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM requests")
    assert str(row["request_id"]) == done.document["event_id"]
    assert list(platform.settings.spool_dir.glob("*.json")) == []


async def test_both_away_it_waits_in_the_spool_and_the_next_trip_delivers_it(
    platform: Platform,
) -> None:  # F10
    config = moved(platform.config, "away.toml", redis=CLOSED_PORT, postgres=CLOSED_PORT)
    lost = await cockpit(config, *trip_arguments("instrument:ETH-USD"))
    assert lost.code == 5
    assert lost.document["delivered"] == {"redis": False, "postgres": False}
    assert "not delivered" in lost.document["message"]
    [file] = platform.settings.spool_dir.glob("*.trip.json")
    assert file.stat().st_mode & 0o077 == 0
    before = await counter(platform, "instrument:ETH-USD")
    next_one = await cockpit(platform.config, *trip_arguments(BTC))
    assert next_one.code == 0
    assert await counter(platform, "instrument:ETH-USD") == before + 1
    assert "From the spool" in next_one.err
    assert list(platform.settings.spool_dir.glob("*.json")) == []


async def test_another_logins_spooled_trip_stays(platform: Platform) -> None:
    config = moved(platform.config, "away.toml", redis=CLOSED_PORT, postgres=CLOSED_PORT)
    await cockpit(config, *trip_arguments("global", "--login", "operator1"))
    before = await counter(platform, "global")
    done = await cockpit(platform.config, *trip_arguments(BTC, "--login", "admin1"))
    assert done.code == 0
    assert "other logins" in done.err
    assert await counter(platform, "global") == before


async def test_a_lost_acl_is_no_denial(platform: Platform) -> None:  # F26
    """Redis no longer knows the login's rights; its role in Postgres still permits the trip."""
    async with platform.redis_line() as line:
        await line.command("ACL", "SETUSER", "operator2", "clearselectors", "-@all", "+ping", "+auth")
        try:
            done = await cockpit(platform.config, *trip_arguments(BTC, "--login", "operator2"))
        finally:
            await line.command("ACL", "LOAD")
    assert done.code == 5
    assert done.document["delivered"] == {"redis": False, "postgres": True}


async def test_a_missing_key_does_not_stop_a_trip(platform: Platform) -> None:  # I6
    text = platform.config.read_text().replace("operator1.key", "nowhere.key")
    config = platform.config.with_name("keyless.toml")
    config.touch(0o600)
    config.write_text(text)
    done = await cockpit(config, *trip_arguments(BTC))
    assert done.code == 0
    assert "unsigned" in done.err


async def test_an_unusable_spool_does_not_stop_a_trip(platform: Platform) -> None:  # F19
    platform.settings.spool_dir.write_text("a file, no folder")
    done = await cockpit(platform.config, *trip_arguments(BTC))
    assert done.code == 0
    assert "Not kept on this disk" in done.document["message"]


BAD = {
    "unknown breaker": (("instrument:BTC-USDT",), "unknown breaker"),
    "malformed breaker": (("instrument:",), "not a breaker's name"),
    "bare name": (("BTC-USD",), "not a breaker's name"),
    "bad reason": ((BTC, "--reason", "because"), "slippage, latency"),
    "short notes": ((BTC, "--notes", "too short      "), "at least 20"),
    "control notes": ((BTC, "--notes", "feed lags \x1b[31m by five seconds"), "control"),
    "bad ttl": ((BTC, "--ttl", "-1"), "ttl"),
    "huge ttl": ((BTC, "--ttl", "999999999"), "ttl"),
    "unknown login": ((BTC, "--login", "nobody"), "logins are"),
    "unknown option": ((BTC, "--force"), "--force"),
    "two breakers": ((BTC, "global"), "unrecognized arguments"),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_exits_2_in_one_line_and_writes_nothing(platform: Platform, name: str) -> None:
    more, expected = BAD[name]
    before = await counter(platform, BTC)
    base = ("trip", "--reason", "latency", "--notes", NOTES, "--yes", "--json")
    done = await cockpit(platform.config, *base, *more)
    assert done.code == 2
    assert expected in done.document["message"]
    assert set(done.document) == OUTCOME
    assert len(done.err.splitlines()) == 1
    assert await counter(platform, BTC) == before
    assert not platform.settings.spool_dir.exists()


@pytest.mark.parametrize(("breaker_id", "expected"), [(BTC, "acknowledgement"), ("global", "typing")])
async def test_yes_is_needed_and_explained(platform: Platform, breaker_id: str, expected: str) -> None:
    arguments = [each for each in trip_arguments(breaker_id) if each != "--yes"]
    done = await cockpit(platform.config, *arguments)
    assert done.code == 2
    assert expected in done.document["message"]


async def test_no_secret_is_printed(platform: Platform) -> None:  # I27
    config = moved(platform.config, "away.toml", redis=CLOSED_PORT, postgres=CLOSED_PORT)
    password = platform.login("operator1").redis_url.split(":")[2].split("@")[0]
    done = await cockpit(config, *trip_arguments(BTC))
    assert password not in done.out + done.err
    logs = list(platform.config.parent.glob("state/**/*.log"))
    assert all(password not in log.read_text() for log in logs)
