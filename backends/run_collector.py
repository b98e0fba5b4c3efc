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
MOST_LINES: Final = 400  # events for each call, of all files together
_PORTION: Final = 1 << 16
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

    def __init__(
        self,
        results: Path | None,
        logs: Path | None,
        places: Mapping[str, Place],
        most_lines: int = MOST_LINES,
    ) -> None:
        self._results = results
        self._logs = logs
        self._places = dict(places)
        self._most_lines = most_lines
        self._tails: dict[str, Tail] = {}
        self._turn = 0

    def collect(self) -> Collected:
        """What is new, out of about `MOST_BYTES` and at most about `most_lines` events; the next call goes
        on from there. Every file has its share first, what is left goes to those that have more."""
        found = Collected()
        wanted = self._wanted(found)
        for name in [name for name in self._tails if name not in wanted]:
            self._leave(name)
        self._turn += 1
        names = list(wanted)
        if not names:
            return found
        begin = self._turn % len(names)  # no file is always the first, and none starves
        order = names[begin:] + names[:begin]
        left, lines = MOST_BYTES, self._most_lines
        for again, share in ((False, len(names)), (True, 1)):
            for name in order:
                if name not in self._tails:
                    self._tails[name] = Tail(wanted[name], start=self._places.get(name))
                elif again and not self._tails[name].behind:
                    continue
                most = (min(left, max(1, MOST_BYTES // share)), min(lines, max(1, self._most_lines // share)))
                bytes_read, taken = self._read(name, self._tails[name], found, *most)
                left, lines = left - bytes_read, lines - taken
        found.more = any(tail.behind for tail in self._tails.values())
        return found

    def close(self) -> None:
        for name in list(self._tails):
            self._leave(name)

    def _wanted(self, found: Collected) -> dict[str, Path]:
        wanted: dict[str, Path] = {}
        if self._results is not None:
            try:
                runs, _ = newest_runs(self._results, RUNS)
                if AUDIT_LOGS in runs:
                    runs.remove(AUDIT_LOGS)
                    found.faults.append(f"run {AUDIT_LOGS}: not read, the name is the log files'; rename it")
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

    def _read(self, name: str, tail: Tail, found: Collected, most: int, lines: int) -> tuple[int, int]:
        """Read one file; how many bytes were read and events taken. A line over the bound is given back,
        save where the file that it stands in is gone."""
        run_id = "" if name.startswith(f"{AUDIT_LOGS}/") else name.partition("/")[0]
        begin, before = tail.taken, len(found.told)
        ends = before + lines
        while (left := most - (tail.taken - begin)) > 0 and len(found.told) < ends:
            so_far = tail.taken
            try:
                raws = tail.read(min(left, _PORTION))
            except Unreadable as error:
                found.faults.append(f"{name}: {error}")
                break
            for raw in raws:
                if len(found.told) >= ends and tail.go_back(raw):
                    break
                self._take(run_id, name, raw, found)
            if tail.taken == so_far or not tail.behind:
                break
        if tail.place is not None:
            found.places[name] = tail.place
        return tail.taken - begin, len(found.told) - before

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
