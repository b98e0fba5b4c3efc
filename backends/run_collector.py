"""Collects what the authority must hear of out of run folders and log files, from where it last got to.

Blocks: call it in a thread, one call at a time. However hostile a folder is, one call reads a bounded amount.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from backends.jsonl_tail import Place, Raw, Tail, Unreadable
from backends.run_folder import newest_logs, newest_runs, parsed
from cockpit.domain.artefacts import AUDIT_LOGS, INCIDENTS, BadLine, RunLine

RUNS: Final = 20
LOGS: Final = 20
MOST_BYTES: Final = 1 << 20  # for each call, of all files together
_OF_RUNS: Final = (b"incident_open", b"incident_ack", b"incident_resolve")
_OF_LOGS: Final = (b"risk_limit_breach",)


@dataclass(frozen=True, slots=True)
class Told:
    """One event. `run_id` "" where it stands in the audit logs; `sha256` is of the whole line."""

    run_id: str
    line: RunLine
    sha256: str


@dataclass(slots=True)
class Collected:
    """`places` is where each file was left, by its name (`RUN/FILE`, `audit_logs/FILE`); `more` whether some
    was left unread; `faults` what could not be read."""

    told: list[Told] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    more: bool = False


class Collector:
    """The newest run folders and log files, followed from the places where a predecessor left them."""

    def __init__(self, results: Path | None, logs: Path | None, places: Mapping[str, Place]) -> None:
        self._results = results
        self._logs = logs
        self._places = dict(places)
        self._tails: dict[str, Tail] = {}
        self._turn = 0

    def collect(self) -> Collected:
        """What is new, out of about `MOST_BYTES`; the next call goes on from there."""
        found = Collected()
        wanted = self._wanted(found)
        for name in [name for name in self._tails if name not in wanted]:
            self._leave(name)
        names = list(wanted)
        self._turn += 1
        left = MOST_BYTES
        for place in range(len(names)):  # no file is always the first, and none starves
            name = names[(place + self._turn) % len(names)]
            tail = self._tails.get(name) or self._tails.setdefault(
                name, Tail(wanted[name], start=self._places.get(name))
            )
            left = self._read(name, tail, found, left)
        return found

    def close(self) -> None:
        for name in list(self._tails):
            self._leave(name)

    def _wanted(self, found: Collected) -> dict[str, Path]:
        wanted: dict[str, Path] = {}
        if self._results is not None:
            try:
                runs, _ = newest_runs(self._results, RUNS)
                wanted |= {f"{run}/{INCIDENTS}": self._results / run / INCIDENTS for run in runs}
            except Unreadable as error:
                found.faults.append(f"run folders: {error}")
        if self._logs is not None:
            try:
                logs = newest_logs(self._logs, LOGS)
                wanted |= {f"{AUDIT_LOGS}/{name}": self._logs / name for name in logs}
            except Unreadable as error:
                found.faults.append(f"{AUDIT_LOGS}: {error}")
        return wanted

    def _leave(self, name: str) -> None:
        tail = self._tails.pop(name)
        if tail.place is not None:
            self._places[name] = tail.place
        tail.close()

    def _read(self, name: str, tail: Tail, found: Collected, left: int) -> int:
        if left <= 0:
            found.more = found.more or tail.place is None or tail.behind
            return left
        before = tail.place.offset if tail.place else 0
        try:
            lines = tail.read(left)
        except Unreadable as error:
            found.faults.append(f"{name}: {error}")
            return left
        run_id = "" if name.startswith(f"{AUDIT_LOGS}/") else name.partition("/")[0]
        for raw in lines:
            self._take(run_id, name, raw, found)
        if tail.place is not None:
            found.places[name] = tail.place
            found.more = found.more or tail.behind
            return left - max(0, tail.place.offset - before)
        return left

    def _take(self, run_id: str, name: str, raw: Raw, found: Collected) -> None:
        words = _OF_RUNS if run_id else _OF_LOGS
        if not any(word in raw.data for word in words):
            return  # most lines are of no concern here; screens count the bad ones
        try:
            line = parsed(raw, f"{name}:{raw.at}")
        except BadLine:
            return
        if line.event_type.encode() in words:
            found.told.append(Told(run_id, line, sha256(raw.data).hexdigest()))
