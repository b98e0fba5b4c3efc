"""Objectives read from Prometheus: many in one query, none held up or spoilt by another."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeVar

from backends.prometheus_answers import Round, any_newest, bad_run, reading
from backends.prometheus_line import STORE, PrometheusLine, QueryRefused, Result, in_daemon_thread
from backends.promql_parts import Asking, NotAskable, Range, milliseconds
from backends.sli_questions import Objective
from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.slo_reports import TREND_POINTS, TREND_STEP_S, SliReading
from cockpit.domain.slos import Exclusion, Limit

MAX_QUERY: Final = 30_000  # characters in one query, so that its answer is read in a few milliseconds
MAX_PARTS: Final = 250
MAX_TRENDS: Final = 40  # series of 24 points in one answer
_KEY: Final = "cockpit_part"
_PROBE: Final = "count_over_time(vector(1)[2s:1s])"  # 3 where ranges hold their left edge, else 2
_PROBED_AT_S: Final = 1_000.0

Item = TypeVar("Item")


class PrometheusSource:
    """One Prometheus server. `timeout_s` bounds each silence, `whole_s` a whole reading."""

    def __init__(self, url: str, timeout_s: float = 3.0, whole_s: float = 30.0) -> None:
        self._line = PrometheusLine(url, timeout_s)
        self._whole_s = whole_s
        self._busy = threading.Lock()
        self._left_open: Range | None = None
        self._alone: frozenset[str] = frozenset()  # whose queries the server refused
        self._trends: dict[str, tuple[Objective, int, tuple[float | None, ...]]] = {}
        self._stepped: dict[str, tuple[Objective, int, dict[str, float]]] = {}
        self.queries = 0  # sent since the start

    async def close(self) -> None:
        self._line.close()

    async def read(
        self, objectives: Sequence[Objective], exclusions: Sequence[Exclusion], at: datetime | None = None
    ) -> Mapping[str, SliReading]:
        """Every objective's figures by name: now, by the server's clock, or as they stand for another moment.

        Raises:
            StoreUnreachable: no answer in time, or none that is Prometheus's.
        """
        return await in_daemon_thread(lambda: self._read(objectives, exclusions, at), "prometheus")

    def _read(
        self, objectives: Sequence[Objective], exclusions: Sequence[Exclusion], at: datetime | None
    ) -> Mapping[str, SliReading]:
        if not self._busy.acquire(blocking=False):
            raise StoreUnreachable(STORE, "an earlier question still waits for its answer")
        try:
            deadline = time.monotonic() + self._whole_s
            left_open = self._range(deadline)
            this = Round(milliseconds(at) if at else self._now_ms(deadline), deadline)
            for objective in objectives:
                try:
                    this.askings[objective.name] = Asking(objective, exclusions)
                except NotAskable as error:
                    this.faults[objective.name] = str(error)
            self._ask_values(this, left_open)
            self._ask_trends(this, left_open)
            self._ask_streaks(this, left_open)
            self._alone = frozenset(name for name in this.faults if name in this.askings)
            return {each.name: reading(this, each) for each in objectives}
        except (IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise StoreUnreachable(STORE, f"its answer cannot be read ({type(error).__name__})") from error
        finally:
            self._busy.release()

    def _now_ms(self, deadline: float) -> int:
        found = self._own_query("vector(time())", None, deadline)
        return math.floor(_number(found[0]["value"][1]) * 1_000)

    def _range(self, deadline: float) -> Range:
        if self._left_open is None:
            found = self._own_query(_PROBE, _PROBED_AT_S, deadline)
            self._left_open = Range(closed_start=_number(found[0]["value"][1]) == 3)
        return self._left_open

    def _own_query(self, promql: str, at_s: float | None, deadline: float) -> Result:
        """One that no objective is to blame for."""
        try:
            return self._query(promql, at_s, deadline)
        except QueryRefused as error:
            raise StoreUnreachable(STORE, f"it refuses {promql}: {error}") from None

    def _query(self, promql: str, at_s: float | None, deadline: float) -> Result:
        self.queries += 1
        try:
            return self._line.query(promql, at_s, deadline)
        except StoreUnreachable:
            self._left_open = None  # another release may answer next
            raise

    def _ask_values(self, this: Round, left_open: Range) -> None:
        """Windows and newest samples; then once more the newest of those that have none of late."""
        asked = []
        for name, asking in this.askings.items():
            parts, known = asking.parts(this.at_ms, left_open), self._known(asking, this.at_ms)
            this.values[name] = {key: known[key] for key in parts if key in known}
            asked.append((name, {key: promql for key, promql in parts.items() if key not in known}))
        self._stepped = {name: kept for name, kept in self._stepped.items() if name in this.askings}
        self._ask(this, asked, this.at_ms)
        older = []
        for name, asking in this.sound():
            missing = [part for part in asking.queries if not any_newest(this.values.get(name, {}), part)]
            if missing:
                older.append((name, {k: v for part in missing for k, v in asking.older(part).items()}))
        self._ask(this, older, this.at_ms)

    def _known(self, asking: Asking, at_ms: int) -> dict[str, float]:
        """What was counted in whole steps since the last of them: it stands until the next. A month of
        minutes costs the server a second, so it is not asked anew every few seconds."""
        name, slot = asking.objective.name, at_ms // (asking.step_s * 1_000)
        kept = self._stepped.get(name)
        if kept is None or kept[:2] != (asking.objective, slot):
            kept = self._stepped[name] = (asking.objective, slot, {})
        return kept[2]

    def _ask(self, this: Round, asked: Sequence[tuple[str, Mapping[str, str]]], at_ms: int) -> None:
        for batch in _batches(asked, self._alone):
            self._ask_batch(this, batch, at_ms)

    def _ask_batch(self, this: Round, batch: Sequence[tuple[str, Mapping[str, str]]], at_ms: int) -> None:
        """One query for all; where the server refuses it, half of it at a time, down to whose it is."""
        keys = [(name, key) for name, parts in batch for key in parts]
        union = _union([promql for _, parts in batch for promql in parts.values()])
        try:
            result = self._query(union, at_ms / 1_000, this.deadline)
        except QueryRefused as error:
            if len(batch) == 1:
                this.faults[batch[0][0]] = f"Prometheus refuses its query: {error}"
                return
            half = len(batch) // 2
            self._ask_batch(this, batch[:half], at_ms)
            self._ask_batch(this, batch[half:], at_ms)
            return
        for series in result:
            name, key = keys[int(series["metric"][_KEY])]
            value = this.values.setdefault(name, {})[key] = _number(series["value"][1])
            if this.askings[name].stands(key):
                self._known(this.askings[name], this.at_ms)[key] = value

    def _ask_trends(self, this: Round, left_open: Range) -> None:
        """Whole five minutes change once in five minutes."""
        slot_ms = this.at_ms // (TREND_STEP_S * 1_000) * TREND_STEP_S * 1_000
        wanted = []
        for name, asking in this.sound():
            known = self._trends.get(name)
            if known is not None and known[:2] == (asking.objective, slot_ms):
                this.trends[name] = known[2]
            elif asking.trended:
                wanted.append((name, asking.trend(left_open), asking.trend_span()))
        for name, points in self._ask_points(this, wanted, slot_ms).items():
            shares = [points.get(slot_ms - k * TREND_STEP_S * 1_000) for k in range(TREND_POINTS)]
            this.trends[name] = tuple(None if p is None or math.isnan(p) else p for p in reversed(shares))
        self._trends = {
            name: (this.askings[name].objective, slot_ms, trend) for name, trend in this.trends.items()
        }

    def _ask_streaks(self, this: Round, left_open: Range) -> None:
        minute_ms = this.at_ms // 60_000 * 60_000
        counted = [(name, asking) for name, asking in this.sound() if asking.counted]
        wanted = [(name, asking.streak(left_open), asking.streak_span()) for name, asking in counted]
        runs = []
        for name, points in self._ask_points(this, wanted, minute_ms).items():
            asking = this.askings[name]
            bad = bad_run(points, gaps_end_it=not isinstance(asking.indicator, Limit))
            this.streaks[name] = len(bad)
            if bad and not isinstance(asking.indicator, Limit):
                length_ms = this.at_ms - bad[-1] + 60_000
                runs.append((name, {"streak": asking.events(length_ms, left_open)}))
        self._ask(this, runs, this.at_ms)
        for name, _ in runs:
            events = this.values.get(name, {}).get("streak", 0.0)
            this.streaks[name] = round(events) if math.isfinite(events) else 0

    def _ask_points(
        self, this: Round, wanted: Sequence[tuple[str, str, str]], at_ms: int
    ) -> Mapping[str, Mapping[int, float]]:
        """Each objective's expression at the steps of its span: values by Unix milliseconds."""
        found: dict[str, Mapping[int, float]] = {name: {} for name, _, _ in wanted}
        for batch in _chunks(wanted, MAX_TRENDS):
            self._ask_point_batch(this, batch, at_ms, found)
        return {name: points for name, points in found.items() if name not in this.faults}

    def _ask_point_batch(
        self,
        this: Round,
        batch: Sequence[tuple[str, str, str]],
        at_ms: int,
        found: dict[str, Mapping[int, float]],
    ) -> None:
        union = f"({_union([promql for _, promql, _ in batch])}){batch[0][2]}"
        try:
            result = self._query(union, at_ms / 1_000, this.deadline)
        except QueryRefused as error:
            if len(batch) == 1:
                this.faults[batch[0][0]] = f"Prometheus refuses its query: {error}"
                return
            for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                self._ask_point_batch(this, half, at_ms, found)
            return
        for series in result:
            name = batch[int(series["metric"][_KEY])][0]
            found[name] = {round(at * 1_000): _number(text) for at, text in series["values"]}


def _union(parts: Sequence[str]) -> str:
    """One query for all of them, told apart by a label that holds their place."""
    return " or ".join(
        f'label_replace({promql},"{_KEY}","{place}","","")' for place, promql in enumerate(parts)
    )


def _batches(
    asked: Sequence[tuple[str, Mapping[str, str]]], alone: frozenset[str]
) -> Iterator[list[tuple[str, Mapping[str, str]]]]:
    """Objectives of which each keeps its parts together, as many as one query takes."""
    batch: list[tuple[str, Mapping[str, str]]] = []
    length = parts_held = 0
    for name, parts in asked:
        if name in alone:
            yield [(name, parts)]
            continue
        size = sum(len(promql) + 45 for promql in parts.values())
        if batch and (length + size > MAX_QUERY or parts_held + len(parts) > MAX_PARTS):
            yield batch
            batch, length, parts_held = [], 0, 0
        batch.append((name, parts))
        length, parts_held = length + size, parts_held + len(parts)
    if batch:
        yield batch


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _number(text: str) -> float:
    return float(text)
