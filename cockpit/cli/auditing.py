"""audit verify, tail, export and reanchor."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from cockpit.cli.answers import Answer, UsageFault
from cockpit.cli.resuming import decided
from cockpit.cli.wiring import (
    EvidenceShelf,
    authority_ring,
    must_acknowledge,
    open_postgres,
    settings_of,
    whole,
)
from cockpit.config import Settings
from cockpit.domain.audit import ChainBroken, Entry
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.desk import DeskSnapshot
from cockpit.domain.documents import MAX_COUNTER, rfc3339
from cockpit.domain.refusals import EXIT_UNVERIFIED
from cockpit.domain.text import clean, justification, many
from cockpit.operations import resume
from cockpit.operations.audit_verify import VerifyPorts
from cockpit.operations.audit_verify import verify as verify_chain_and_heads
from cockpit.operations.outcomes import Outcome
from cockpit.operations.signed_heads import parse_target, target_of

if TYPE_CHECKING:
    from backends.postgres_store import PostgresStore

MAX_COUNT = 10_000
_PAGE = 1_000


def verify(options: argparse.Namespace) -> Answer:
    """Exit 0 intact, 6 broken; 5 where it could not be read, which proves nothing either way."""
    settings = settings_of(options)
    return asyncio.run(_verify(settings, options))


async def _verify(settings: Settings, options: argparse.Namespace) -> Answer:
    from backends.signing import KeyRing, canonical

    async with open_postgres(settings.credentials(options.login), 30.0) as postgres:
        ports = VerifyPorts(
            audit=postgres,
            evidence=EvidenceShelf(settings),
            authorities=authority_ring(settings),
            keyring=lambda keys: KeyRing({**keys, **settings.authority_keys}),
            canonical=canonical,
        )
        try:
            found = await verify_chain_and_heads(ports, options.full)
        except ChainBroken as broken:
            message = f"{broken}. Resume is blocked: call security, change nothing."
            document = {"ok": False, "full": options.full, "broken_at": broken.seq, "message": message}
            return Answer(document, (), EXIT_UNVERIFIED, (message,))
    document = {
        "ok": True,
        "full": found.full,
        "seq": found.head.seq,
        "chain_hash": found.head.chain_hash,
        "entries_verified": found.entries,
        "from_seq": found.start.seq,
        "anchors_checked": found.anchors,
        "damaged": [
            {"first": each.first, "last": each.at.seq, "accepted_by": each.by, "accepted_at": each.signed_at}
            for each in found.damaged
        ],
    }
    reach = "from the first entry" if found.start.seq == 0 else f"from the signed head {found.start.seq}"
    beside = " beside the known damage" if found.damaged else ""
    return Answer(
        document,
        (
            *(each.line for each in found.damaged),
            f"intact{beside} {reach} to entry {found.head.seq}",
            f"head     {found.head.chain_hash}",
            f"anchors  {many(found.anchors, 'signed head')} checked",
        ),
    )


def reanchor(options: argparse.Namespace) -> Answer:
    """Accept the chain's head as it stands, after damage; the second safety-admin accepts the same one."""
    notes = justification(options.notes)
    must_acknowledge(options, GLOBAL, "the audit chain is damaged below the head that you accept")
    head = options.head
    if head is not None:
        try:
            parse_target(head)
        except ValueError as error:
            raise UsageFault(f"--head: {clean(head, 80)!r} is no head; write <seq>:<chain_hash>") from error

    async def ask(ports: resume.ResumePorts) -> Outcome:
        target = head or _waiting_target(await ports.inbox.snapshot())
        wish = resume.Wish(Kind.REANCHOR, GLOBAL, notes, target=target)
        outcome = await resume.ask(wish, ports, datetime.now(UTC))
        if outcome.word != "pending" or outcome.event_id is None:
            return outcome
        message = f"Awaits a second safety-admin who accepts the same head: --head {target}"
        return replace(outcome, message=message)

    return decided(options, ask)


def _waiting_target(desk: DeskSnapshot) -> str:
    """The head that another person's open request names, else the one that stands now."""
    for row in desk.requests:
        if row.kind == Kind.REANCHOR.value and row.status == "awaiting_approval":
            return str(json.loads(row.payload)["target"])
    return target_of(desk.head)


def tail(options: argparse.Namespace) -> Answer:
    """The newest entries, oldest of them first."""
    settings = settings_of(options)
    count = whole(options.count, "count", 1, MAX_COUNT)
    entries = asyncio.run(_tail(settings, options, count))
    lines = tuple(
        f"{entry.seq:>8}  {rfc3339(entry.timestamp)}  {entry.action}  {entry.user_id} ({entry.role})"
        f"  {entry.target}"
        for entry in entries
    )
    return Answer({"entries": [fields_of(entry) for entry in entries]}, lines)


async def _tail(settings: Settings, options: argparse.Namespace, count: int) -> Sequence[Entry]:
    async with open_postgres(settings.credentials(options.login)) as postgres:
        head = (await postgres.snapshot()).head
        return await postgres.audit_entries(max(0, head.seq - count), count)


def export(options: argparse.Namespace) -> Answer | int:
    """One JSON object a line, every column, in the chain's order."""
    settings = settings_of(options)
    after = whole(options.after, "after", 0, MAX_COUNTER)
    if options.output is None and not options.json:
        asyncio.run(_export(settings, options, after, sys.stdout))
        return 0
    if options.output is None:
        raise UsageFault("--output: name a file; --json prints one document and an export is many lines")
    path = Path(options.output)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageFault(f"--output: {path} cannot be made: {error.strerror}; name a new file") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        written = asyncio.run(_export(settings, options, after, file))
    return Answer({"entries": written, "file": str(path)}, (f"{written} entries written to {path}",))


async def _export(settings: Settings, options: argparse.Namespace, after: int, file: TextIO) -> int:
    written = 0
    async with open_postgres(settings.credentials(options.login), 30.0) as postgres:
        async for entry in _entries(postgres, after):
            file.write(json.dumps(fields_of(entry), ensure_ascii=True) + "\n")
            written += 1
    file.flush()
    return written


async def _entries(postgres: PostgresStore, after: int) -> AsyncIterator[Entry]:
    while page := await postgres.audit_entries(after, _PAGE):
        for entry in page:
            yield entry
        after = page[-1].seq


def fields_of(entry: Entry) -> dict[str, object]:
    """Every column under its name in the table; `details` stays the text that the chain covers."""
    return {**asdict(entry), "timestamp": rfc3339(entry.timestamp)}
