"""The forensic bundle of one incident: one tar archive of everything that was recorded while it went on.

    incident-<id>/manifest.json     name, bytes and SHA-256 of every file; what is missing, and why
    incident-<id>/<table>.jsonl     rows as they lie in the database; audit_log.jsonl stays a chain
    incident-<id>/redis.json        counters, documents, acknowledgements, history, events
    incident-<id>/evidence/…        the objects that the audit entries name, as they lie there
    incident-<id>/run/…             the artefacts of the incident's own run folder, the end of each
    incident-<id>/audit_logs/…      of the trading side's audit logs the lines of that time
    incident-<id>/settings.json     the configuration without addresses of logins, passwords and keys
    incident-<id>/verification.json what the audit chain's verification said

A store that is away leaves a gap that the manifest names; the rest is bundled nevertheless.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from cockpit.domain.documents import rfc3339
from cockpit.domain.refusals import Refused
from cockpit.domain.text import clean

BEFORE: Final = timedelta(hours=1)
AFTER: Final = timedelta(minutes=5)
MOST_ROWS: Final = 500_000
_EVIDENCE: Final = "transitions/"


class Stretch(Protocol):
    @property
    def opened_at(self) -> datetime: ...
    @property
    def until(self) -> datetime: ...
    @property
    def now(self) -> datetime: ...
    @property
    def run_id(self) -> str | None: ...


class Artefact(Protocol):
    """A file of the trading side. `data` None: there is none; `why` says what is missing, "" where nothing;
    `blanked` counts passwords that were taken out."""

    @property
    def name(self) -> str: ...
    @property
    def data(self) -> bytes | None: ...
    @property
    def why(self) -> str: ...
    @property
    def blanked(self) -> int: ...


Rows = Callable[[str, str, datetime, datetime], AsyncIterator[str]]


@dataclass(frozen=True, slots=True)
class BundlePorts:
    """`rows` yields a section's rows as JSON texts, for an incident and a stretch of time; `evidence` an
    object's bytes, None where there is none; `artefacts` the files of a run (None: of none) and of a stretch.
    All of them but `artefacts` may raise `Refused`."""

    window: Callable[[str], Awaitable[Stretch]]
    sections: Sequence[str]
    rows: Rows
    artefacts: Callable[[str | None, datetime, datetime], Awaitable[Sequence[Artefact]]]
    redis: Callable[[], Awaitable[Mapping[str, object]]]
    evidence: Callable[[str], Awaitable[bytes | None]]
    verification: Callable[[], Awaitable[Mapping[str, object]]]
    settings: Mapping[str, object]
    login: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """`sha256` is of the whole archive; `missing` maps what is not in it to why."""

    path: Path
    sha256: str
    files: int
    size: int
    missing: Mapping[str, str]


class BundleUnwritable(OSError):
    """The archive cannot be written where it should; the message names the place."""


class _Archive:
    """Files of the bundle, kept in a private folder until they are packed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0
        self.entries: dict[str, tuple[Path, int, str]] = {}
        self.missing: dict[str, str] = {}
        self.blanked: dict[str, int] = {}

    def put(self, name: str, data: bytes) -> None:
        path = self._fresh()
        path.write_bytes(data)
        self.entries[name] = (path, len(data), hashlib.sha256(data).hexdigest())

    async def put_lines(self, name: str, lines: AsyncIterator[str]) -> list[str]:
        """Write the lines as they come; those that name evidence come back, for its objects."""
        path = self._fresh()
        digest, size, count = hashlib.sha256(), 0, 0
        named: list[str] = []
        with path.open("wb") as file:
            async for line in lines:
                if count >= MOST_ROWS:
                    self.missing[name] = f"cut after {MOST_ROWS} rows"
                    break
                data = line.encode() + b"\n"
                file.write(data)
                digest.update(data)
                size, count = size + len(data), count + 1
                if _EVIDENCE in line:
                    named.append(line)
        self.entries[name] = (path, size, digest.hexdigest())
        return named

    def _fresh(self) -> Path:
        self._made += 1
        return self._folder / str(self._made)

    def manifest(self, facts: Mapping[str, object]) -> bytes:
        files = [
            {"name": name, "bytes": size, "sha256": digest}
            for name, (_, size, digest) in sorted(self.entries.items())
        ]
        document = {**facts, "files": files, "missing": self.missing, "passwords_blanked": self.blanked}
        return json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"

    def pack(self, target: Path, root: str, manifest: bytes, made_at: datetime) -> None:
        """One gzip'd tar, readable by its owner only, put in its place whole; nothing is overwritten."""
        handle, name = tempfile.mkstemp(prefix=".bundle-", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                with tarfile.open(fileobj=file, mode="w:gz") as tar:
                    _add(tar, f"{root}/manifest.json", io.BytesIO(manifest), len(manifest), made_at)
                    for entry, (path, size, _) in sorted(self.entries.items()):
                        with path.open("rb") as source:
                            _add(tar, f"{root}/{entry}", source, size, made_at)
                file.flush()
                os.fsync(file.fileno())
            os.link(name, target)  # fails where it exists
        finally:
            Path(name).unlink(missing_ok=True)


async def write_bundle(target: Path, incident_id: str, ports: BundlePorts) -> Bundle:
    """Make the bundle at `target`, which must not exist yet.

    Raises:
        Refused: Postgres is away, or knows no such incident.
        BundleUnwritable: the archive cannot be written.
    """
    stretch = await ports.window(incident_id)
    from_at, until = stretch.opened_at - BEFORE, min(stretch.until + AFTER, stretch.now)
    try:
        with tempfile.TemporaryDirectory(prefix=".bundle-", dir=target.parent) as folder:
            archive = _Archive(Path(folder))
            audit = await _tables(archive, incident_id, from_at, until, ports)
            await _evidence(archive, audit, ports)
            _artefacts(archive, await ports.artefacts(stretch.run_id, from_at, until))
            await _one(archive, "redis.json", ports.redis)
            await _one(archive, "verification.json", ports.verification)
            archive.put("settings.json", _document(ports.settings))
            facts = {
                "incident_id": incident_id,
                "made_by": ports.login,
                "made_at": rfc3339(stretch.now),
                "from": rfc3339(from_at),
                "until": rfc3339(until),
            }
            archive.pack(target, f"incident-{incident_id}", archive.manifest(facts), stretch.now)
    except OSError as error:
        raise BundleUnwritable(f"{target}: {error.strerror or error}") from error
    digest, size = _sha256(target)
    return Bundle(target, digest, len(archive.entries) + 1, size, dict(archive.missing))


async def _tables(
    archive: _Archive, incident_id: str, from_at: datetime, until: datetime, ports: BundlePorts
) -> list[str]:
    """Every table; the audit entries that name evidence come back."""
    audit: list[str] = []
    for section in ports.sections:
        name = f"{section}.jsonl"
        try:
            named = await archive.put_lines(name, ports.rows(section, incident_id, from_at, until))
        except Refused as refused:
            archive.entries.pop(name, None)
            archive.missing[name] = refused.refusal.message
        else:
            audit = named if section == "audit_log" else audit
    return audit


async def _evidence(archive: _Archive, audit: Sequence[str], ports: BundlePorts) -> None:
    """The objects under the links of these entries. One that is gone, or is not what the log says, is named;
    what lies there is bundled all the same: it is what an investigation wants to see."""
    for line in audit:
        entry = json.loads(line)
        link = entry.get("evidence_link") or ""
        cut = link.find(_EVIDENCE)
        if cut < 0:
            continue
        key = link[cut:]
        name = f"evidence/{clean(key, 200).replace('/', '_')}"
        if name in archive.entries or name in archive.missing:
            continue  # an intent and its outcome name the same object
        try:
            data = await ports.evidence(key)
        except Refused as refused:
            archive.missing[name] = refused.refusal.message
            continue
        if data is None:
            archive.missing[name] = f"entry {entry['seq']} names it and there is no such object"
            continue
        archive.put(name, data)
        if hashlib.sha256(data).hexdigest() != entry.get("evidence_sha256"):
            archive.missing[name] = f"it is not what entry {entry['seq']} says: another SHA-256"


def _artefacts(archive: _Archive, found: Sequence[Artefact]) -> None:
    for each in found:
        if each.data is not None:
            archive.put(each.name, each.data)
        if each.why:
            archive.missing[each.name] = each.why
        if each.blanked:
            archive.blanked[each.name] = each.blanked


async def _one(archive: _Archive, name: str, read: Callable[[], Awaitable[Mapping[str, object]]]) -> None:
    try:
        archive.put(name, _document(await read()))
    except Refused as refused:
        archive.missing[name] = refused.refusal.message


def _document(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True, default=str).encode() + b"\n"


def _add(tar: tarfile.TarFile, name: str, source: io.BufferedIOBase, size: int, made_at: datetime) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(made_at.timestamp())
    tar.addfile(info, source)


def _sha256(path: Path) -> tuple[str, int]:
    """The digest and the size of what was written."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
