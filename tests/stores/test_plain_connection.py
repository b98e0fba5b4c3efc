"""The bare connection of `cockpit trip` answers like the packaged client, and does not load it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from backends.packaged_connection import PackagedConnection
from backends.plain_connection import PlainConnection
from backends.redis_connection import Line
from backends.signing import SigningKey
from backends.trip_commands import event_fields, trip_commands
from cockpit.domain.breakers import GLOBAL, BreakerId
from tests.stores.conftest import RedisDesk
from tests.stores.redis_documents import signed_trip

BTC = BreakerId("instrument:BTC-USD")
LOADED = """
import sys
from backends.fast_trip import FastTrip
from cockpit.domain.commands import SignedCommand
with FastTrip(sys.argv[1]) as trips:
    trips.trip("instrument:BTC-USD", SignedCommand(b"{}", "", ""), "event", "operator1", "now")
print(*sorted(name for name in sys.modules if name.split(".")[0] in ("redis", "asyncio", "ssl")))
"""


def plain(url: str) -> PlainConnection:
    connection = PlainConnection.to(url, 2.0)
    assert connection is not None
    return connection


@pytest.mark.parametrize(
    "address", ["rediss://h", "unix:///s", "redis://h?db=1", "redis://h:x", "redis:///0", "h"]
)
def test_other_addresses_are_left_to_the_packaged_client(address: str) -> None:
    assert PlainConnection.to(address, 2.0) is None


@pytest.mark.parametrize("breaker_id", [BTC, GLOBAL])
async def test_it_answers_like_the_packaged_client(
    desk: RedisDesk, owner: Line, breaker_id: BreakerId
) -> None:
    await owner.command("ACL", "SETUSER", "operator1", "clearselectors", "(+incr ~trip:instrument:*)")
    signed, event_id = signed_trip(breaker_id, SigningKey.generate())
    commands = trip_commands(breaker_id, event_fields(event_id, breaker_id, "TRIP", "x", "now", signed))
    url, seen = desk.url("operator1"), []
    for connection in (plain(url), PackagedConnection(url, 2.0)):
        connection.connect()
        seen.append([(type(reply), str(reply)) for reply in connection.exchange(*commands)[:2]])
        connection.close()
        await owner.command("DEL", f"trip:{breaker_id}")
    assert seen[0] == seen[1]


def test_a_wrong_password_is_the_same_error(desk: RedisDesk) -> None:
    url = desk.url("operator1").replace("@", "x@")
    errors = []
    for connection in (plain(url), PackagedConnection(url, 2.0)):
        with pytest.raises(Exception, match="invalid username-password") as caught:
            connection.connect()
        connection.close()
        errors.append(type(caught.value))
    assert errors[0] is errors[1]


def test_a_trip_that_succeeds_does_not_load_the_packaged_client(desk: RedisDesk) -> None:
    command = [sys.executable, "-c", LOADED, desk.url("operator1")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
