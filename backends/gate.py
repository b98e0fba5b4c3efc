"""The gate: what every order asks before it leaves. Fail-closed; nothing here can let more through than
Redis says.

    gate = Gate(redis, catalogue, {"0f3c…": "base64 of the authority's public key"})
    decision = await gate.decide("BTC-USD", "momentum")
    if OrderKind.NEW in decision.permits:
        size = normal_size * decision.size_share

One decision is one round trip: MGET of the counters and documents of the instrument, its switches, the
strategy and all their ancestors with the legacy key, INFO server, TIME. The signature of a document is
checked once for its bytes. docs/contract.md says the same for other languages.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from backends.gate_decisions import FREE, PERMITS, Decision, Withdrawals, decided, halt, said_of, words
from backends.gate_wire import GateUnreadable, packed, server_moment, server_run_id, shaped
from backends.signing import KeyRing, read_document
from cockpit.domain.breakers import GLOBAL, WITHDRAWALS, BreakerId, Catalogue, symbol_of
from cockpit.domain.documents import (
    MAX_DOCUMENT_BYTES,
    Document,
    MalformedDocument,
    Reading,
    effective,
    parse_counter,
    read_breaker,
)
from cockpit.domain.legacy import legacy_agrees
from cockpit.domain.modes import Mode, OrderKind
from cockpit.domain.states import State
from cockpit.domain.switches import SymbolMode, is_set, surely_set, symbol_mode

__all__ = ["PERMITS", "Decision", "Gate", "Mode", "OrderKind", "Withdrawals"]

LEGACY_KEY: Final = "circuit_breaker:state"
UNREADABLE: Final = "unreadable"
_VERDICTS: Final = 16_384


@dataclass(frozen=True, slots=True)
class _Question:
    """What one pair of instrument and strategy asks: breakers and switches in the order of their keys, and
    the packed bytes.
    """

    targets: tuple[BreakerId, ...]
    breakers: tuple[BreakerId, ...]
    packed: bytes


@dataclass(frozen=True, slots=True)
class _Answer:
    """`foreign`: the legacy key does not mirror the current global document, which halts everything."""

    readings: Mapping[BreakerId, Reading]
    epochs: Mapping[BreakerId, int]
    foreign: bool


class Gate:
    """Fail-closed reader of the breakers.

    `redis` is an asyncio client of which nothing but its connection pool is used, so its decoding and
    retries do not matter; a connection on which anything went wrong is dropped. `authority_keys` maps key
    ids to the 32 raw bytes, or their base64, of the authority's Ed25519 public keys.

    Raises:
        ValueError: an authority key is not 32 bytes.
    """

    def __init__(
        self,
        redis: Redis,
        catalogue: Catalogue,
        authority_keys: Mapping[str, bytes | str],
        timeout_s: float = 0.25,
    ) -> None:
        self._pool = redis.connection_pool
        self._catalogue = catalogue
        self._keyring = KeyRing({key_id: _raw_key(key_id, key) for key_id, key in authority_keys.items()})
        self._timeout_s = timeout_s
        self._questions: dict[tuple[str, str | None], _Question] = {}
        self._everything = self._question(catalogue.ids)
        self._of_withdrawals = self._question((WITHDRAWALS,))
        self._held: set[BreakerId] = set()
        self._verdicts: OrderedDict[bytes, Document | MalformedDocument] = OrderedDict()

    async def decide(self, instrument: str, strategy: str | None = None) -> Decision:
        """Judge an order by its instrument and its strategy, named with or without `instrument:`,
        `strategy:`.

        Never raises but for cancellation: an unknown name, an error or no answer in time is OPEN.
        """
        question = self._questions.get((instrument, strategy))
        if question is None:
            targets = (_full("instrument", instrument), *_optional("strategy", strategy))
            unknown = next((target for target in targets if target not in self._catalogue), None)
            if unknown is not None:
                return halt(str(unknown)[:80], "not in the catalogue")
            question = self._questions[instrument, strategy] = self._question(targets)
        answer = await self._ask(question)
        if isinstance(answer, str):
            return self._unread(question.targets[0], answer)
        return self._fold(question.targets, answer)

    async def survey(self) -> Mapping[BreakerId, Decision]:
        """What `decide` would say of each breaker of the catalogue on its own, from one round trip."""
        answer = await self._ask(self._everything)
        if isinstance(answer, str):
            return {name: self._unread(name, answer) for name in self._catalogue.ids}
        return {name: self._fold((name,), answer) for name in self._catalogue.ids}

    async def withdrawals(self) -> Withdrawals:
        """Whether withdrawals may be made, from one round trip. Never raises but for cancellation: what
        cannot be read is halted (I18)."""
        answer = await self._ask(self._of_withdrawals)
        if isinstance(answer, str):
            return Withdrawals(False, answer, None)
        reading = answer.readings[WITHDRAWALS]
        if not is_set(reading):
            return Withdrawals(True, "withdrawals are permitted", reading.epoch)
        return Withdrawals(False, f"withdrawals are halted{said_of(reading)}", reading.epoch)

    async def _ask(self, question: _Question) -> _Answer | str:
        """The answer, or why there is none."""
        try:
            async with asyncio.timeout(self._timeout_s):
                values, info, time = await self._fetch(question)
            return self._read(question, values, server_run_id(info), server_moment(time))
        except TimeoutError:
            return f"{UNREADABLE}: no answer in {self._timeout_s:g} s"
        except (RedisError, OSError, GateUnreadable) as error:
            return f"{UNREADABLE}: {type(error).__name__}: {str(error)[:200]}"
        except Exception as error:  # noqa: BLE001 (the last line of defence: what nobody foresaw halts)
            return f"{UNREADABLE}: unforeseen {type(error).__name__}: {str(error)[:200]}"

    def _question(self, targets: tuple[BreakerId, ...]) -> _Question:
        breakers = tuple(
            dict.fromkeys(
                name
                for target in targets
                for name in (
                    target,
                    *self._catalogue.ancestors(target),
                    *self._catalogue.switches_of(target),
                )
            )
        )
        keys = [key for name in breakers for key in (f"trip:{name}", f"breaker:{name}")]
        return _Question(targets, breakers, packed([*keys, LEGACY_KEY]))

    async def _fetch(self, question: _Question) -> tuple[list[bytes | None], bytes, list[bytes]]:
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.send_packed_command(question.packed, check_health=False)
            replies = [
                await connection.read_response(disable_decoding=True, timeout=math.inf) for _ in range(3)
            ]
            return shaped(replies, 2 * len(question.breakers) + 1)
        except BaseException:
            # A connection with replies on their way may never serve another order.
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._pool.release(connection)

    def _read(
        self, question: _Question, values: Sequence[bytes | None], run_id: str, now: datetime
    ) -> _Answer:
        readings: dict[BreakerId, Reading] = {}
        epochs: dict[BreakerId, int] = {}
        for name, raw_counter, raw in zip(question.breakers, values[0:-1:2], values[1:-1:2], strict=True):
            counter = parse_counter(raw_counter)
            if counter is not None:
                epochs[name] = counter
            ancestors = self._catalogue.ancestors(name)
            readings[name] = read_breaker(name, self._verdict(raw), counter, run_id, now, ancestors)
        above = readings.get(GLOBAL)
        foreign = above is not None and above.doubt is None and not legacy_agrees(values[-1], above.document)
        return _Answer(readings, epochs, foreign)

    def _fold(self, targets: Sequence[BreakerId], answer: _Answer) -> Decision:
        readings, epoch = answer.readings, answer.readings[targets[0]].epoch
        mode = self._mode(targets[0], readings)
        if answer.foreign:
            return decided(State.OPEN, GLOBAL, Decimal(0), epoch, answer.epochs, f"{LEGACY_KEY} halts", mode)
        found = [effective(target, readings, self._catalogue) for target in targets]
        worst = max(found, key=lambda each: each.state.strictness)
        share = min(each.size_share for each in found)
        why = words(worst, readings)
        if mode.mode is not Mode.NORMAL and worst.halted_by not in self._catalogue.switches_of(targets[0]):
            why += f"; {mode.symbol} is in {mode.mode.value}"
        return decided(worst.state, worst.halted_by, share, epoch, answer.epochs, why, mode)

    def _mode(self, target: BreakerId, readings: Mapping[BreakerId, Reading]) -> SymbolMode:
        """What the switches leave of an instrument. One that is in doubt now stays what it was known to
        be."""
        if not self._catalogue.switches_of(target):
            return FREE
        return symbol_mode(symbol_of(target), readings, self._known)

    def _known(self, name: BreakerId, reading: Reading | None) -> bool:
        """Whether a switch is known to be set: by what was read, or, while that is in doubt, by what was read
        last. Losing Redis loosens no mode."""
        if surely_set(reading):
            self._held.add(name)
        elif not is_set(reading):
            self._held.discard(name)
        return name in self._held

    def _unread(self, target: BreakerId, why: str) -> Decision:
        mode = self._mode(target, {})
        return decided(State.OPEN, why, Decimal(0), None, {}, why, mode)

    def _verdict(self, raw: bytes | None) -> Document | MalformedDocument | None:
        if raw is None or len(raw) > MAX_DOCUMENT_BYTES:
            return read_document(raw, self._keyring)
        verdict = self._verdicts.get(raw)
        if verdict is not None:
            self._verdicts.move_to_end(raw)
            return verdict
        verdict = read_document(raw, self._keyring)
        if verdict is not None:
            self._verdicts[raw] = verdict
            if len(self._verdicts) > _VERDICTS:
                self._verdicts.popitem(last=False)
        return verdict


def _full(scope: str, name: str) -> BreakerId:
    return BreakerId(name if name.startswith(f"{scope}:") else f"{scope}:{name}")


def _optional(scope: str, name: str | None) -> tuple[BreakerId, ...]:
    return () if name is None else (_full(scope, name),)


def _raw_key(key_id: str, key: bytes | str) -> bytes:
    try:
        raw = key if isinstance(key, bytes) else base64.b64decode(key, validate=True)
    except binascii.Error as error:
        raise ValueError(f"authority key {key_id}: not base64") from error
    if len(raw) != 32:
        raise ValueError(f"authority key {key_id}: {len(raw)} bytes, not the 32 of an Ed25519 public key")
    return raw
