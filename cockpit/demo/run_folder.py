"""What the plant leaves for whoever looks after it: its run's folder of JSON lines, and audit logs.

    <results>/runs/<run_id>/…_events.jsonl, data_quality_latest.json
    <audit_logs>/<run_id>.jsonl

Lines are appended whole. A file that has grown large is put aside as `.1`, but for incidents, where others
append their acknowledgements; folders of old runs go. A disk that takes nothing stops no trading.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from cockpit.domain.artefacts import INCIDENTS, QUALITY_LATEST
from cockpit.domain.documents import rfc3339

_MOST_BYTES: Final = 4_000_000
_MOST_RUNS: Final = 10
_RUN: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}", re.ASCII)
_log = logging.getLogger("plant")


def new_run_id(now: datetime) -> str:
    """Sorts by time."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:6]}"


class RunFolder:
    """One run's files. `results` and `audit_logs` None: nothing is written. `clock` gives events' times."""

    def __init__(
        self,
        results: Path | None,
        audit_logs: Path | None,
        run_id: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.run_id = run_id
        self._folder = None if results is None else results / run_id
        self._audit = audit_logs
        self._clock = clock
        self._torn: set[Path] = set()

    def begin(self) -> None:
        """Make the folder; forget the oldest runs."""
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            runs = sorted(each for each in self._folder.parent.iterdir() if _RUN.fullmatch(each.name))
            for old in runs[:-_MOST_RUNS]:
                shutil.rmtree(old)
        except OSError as error:
            _log.warning("run folder: %s", error)

    def event(self, file: str, event_type: str, fields: Mapping[str, object]) -> None:
        """Append one event to a file of the run."""
        if self._folder is not None:
            self._append(self._folder / file, self._whole(event_type, fields), rotate=file != INCIDENTS)

    def audit(self, event_type: str, fields: Mapping[str, object]) -> None:
        """Append one event to the audit logs."""
        if self._audit is not None:
            self._append(self._audit / f"{self.run_id}.jsonl", self._whole(event_type, fields), rotate=True)

    def latest_quality(self, fields: Mapping[str, object]) -> None:
        """Replace the newest quality cycle as a whole."""
        if self._folder is None:
            return
        path = self._folder / QUALITY_LATEST
        fresh = path.with_name(path.name + ".new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(_line(self._whole("quality_cycle", fields)), "utf-8")
            fresh.replace(path)
        except OSError as error:
            _log.warning("run folder: %s", error)

    def _whole(self, event_type: str, fields: Mapping[str, object]) -> dict[str, object]:
        head = {"event_id": str(uuid4()), "event_type": event_type, "at": rfc3339(self._clock())}
        return {**head, "run_id": self.run_id, **fields}

    def _append(self, path: Path, event: Mapping[str, object], rotate: bool) -> None:
        """In one write; after one that was cut short the next begins with a line of its own."""
        data = _line(event).encode()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if rotate and path.exists() and path.stat().st_size + len(data) > _MOST_BYTES:
                path.replace(path.with_name(path.name + ".1"))
                self._torn.discard(path)
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                data = b"\n" + data if path in self._torn else data
                whole = os.write(file, data) == len(data)
            finally:
                os.close(file)
        except OSError as error:
            _log.warning("run folder: %s", error)
            return
        (self._torn.discard if whole else self._torn.add)(path)


def _line(event: Mapping[str, object]) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n"
