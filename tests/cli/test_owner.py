"""init, keygen, admin and doctor, as a real process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import cockpit, moved, trip_arguments
from tests.trading_platform import Platform


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
