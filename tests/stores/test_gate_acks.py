"""What people read of the gateways' acknowledgements."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends.gate_acks import GateAcks, parse_ack
from cockpit.domain.kill import Ack
from cockpit.domain.refusals import Refused, StoreUnreachable
from tests.trading_platform import Platform


def value(**changes: Any) -> bytes:
    return json.dumps({"gateway": "plant", "run_id": "r", "epochs": {"global": 3}, **changes}).encode()


def test_only_a_well_formed_word_of_that_gateway_counts() -> None:  # I4, I14
    assert parse_ack("plant", value()) == Ack("r", 3)
    for counter in ("3", True, 0, -1, 2**53, None, 3.0):
        assert parse_ack("plant", value(epochs={"global": counter})) == Ack("r", None), counter
    assert parse_ack("plant", value(epochs={})) == Ack("r", None)
    bad: list[object] = [
        None,
        b"",
        b"{",
        b"[]",
        b"null",
        value(gateway="other"),
        value(run_id=""),
        value(run_id=7),
    ]
    bad += [value(epochs=[]), b'{"gateway": "plant"}', b"x" * 4_000_001]
    for raw in bad:
        assert parse_ack("plant", raw) is None, raw


@pytest.mark.parametrize("login", ["admin1", "operator1", "monitor1"])
async def test_every_person_may_read_them(platform: Platform, login: str) -> None:
    async with platform.redis_line() as line:
        await line.command("SET", "gate:ack:plant", value())
        await line.command("SET", "gate:ack:odd", b"nonsense")
    acks = GateAcks(platform.login(login).redis_url, ("plant", "odd", "absent"))
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
