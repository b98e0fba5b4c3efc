"""The gate's decisions on a real server."""

from __future__ import annotations

import asyncio
import json
import socket
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from redis.asyncio import Redis

from backends.gate import Gate, Mode, OrderKind
from cockpit.demo.servers import Valkey
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.documents import Epoch, rfc3339
from cockpit.domain.states import State
from tests.gate.documents import BTC, CATALOGUE, ETH, EXECUTION, LEGACY, MOMENTUM, Author, altered

HALTED = {OrderKind.CANCEL, OrderKind.REDUCE_ONLY}


@pytest.fixture
async def gate(redis: Redis, author: Author) -> Gate:
    await author.close_all()
    return Gate(redis, CATALOGUE, author.keys, timeout_s=60)


async def test_closed_permits_everything_at_full_size(gate: Gate, author: Author) -> None:
    decision = await gate.decide("BTC-USD", "momentum")
    assert decision.effective_state is State.CLOSED
    assert decision.halted_by is None
    assert decision.permits == set(OrderKind)
    assert decision.size_share == Decimal(1)
    assert decision.epoch == Epoch(author.run_id, 1)
    asked = [BTC, EXECUTION, GLOBAL, *CATALOGUE.switches_of(BTC), MOMENTUM]
    assert decision.epochs == dict.fromkeys(asked, 1)
    assert (decision.mode, decision.latched) == (Mode.NORMAL, False)
    assert await gate.decide("instrument:BTC-USD", "strategy:momentum") == decision


@pytest.mark.parametrize("name", [GLOBAL, EXECUTION, BTC, MOMENTUM])
async def test_trip_of_breaker_or_ancestor_halts(gate: Gate, redis: Redis, name: str) -> None:  # I2 I5
    await redis.execute_command("INCR", f"trip:{name}")
    decision = await gate.decide("BTC-USD", "momentum")
    assert decision.effective_state is State.OPEN
    assert decision.halted_by == name
    assert decision.permits == HALTED
    assert decision.size_share == 0


async def test_trip_elsewhere_does_not_halt(gate: Gate, redis: Redis) -> None:
    await redis.execute_command("INCR", f"trip:{ETH}")
    await redis.execute_command("INCR", "trip:component:ingest")
    assert (await gate.decide("BTC-USD", "momentum")).effective_state is State.CLOSED


async def test_survey_agrees_with_decide(gate: Gate, redis: Redis) -> None:  # I5
    await redis.execute_command("INCR", f"trip:{BTC}")
    found = await gate.survey()
    assert tuple(found) == CATALOGUE.ids
    assert {name for name, each in found.items() if each.effective_state is State.OPEN} == {BTC}
    await redis.delete(LEGACY)
    found = await gate.survey()
    assert {(each.effective_state, each.halted_by) for each in found.values()} == {(State.OPEN, GLOBAL)}


async def test_topmost_breaker_is_named(gate: Gate, redis: Redis) -> None:
    await redis.execute_command("INCR", f"trip:{BTC}")
    await redis.execute_command("INCR", f"trip:{EXECUTION}")
    assert (await gate.decide("BTC-USD")).halted_by == EXECUTION


async def test_half_open_permits_probes_until_its_deadline(gate: Gate, author: Author) -> None:
    raw = await author.write(BTC, State.HALF_OPEN)
    decision = await gate.decide("BTC-USD")
    assert decision.effective_state is State.HALF_OPEN
    assert decision.permits == HALTED | {OrderKind.PROBE}
    assert decision.size_share == 0
    past = rfc3339(datetime.now(UTC) - timedelta(milliseconds=1))
    assert await _decided(gate, author, altered(raw, run_deadline=past), resign=True) is State.OPEN


async def test_quiet_period_caps_the_size_and_ends_by_no_timer(gate: Gate, author: Author) -> None:  # I11
    raw = await author.write(EXECUTION, State.QUIET_PERIOD)
    decision = await gate.decide("BTC-USD", "momentum")
    assert decision.effective_state is State.QUIET_PERIOD
    assert decision.halted_by == EXECUTION
    assert decision.permits == set(OrderKind)
    assert decision.size_share == Decimal("0.25")
    over = author.document(EXECUTION, State.QUIET_PERIOD)
    assert raw != author.signed(over)
    past = rfc3339(datetime.now(UTC) - timedelta(hours=1))
    fields = json.loads(author.signed(over)) | {"quiet_until": past}
    await author.redis.set(f"breaker:{EXECUTION}", _resigned(author, fields))
    assert (await gate.decide("BTC-USD", "momentum")).effective_state is State.QUIET_PERIOD


@pytest.mark.parametrize(
    "value",
    [None, b"", b"OPEN", b"{}", b'{"state":"OPEN"}', b'{"state":"TRIPPED"}', b"[" * 70_000],
)
async def test_foreign_legacy_value_halts_all(gate: Gate, redis: Redis, value: bytes | None) -> None:  # I4
    await redis.delete(LEGACY)
    if value is not None:
        await redis.set(LEGACY, value)
    decision = await gate.decide("BTC-USD")
    assert (decision.effective_state, decision.halted_by) == (State.OPEN, GLOBAL)


async def test_old_mirror_after_a_reset_halts(gate: Gate, author: Author, redis: Redis) -> None:
    old = await redis.get(LEGACY) or b""
    await author.write(GLOBAL, State.CLOSED, 2)
    assert (await gate.decide("BTC-USD")).effective_state is State.CLOSED
    await redis.set(LEGACY, old)
    assert (await gate.decide("BTC-USD")).halted_by == GLOBAL


@pytest.mark.parametrize("asked", [("DOGE-USD", None), ("BTC-USD", "unknown"), ("component:risk", None)])
async def test_unknown_name_is_open(gate: Gate, asked: tuple[str, str | None]) -> None:  # I4
    decision = await gate.decide(*asked)
    assert decision.effective_state is State.OPEN
    assert decision.permits == HALTED
    assert decision.epoch is None


async def test_text_decoding_client_is_as_good(author: Author, gate_server: Valkey) -> None:
    await author.close_all()
    client = Redis.from_url(gate_server.owner_url, decode_responses=True, protocol=3)
    try:
        decision = await Gate(client, CATALOGUE, author.keys, timeout_s=60).decide("BTC-USD")
        assert decision.effective_state is State.CLOSED
    finally:
        await client.aclose()


async def test_key_of_somebody_else_closes_nothing(redis: Redis, author: Author) -> None:  # I22
    await author.close_all()
    other = await Author.of(redis)
    assert (await Gate(redis, CATALOGUE, other.keys).decide("BTC-USD")).effective_state is State.OPEN
    forged = dict.fromkeys(author.keys, other.key.public_b64)
    assert (await Gate(redis, CATALOGUE, forged).decide("BTC-USD")).effective_state is State.OPEN


def test_bad_authority_keys_are_refused() -> None:
    client = Redis()
    for key in (b"short", "bm90IDMyIGJ5dGVz", "not base64!"):
        with pytest.raises(ValueError, match="authority key k1"):
            Gate(client, CATALOGUE, {"k1": key})


async def test_flushed_server_is_open(gate: Gate, redis: Redis) -> None:  # F1
    await redis.flushall()
    decision = await gate.decide("BTC-USD", "momentum")
    assert (decision.effective_state, decision.halted_by, decision.epoch) == (State.OPEN, GLOBAL, None)


async def test_killed_and_restarted_server_is_open(
    gate: Gate, author: Author, gate_server: Valkey
) -> None:  # F1 F2
    assert (await gate.decide("BTC-USD")).effective_state is State.CLOSED
    gate_server.kill()
    down = await gate.decide("BTC-USD")
    assert down.effective_state is State.OPEN
    assert str(down.halted_by).startswith("unreadable")
    gate_server.start()  # the same bytes from the append-only file, another run_id
    after = await gate.decide("BTC-USD")
    assert (after.effective_state, after.halted_by) == (State.OPEN, GLOBAL)
    assert "another Redis server" in after.why
    fresh = await Author.of(author.redis)
    await fresh.close_all()
    again = Gate(author.redis, CATALOGUE, fresh.keys, timeout_s=60)
    assert (await again.decide("BTC-USD")).effective_state is State.CLOSED


async def test_silent_server_is_open_within_the_time_limit(author: Author, gate_server: Valkey) -> None:
    await author.close_all()
    gate = Gate(author.redis, CATALOGUE, author.keys, timeout_s=0.2)
    calm = Gate(author.redis, CATALOGUE, author.keys, timeout_s=60)
    assert (await calm.decide("BTC-USD")).effective_state is State.CLOSED
    gate_server.pause()
    try:
        began = asyncio.get_running_loop().time()
        decision = await gate.decide("BTC-USD")
        assert asyncio.get_running_loop().time() - began < 30
        assert decision.effective_state is State.OPEN
        assert decision.halted_by == "unreadable: no answer in 0.2 s"
    finally:
        gate_server.resume()
    assert (await calm.decide("BTC-USD")).effective_state is State.CLOSED


async def test_denied_command_is_open(author: Author, gate_server: Valkey) -> None:  # F20
    await author.close_all()
    rights = ["on", ">secret", "resetkeys", "-@all", "%R~trip:*", "%R~breaker:*", "%R~circuit_breaker:*"]
    rights += ["+mget", "+time", "+multi", "+exec", "+hello", "+client|setinfo"]  # and no +info
    await author.redis.execute_command("ACL", "SETUSER", "narrow", *rights)
    client = Redis(port=gate_server.port, username="narrow", password="secret")
    try:
        gate = Gate(client, CATALOGUE, author.keys, timeout_s=60)
        decision = await gate.decide("BTC-USD")
        assert decision.effective_state is State.OPEN
        assert str(decision.halted_by).startswith("unreadable: ")
        await author.redis.execute_command("ACL", "SETUSER", "narrow", "+info")
        assert (await gate.decide("BTC-USD")).effective_state is State.CLOSED
    finally:
        await client.aclose()


async def test_cancelled_decision_gives_its_reply_to_nobody(gate: Gate, redis: Redis) -> None:  # F4
    await redis.execute_command("INCR", f"trip:{BTC}")
    for delay in range(60):
        task = asyncio.create_task(gate.decide("BTC-USD"))
        for _ in range(delay):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        other = await gate.decide("ETH-USD")
        assert (other.effective_state, other.epoch and other.epoch.counter) == (State.CLOSED, 1)
        assert (await gate.decide("BTC-USD")).effective_state is State.OPEN


@pytest.mark.parametrize(
    "reply",
    [b"+OK\r\n" * 5, b"-ERR x\r\n" * 5, b"*0\r\n" * 5, b"garbage\r\n", b"$-1\r\n" * 5, b""],
    ids=["ok", "error", "empty", "garbage", "null", "hang-up"],
)
async def test_answer_of_another_shape_is_open(reply: bytes, author: Author) -> None:  # I4 F20
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if b"MGET" not in data:
                writer.write(b"+OK\r\n" * data.count(b"*"))  # what the client says at connecting
                continue
            writer.write(reply)
            break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, family=socket.AF_INET)
    async with server:
        client = Redis(port=server.sockets[0].getsockname()[1], protocol=2)
        decision = await Gate(client, CATALOGUE, author.keys, timeout_s=1).decide("BTC-USD")
        assert decision.effective_state is State.OPEN
        assert str(decision.halted_by).startswith("unreadable: ")
        await client.aclose()


async def test_verdicts_are_kept_by_bytes_and_bounded(
    gate: Gate, author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.gate._VERDICTS", 9)
    await gate.decide("BTC-USD")
    kept = dict(gate._verdicts)
    await gate.decide("BTC-USD")
    assert all(gate._verdicts[raw] is verdict for raw, verdict in kept.items())
    for version in range(20):
        document = author.document(BTC, State.CLOSED)
        await author.redis.set(f"breaker:{BTC}", author.signed(document))
        assert (await gate.decide("BTC-USD")).effective_state is State.CLOSED, version
    assert len(gate._verdicts) == 9
    await author.redis.set(f"breaker:{BTC}", b"x" * 200_000)
    assert (await gate.decide("BTC-USD")).effective_state is State.OPEN
    assert max(len(raw) for raw in gate._verdicts) < 16_384


def _resigned(author: Author, fields: dict[str, object]) -> bytes:
    from backends.signing import canonical

    fields.pop("signature", None)
    return canonical(fields | {"signature": author.key.sign(canonical(fields))})


async def _decided(gate: Gate, author: Author, raw: bytes, resign: bool = False) -> State:
    value = _resigned(author, json.loads(raw)) if resign else raw
    await author.redis.set(f"breaker:{BTC}", value)
    return (await gate.decide("BTC-USD")).effective_state
