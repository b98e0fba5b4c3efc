"""Puts breakers into a state as the authority would have left them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from backends.redis_connection import Line
from backends.redis_replies import LEGACY_KEY, counter_key, document_key, server_run_id
from backends.signing import SignedCommand, SigningKey, canonical, sign_command, sign_document
from cockpit.domain.breakers import GLOBAL, BreakerId, Catalogue
from cockpit.domain.commands import Command, Kind
from cockpit.domain.documents import Document, Epoch
from cockpit.domain.legacy import legacy_fields
from cockpit.domain.states import State


def document(
    catalogue: Catalogue,
    breaker_id: BreakerId,
    run_id: str,
    counter: int = 1,
    state: State = State.CLOSED,
    run_deadline: datetime | None = None,
    event_id: str = "event",
) -> Document:
    now = datetime.now(UTC)
    return Document(
        breaker_id=breaker_id,
        state=state,
        epoch=Epoch(run_id, counter),
        ancestors=catalogue.ancestors(breaker_id),
        version=1,
        actor="authority",
        reason="",
        notes="written by a test",
        event_id=event_id,
        issued_at=now,
        run_deadline=run_deadline or (now + timedelta(minutes=2) if state is State.HALF_OPEN else None),
        quiet_until=now + timedelta(minutes=5) if state is State.QUIET_PERIOD else None,
    )


async def run_id_of(line: Line) -> str:
    return server_run_id(await line.command("INFO", "server"))


async def put(line: Line, value: Document, key: SigningKey) -> None:
    """One document with its counter, and the legacy key with the global one."""
    commands: list[tuple[str | bytes | int, ...]] = [
        ("SET", counter_key(value.breaker_id), value.epoch.counter),
        ("SET", document_key(value.breaker_id), sign_document(value, key)),
    ]
    if value.breaker_id == GLOBAL:
        commands.append(("SET", LEGACY_KEY, canonical(legacy_fields(value, None))))
    await line.exchange(*commands)


async def close_everything(line: Line, catalogue: Catalogue, key: SigningKey) -> str:
    """All breakers CLOSED at epoch 1; returns the run_id."""
    run_id = await run_id_of(line)
    for breaker_id in catalogue.everything:
        await put(line, document(catalogue, breaker_id, run_id), key)
    return run_id


def signed_trip(
    breaker_id: BreakerId, key: SigningKey, login: str = "operator1"
) -> tuple[SignedCommand, str]:
    """A signed trip and its event id."""
    event_id = str(uuid4())
    command = Command(
        Kind.TRIP, event_id, breaker_id, login, datetime.now(UTC), None, "drill", "a test trips this breaker"
    )
    return sign_command(command, key), event_id
