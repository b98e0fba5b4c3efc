"""The trip operation, from its call to OPEN in Redis: signed, fsynced to the spool, INCR and event applied.

The yardstick is the least that such a trip could be: a file of the same length written and fsynced with its
folder, then INCR and an XADD of the same fields in one MULTI by the same client library. Both are done on the
same disk and the same server.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter_ns
from uuid import uuid4

from redis import Redis

from backends.fast_trip import FastTrip
from backends.signing import SigningKey, sign_command
from backends.trip_exchange import event_fields
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import SignedCommand
from cockpit.domain.desk import RequestRow
from cockpit.domain.documents import Epoch, rfc3339
from cockpit.domain.reasons import Reason
from cockpit.domain.snapshots import TripReceipt
from cockpit.operations.spool import Spool, SpooledTrip
from cockpit.operations.trip import TripPorts, command, trip
from tests.bench.figures import Figure, Samples, Timed, in_turn, since_ms
from tests.bench.gate import CATALOGUE
from tests.bench.grants import close_all
from tests.bench.stand import Stand

TRIPPED = BreakerId("instrument:BTC-USD")
NOTES = "fills far from the expected price on the venue since 14:02"


@dataclass(frozen=True, slots=True)
class Applied:
    """The receipt as the operation takes it, without the authority's later additions."""

    epoch: Epoch
    event_delivered: bool
    note: str | None
    audit_seq: int | None = None
    evidence_link: str | None = None


class Arrival:
    """The operation's way to Redis, which notes when the server had confirmed the INCR."""

    def __init__(self, connection: FastTrip) -> None:
        self._connection = connection
        self.applied_ns = 0

    def __call__(self, entry: SpooledTrip) -> Applied:
        at = rfc3339(entry.requested_at)
        receipt: TripReceipt = self._connection.trip(
            entry.breaker_id, entry.signed, entry.event_id, entry.login, at
        )
        self.applied_ns = perf_counter_ns()
        return Applied(receipt.epoch, receipt.event_delivered, receipt.note)


def measure(stand: Stand) -> list[Figure]:
    url, folder = stand.valkey.owner_url, stand.folder / "spools"
    folder.mkdir()
    close_all(url, CATALOGUE)
    key = SigningKey.generate()
    with ExitStack() as stack:
        bare = stack.enter_context(Redis.from_url(url))
        arrival = Arrival(stack.enter_context(FastTrip(url)))
        spool = Spool(folder / "mine")
        ports = TripPorts(redis=arrival, recorded=_no_postgres, spool=spool, late_trip_s=5)
        example = _signed(key)
        operation = _operation(ports, arrival, key)
        yardstick = _yardstick(bare, folder / "bare", example)
        asked = (_timed(operation), _timed(yardstick), _timed(_file(folder / "file", example)))
        mine, least, file_only = asyncio.run(in_turn(stand.times(1_000), *asked, warm_up=20))
    return _figures(mine, least, file_only)


def _figures(mine: Samples, least: Samples, file_only: Samples) -> list[Figure]:
    raw = {"trip_ms": mine, "yardstick_ms": least, "fsync_only_ms": file_only}
    note = f"fsync of an equal file and its folder ({file_only.p50:.2f} ms), then pipelined INCR+XADD"
    return [
        Figure("trip operation to OPEN p50", mine.p50, "ms", 2, least.p50, note, raw),
        Figure("trip operation to OPEN p99", mine.p99, "ms", 3, least.p99, "the same"),
    ]


def _operation(ports: TripPorts, arrival: Arrival, key: SigningKey) -> Callable[[], float]:
    def run() -> float:
        begin, now = perf_counter_ns(), datetime.now(UTC)
        request = command(TRIPPED, "operator1", str(uuid4()), Reason.SLIPPAGE, NOTES, None, now)
        outcome = trip(request, sign_command(request, key), ports, now)
        if outcome.word != "done":
            raise RuntimeError(outcome.message)
        return (arrival.applied_ns - begin) / 1e6

    return run


def _yardstick(bare: Redis, folder: Path, entry: SpooledTrip) -> Callable[[], float]:
    write, at = _file(folder, entry), rfc3339(entry.requested_at)
    fields = event_fields(entry.event_id, entry.breaker_id, "TRIP", entry.login, at, entry.signed)

    def run() -> float:
        took = write()
        begin = perf_counter_ns()
        with bare.pipeline(transaction=True) as batch:
            batch.execute_command("INCR", "bench:counter")
            batch.xadd("bench:events", fields)  # type: ignore[arg-type]
            batch.execute()
        return took + since_ms(begin)

    return run


def _file(folder: Path, entry: SpooledTrip) -> Callable[[], float]:
    """Writes a file as long as the spool's entry and fsyncs it and its folder; then removes it, untimed."""
    folder.mkdir()
    data = entry.to_bytes()

    def run() -> float:
        path = folder / str(uuid4())
        begin = perf_counter_ns()
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(file, data)
        os.fsync(file)
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)
        took = since_ms(begin)
        os.close(directory)
        os.close(file)
        path.unlink()
        return took

    return run


def _timed(run: Callable[[], float]) -> Timed:
    async def timed() -> float:
        return run()

    return timed


def _signed(key: SigningKey) -> SpooledTrip:
    now = datetime.now(UTC)
    request = command(TRIPPED, "operator1", str(uuid4()), Reason.SLIPPAGE, NOTES, None, now)
    signed: SignedCommand = sign_command(request, key)
    return SpooledTrip(request.request_id, request.breaker_id, request.login, now, signed)


def _no_postgres(_entry: SpooledTrip) -> RequestRow:
    raise RuntimeError("the trip went to Postgres, so it did not reach Redis")
