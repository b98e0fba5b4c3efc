"""The one-file emergency trip, run without the cockpit's packages."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.reasons import Reason
from runbooks import emergency_trip
from tests.cli.commands import NOTES, Done, cockpit, moved
from tests.trading_platform import Platform

SCRIPT = "-S -E runbooks/emergency_trip.py"  # -S: no site-packages at all
BTC = "instrument:BTC-USD"


async def emergency(config: Path | None, *arguments: str, **env: str) -> Done:
    return await cockpit(config, *arguments, program=SCRIPT, env=env)


async def counter(platform: Platform, breaker_id: str) -> int:
    async with platform.redis_line() as line:
        return int(await line.command("GET", f"trip:{breaker_id}") or 0)


async def test_it_trips_with_the_settings_of_a_login(platform: Platform) -> None:
    await platform.open_for_trading()
    before = await counter(platform, BTC)
    done = await emergency(platform.config, BTC, "--notes", NOTES, "--yes", "--json")
    assert done.code == 0, done.err
    assert done.document["epoch"] == before + 1 == await counter(platform, BTC)
    assert (await cockpit(platform.config, "status", BTC, "--json")).document["breakers"][0][
        "state"
    ] == "OPEN"


async def test_it_trips_with_an_address_and_a_password_file_alone(platform: Platform, tmp_path: Path) -> None:
    url = platform.login("admin1").redis_url
    password = url.split(":")[2].split("@")[0]
    file = tmp_path / "password"
    file.write_text(password + "\n")
    bare = url.replace(f":{password}@", "@")
    done = await emergency(
        None, "global", "--notes", NOTES, "--yes", "--redis-url", bare, "--password-file", str(file)
    )
    assert done.code == 0, done.err
    assert "tripped: OPEN" in done.out
    assert "half-open" in done.out


async def test_a_denied_login_exits_3(platform: Platform) -> None:
    done = await emergency(platform.config, "global", "--notes", NOTES, "--yes", "--login", "operator1")
    assert done.code == 3
    assert "NOT halted" in done.err


async def test_without_redis_it_exits_5_and_says_not_halted(platform: Platform) -> None:
    config = moved(platform.config, "away.toml", redis=1)
    done = await emergency(config, BTC, "--notes", NOTES, "--yes")
    assert done.code == 5
    assert "NOT HALTED" in done.err


async def test_a_mistyped_name_halts_nothing_and_says_so(platform: Platform) -> None:
    url = platform.login("admin1").redis_url
    listed = await emergency(platform.config, "instrument:BTCUSD", "--notes", NOTES, "--yes")
    bare = await emergency(None, "instrument:BTCUSD", "--notes", NOTES, "--yes", COCKPIT_REDIS_URL=url)
    assert (listed.code, bare.code) == (2, 2)
    assert "catalogue" in listed.err
    assert "holds no breaker" in bare.err
    assert await counter(platform, "instrument:BTCUSD") == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("GLOBAL", "--notes", NOTES, "--yes"), "id"),
        ((BTC, "--notes", "short", "--yes"), "notes"),
        ((BTC, "--notes", NOTES), "--yes"),
        ((BTC, "--notes", NOTES, "--yes", "--reason", "because"), "reason"),
        ((BTC, "--notes", NOTES, "--yes", "--redis-url", "http://x"), "--redis-url"),
        ((BTC, "--notes", NOTES, "--yes", "--redis-url", "redis://h:port"), "--redis-url"),
    ],
)
async def test_bad_input_exits_2_in_one_line(arguments: tuple[str, ...], expected: str) -> None:
    done = await emergency(None, *arguments, PATH=os.environ["PATH"])
    assert done.code == 2
    assert expected in done.err
    assert len(done.err.splitlines()) == 1


def test_its_syntax_is_that_of_python_3_8() -> None:
    source = Path(emergency_trip.__file__).read_text()
    ast.parse(source, feature_version=(3, 8))
    assert sys.version_info >= (3, 8)


def test_it_knows_the_same_reasons_as_the_cockpit() -> None:
    assert [reason.value for reason in Reason] == emergency_trip.REASONS


async def test_its_own_toml_reader_reads_what_tomllib_reads(platform: Platform) -> None:
    text = platform.config.read_text()
    whole, plain = emergency_trip.parse_toml(text), emergency_trip.parse_plain_toml(text)
    assert plain["logins"] == whole["logins"]
    assert plain["catalogue"] == whole["catalogue"]
    assert plain["default_login"] == whole["default_login"]


@given(st.text(max_size=60))
def test_what_it_prints_never_acts_on_the_terminal(text: str) -> None:  # I26
    assert emergency_trip.safe(text).isprintable() or not emergency_trip.safe(text)
