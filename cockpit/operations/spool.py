"""The fsynced local spool: a trip is on this disk before anything is sent, and until a store has it.

One file for each trip, readable by its owner only. It is locked while somebody delivers it, so that two
cockpits on one bastion do not race; a lock dies with its process.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from cockpit.domain.breakers import BreakerId, InvalidBreakerId, parse_breaker_id
from cockpit.domain.commands import SignedCommand
from cockpit.domain.documents import parse_rfc3339, rfc3339

_SUFFIX: Final = ".trip.json"
_MAX_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class SpooledTrip:
    """A trip that waits for a store. An unsigned one has no `key_id` and no `signature` in `signed`. One that
    is `counted` holds in Redis already, which lacks its event: only its record is due."""

    event_id: str
    breaker_id: BreakerId
    login: str
    requested_at: datetime
    signed: SignedCommand
    counted: bool = False

    def to_bytes(self) -> bytes:
        return json.dumps(
            {
                "event_id": self.event_id,
                "breaker_id": self.breaker_id,
                "login": self.login,
                "requested_at": rfc3339(self.requested_at),
                "payload": self.signed.payload.decode(),
                "key_id": self.signed.key_id,
                "signature": self.signed.signature,
                "counted": self.counted,
            }
        ).encode()


class SpoolUnusable(Exception):
    """The spool's folder cannot be written; the message says which and why."""


class MalformedSpoolEntry(ValueError):
    """A file of the spool is not what `write` leaves."""


class Held:
    """A spooled trip, locked for the one who delivers it."""

    def __init__(self, path: Path, trip: SpooledTrip, descriptor: int) -> None:
        self.trip = trip
        self._path = path
        self._descriptor: int | None = descriptor

    def delivered(self) -> None:
        """A store has it: remove it. A crash before this line only trips once more."""
        self._path.unlink(missing_ok=True)
        self.release()

    def counted(self) -> None:
        """Redis has it and its event is lost: keep it so that a retry only records it. A crash before this,
        or a disk that does not take it, only trips once more.

        Raises:
            SpoolUnusable: it stays as it was.
        """
        part = self._path.with_suffix(".part")
        descriptor = -1
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # nobody else may claim the new file meanwhile
            _write_all(descriptor, replace(self.trip, counted=True).to_bytes())
            os.fsync(descriptor)
            part.rename(self._path)
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
                part.unlink(missing_ok=True)
            raise SpoolUnusable(f"{self._path} cannot be written: {error.strerror}") from error
        self.release()
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of the lock; what is not delivered stays for a later retry. Safe to repeat."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Spool:
    """The spool in `folder`, which is made (0700) at the first write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, trip: SpooledTrip) -> Held:
        """Make `trip` durable, file and folder.

        Raises:
            SpoolUnusable: no room, no right, or not a folder.
        """
        path = self._path(trip)
        part = path.with_suffix(".part")
        descriptor = -1
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _write_all(descriptor, trip.to_bytes())
            os.fsync(descriptor)
            part.rename(path)
            self._sync_folder()
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
                part.unlink(missing_ok=True)
            raise SpoolUnusable(f"spool {self.folder} cannot be written: {error.strerror}") from error
        return Held(path, trip, descriptor)

    def claim(self, trip: SpooledTrip) -> Held | None:
        """Lock a waiting entry; None where another process delivers it now, or has done so."""
        path = self._path(trip)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        held = Held(path, trip, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            held.release()
            return None
        if not path.exists():
            held.release()
            return None
        return held

    def entries(self) -> tuple[list[SpooledTrip], list[Path]]:
        """What waits, oldest first, and the files that look like entries and cannot be read."""
        waiting: list[SpooledTrip] = []
        damaged: list[Path] = []
        for path in self._files():
            try:
                waiting.append(_read(path))
            except FileNotFoundError:  # delivered meanwhile
                continue
            except (OSError, MalformedSpoolEntry):
                damaged.append(path)
        return sorted(waiting, key=lambda trip: trip.requested_at), damaged

    def _files(self) -> list[Path]:
        try:
            return sorted(self.folder.glob(f"*{_SUFFIX}"))
        except OSError:
            return []

    def _path(self, trip: SpooledTrip) -> Path:
        return self.folder / f"{trip.event_id}{_SUFFIX}"

    def _sync_folder(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _read(path: Path) -> SpooledTrip:
    if path.stat().st_size > _MAX_BYTES:
        raise MalformedSpoolEntry("too long")
    try:
        fields = json.loads(path.read_bytes())
        trip = SpooledTrip(
            event_id=fields["event_id"],
            breaker_id=parse_breaker_id(fields["breaker_id"]),
            login=fields["login"],
            requested_at=parse_rfc3339(fields["requested_at"]),
            signed=SignedCommand(fields["payload"].encode(), fields["key_id"], fields["signature"]),
            counted=fields.get("counted") is True,
        )
    except (ValueError, KeyError, TypeError, AttributeError, InvalidBreakerId, RecursionError) as error:
        raise MalformedSpoolEntry(f"{path.name} is no spooled trip") from error
    if f"{trip.event_id}{_SUFFIX}" != path.name:
        raise MalformedSpoolEntry(f"{path.name} holds another event")
    return trip
