"""The fsynced journal of kill switches, beside the spool: what was done and what is still to be reported
survives a crash, and an outage of both stores.

One file for each kill switch, readable by its owner only, one JSON object a line, added to and never changed:
`begun` {login, notes, at, payload, key_id, signature}, `fact` {step, details}, `step` {step_id, login,
payload, key_id, signature}, `reported` {step_id} and `over`. A line that a crash cut off is passed over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from cockpit.domain.commands import SignedCommand
from cockpit.domain.documents import parse_rfc3339, rfc3339
from cockpit.domain.kill import Fact
from cockpit.domain.kill_records import (
    BadKillRecord,
    details_of,
    facts_of,
    parse_kill_id,
    step_of,
)

_SUFFIX: Final = ".kill.jsonl"
_MOST_BYTES: Final = 16_000_000


class JournalUnusable(Exception):
    """The folder cannot be written; the message says which and why."""


@dataclass(frozen=True, slots=True)
class WaitingStep:
    """A signed KILL_STEP that Postgres has not confirmed."""

    kill_id: str
    step_id: str
    login: str
    signed: SignedCommand


@dataclass(frozen=True, slots=True)
class Kept:
    """What the journal holds of one kill switch."""

    kill_id: str
    login: str
    notes: str
    begun_at: datetime
    signed: SignedCommand
    facts: tuple[Fact, ...] = ()
    waiting: tuple[WaitingStep, ...] = field(default=())
    over: bool = False


class KillJournal:
    """The journal in `folder`, which is made (0700) at the first write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, kill_id: str, login: str, notes: str, at: datetime, signed: SignedCommand) -> None:
        """
        Raises:
            JournalUnusable: nothing was kept.
        """
        fields = {"login": login, "notes": notes, "at": rfc3339(at), **_signed(signed)}
        self._add(kill_id, "begun", fields)

    def fact(self, kill_id: str, fact: Fact) -> None:
        """Raises JournalUnusable."""
        self._add(kill_id, "fact", {"step": step_of(fact).value, "details": details_of(fact)})

    def step(self, step: WaitingStep) -> None:
        """Raises JournalUnusable."""
        fields = {"step_id": step.step_id, "login": step.login, **_signed(step.signed)}
        self._add(step.kill_id, "step", fields)

    def reported(self, kill_id: str, step_id: str) -> None:
        """Raises JournalUnusable."""
        self._add(kill_id, "reported", {"step_id": step_id})

    def over(self, kill_id: str) -> None:
        """It was proved FLAT, or denied before anything was done: nobody need go on with it. Raises
        JournalUnusable."""
        self._add(kill_id, "over", {})

    def all(self) -> list[Kept]:
        """Every kill switch that is kept here, oldest first; unreadable files are passed over."""
        try:
            paths = sorted(self.folder.glob(f"*{_SUFFIX}"))
        except OSError:
            return []
        found = [kept for path in paths if (kept := _read(path)) is not None]
        return sorted(found, key=lambda kept: kept.begun_at)

    def get(self, kill_id: str) -> Kept | None:
        return _read(self._path(kill_id))

    def waiting(self, login: str) -> list[WaitingStep]:
        """Steps of `login` that Postgres has not confirmed, oldest first."""
        return [step for kept in self.all() for step in kept.waiting if step.login == login]

    def _add(self, kill_id: str, kind: str, fields: Mapping[str, object]) -> None:
        line = json.dumps({"type": kind, **fields}, ensure_ascii=True).encode() + b"\n"
        path = self._path(kill_id)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = not path.exists()
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                _write(descriptor, line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if new:
                self._sync_folder()
        except OSError as error:
            raise JournalUnusable(
                f"kill switch journal {self.folder} cannot be written: {error.strerror}"
            ) from error

    def _path(self, kill_id: str) -> Path:
        return self.folder / f"{kill_id}{_SUFFIX}"

    def _sync_folder(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write(descriptor: int, line: bytes) -> None:
    """Add one line; where a crash has cut off the one before, it begins on a line of its own."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line
    while line:
        line = line[os.write(descriptor, line) :]


def _read(path: Path) -> Kept | None:
    try:
        kill_id = parse_kill_id(path.name.removesuffix(_SUFFIX))
        if path.stat().st_size > _MOST_BYTES:
            return None
        lines = path.read_bytes().splitlines()
    except (OSError, BadKillRecord):
        return None
    begun: Kept | None = None
    facts: list[tuple[str, Mapping[str, object]]] = []
    waiting: dict[str, WaitingStep] = {}
    over = False
    for line in lines:
        try:
            fields = json.loads(line)
            match fields["type"]:
                case "begun":
                    begun = begun or Kept(
                        kill_id,
                        str(fields["login"]),
                        str(fields["notes"]),
                        parse_rfc3339(fields["at"]),
                        _command(fields),
                    )
                case "fact":
                    facts.append((str(fields["step"]), dict(fields["details"])))
                case "step":
                    step_id, login = str(fields["step_id"]), str(fields["login"])
                    waiting[step_id] = WaitingStep(kill_id, step_id, login, _command(fields))
                case "reported":
                    waiting.pop(str(fields["step_id"]), None)
                case "over":
                    over = True
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # a cut or damaged line: what it said is done again, or looked at anew
    if begun is None:
        return None
    return Kept(
        kill_id,
        begun.login,
        begun.notes,
        begun.begun_at,
        begun.signed,
        facts_of(facts),
        tuple(waiting.values()),
        over,
    )


def _signed(signed: SignedCommand) -> dict[str, object]:
    return {"payload": signed.payload.decode(), "key_id": signed.key_id, "signature": signed.signature}


def _command(fields: Mapping[str, object]) -> SignedCommand:
    return SignedCommand(str(fields["payload"]).encode(), str(fields["key_id"]), str(fields["signature"]))
