"""The one-file emergency trip, run without the cockpit's packages."""

from __future__ import annotations

import ast
import os
import ssl
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from cockpit.authority.service import running_authority
from cockpit.domain.reasons import Reason
from runbooks import emergency_trip
from tests.authority.desk import until
from tests.cli.commands import NOTES, Done, cockpit, moved
from tests.cli.proxies import proxy
from tests.trading_platform import Platform

SCRIPT = "-I -S runbooks/emergency_trip.py"  # nothing of ours, nothing of site-packages
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


async def test_it_is_audited_as_unattributed_and_says_what_comes_next(platform: Platform) -> None:
    """Its login is a claim, since nobody signed: a critical incident holds up a resume until acknowledged."""
    async with running_authority(platform.settings), platform.connection() as connection:
        done = await emergency(platform.config, BTC, "--notes", NOTES, "--yes", "--json")
        assert done.code == 0, done.err

        async def audited() -> Any:
            return await connection.fetchrow(
                "SELECT user_id, details ->> 'notes' AS notes, details ->> 'attributed' AS attributed"
                " FROM audit_log WHERE action = 'CIRCUIT_BREAKER_TRIP' AND target = $1",
                BTC,
            )

        row = await until(audited)
        incident = await connection.fetchrow("SELECT severity, status, title FROM incidents")
    assert (row["user_id"], row["attributed"]) == ("unattributed", "false")
    assert "claims to be of operator1" in row["notes"]
    assert tuple(incident) == ("P1", "open", f"Unattributed trip of {BTC}")
    message = done.document["message"]
    for wanted in ("at the venue", done.document["event_id"], "unattributed", "incident ack", "half-open"):
        assert wanted in message


async def test_over_tls_and_not_to_a_stranger(platform: Platform, tmp_path: Path) -> None:
    """`rediss://` with a certificate that is known, and one that is not: then nothing is sent."""
    certificate = tmp_path / "redis.pem"
    key = self_signed(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with proxy(platform.valkey.port, tls=context) as tls:
        login = platform.login("admin1").redis_url.replace("redis://", "rediss://")
        url = login.replace(f":{platform.valkey.port}/", f":{tls.port}/")
        before = await counter(platform, BTC)
        stranger = await emergency(None, BTC, "--notes", NOTES, "--yes", COCKPIT_REDIS_URL=url)
        assert (stranger.code, "NOT HALTED" in stranger.err) == (5, True), stranger.err
        assert (await counter(platform, BTC), tls.seen) == (before, b"")
        known = f"{url}?ssl_ca_certs={certificate}"
        done = await emergency(None, BTC, "--notes", NOTES, "--yes", "--json", COCKPIT_REDIS_URL=known)
        assert (done.code, done.document["epoch"]) == (0, before + 1), done.err


def self_signed(path: Path) -> Path:
    """A certificate for 127.0.0.1; its key's path."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = path.with_suffix(".key")
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return private


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
