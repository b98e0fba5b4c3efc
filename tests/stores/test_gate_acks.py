"""What people read of the gateways' acknowledgements."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backends.gate_acks import GateAcks, parse_ack
from backends.redis_replies import server_time
from cockpit.domain.documents import rfc3339
from cockpit.domain.kill import Ack
from cockpit.domain.refusals import Refused, StoreUnreachable
from tests.trading_platform import Platform

OLD = timedelta(seconds=4)
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def value(**changes: Any) -> bytes:
    word: dict[str, object] = {
        "gateway": "plant",
        "run_id": "r",
        "epochs": {"global": 3},
        "acked_at": rfc3339(NOW),
    }
    return json.dumps({**word, **changes}).encode()


def test_only_a_well_formed_word_of_that_gateway_counts() -> None:  # I4, I14
    assert parse_ack("plant", value(), NOW) == Ack("r", 3)
    for counter in ("3", True, 0, -1, 2**53, None, 3.0):
        assert parse_ack("plant", value(epochs={"global": counter}), NOW) == Ack("r", None), counter
    assert parse_ack("plant", value(epochs={}), NOW) == Ack("r", None)
    bad: list[object] = [
        None,
        b"",
        b"{",
        b"[]",
        b"null",
        value(gateway="other"),
        value(run_id=""),
        value(run_id=7),
        value(run_id="f" * 65),
    ]
    bad += [value(epochs=[]), b'{"gateway": "plant"}', b"x" * 4_000_001]
    for raw in bad:
        assert parse_ack("plant", raw, NOW) is None, raw


def test_an_old_word_acknowledges_nothing() -> None:  # I14, I25: a gateway that died said it once
    for age_s in (0.0, 3.0, -3.0):
        at = rfc3339(NOW - timedelta(seconds=age_s))
        assert parse_ack("plant", value(acked_at=at), NOW) == Ack("r", 3), age_s
    for age_s in (3.1, 3_600, -3.1):
        at = rfc3339(NOW - timedelta(seconds=age_s))
        assert parse_ack("plant", value(acked_at=at), NOW) is None, age_s
    for odd in (None, "", "yesterday", 1_700_000_000, "2026-01-31T12:00:00"):
        assert parse_ack("plant", value(acked_at=odd), NOW) is None, odd


@pytest.mark.parametrize("login", ["admin1", "operator1", "monitor1"])
async def test_every_person_may_read_them(platform: Platform, login: str) -> None:
    async with platform.redis_line() as line:
        now = server_time(await line.command("TIME"))
        await line.command("SET", "gate:ack:plant", value(acked_at=rfc3339(now)))
        await line.command("SET", "gate:ack:dead", value(gateway="dead", acked_at=rfc3339(now - OLD)))
        await line.command("SET", "gate:ack:odd", b"nonsense")
    acks = GateAcks(platform.login(login).redis_url, ("plant", "odd", "absent", "dead"))
    try:
        assert await acks.of_global() == {"plant": Ack("r", 3)}
    finally:
        await acks.close()
    assert await GateAcks(platform.login(login).redis_url, ()).of_global() == {}


async def test_a_redis_that_is_away_is_said() -> None:
    acks = GateAcks("redis://x:y@127.0.0.1:1/0", ("plant",))
    with pytest.raises(StoreUnreachable):
        await acks.of_global()
    await acks.close()
    assert issubclass(StoreUnreachable, Refused)
