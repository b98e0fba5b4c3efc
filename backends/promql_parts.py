"""What the cockpit asks Prometheus of one objective: PromQL around its queries, by the name of the figure.

Every part gives one value or none, so that many fit one answer. Counts are weighted by events: sums of
increases, never means of ratios. Windows are (t - w, t] for samples and slices; `increase` keeps Prometheus's
own edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import promql_parser

from backends.sli_questions import Objective, windows_of
from cockpit.domain.slo_reports import TREND_POINTS, TREND_STEP_S
from cockpit.domain.slos import Budgeting, Exclusion, Limit, Op, Ratio, Slices, Slo, Statistic, Threshold

LIMIT_STEP_S: Final = 60  # a measured value is one event a minute
STREAK_S: Final = 3_600
OLDEST_S: Final = 3 * 86_400  # how far back the newest sample is looked for
_LOOKBACK_STEP_S: Final = 240  # below Prometheus's five minutes, so that no sample falls between two steps
_SIGN: Final = {Op.LT: "<", Op.LTE: "<=", Op.GT: ">", Op.GTE: ">="}

Stretch = tuple[int, int]
"""(from, until] in Unix milliseconds."""


class NotAskable(ValueError):
    """This objective cannot be read from Prometheus; the message says why and what would be right."""


def milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1_000)


def merged(stretches: Iterable[Stretch]) -> list[Stretch]:
    """The same time, in order and without overlaps."""
    out: list[Stretch] = []
    for start, end in sorted(stretches):
        if out and start <= out[-1][1]:
            out[-1] = out[-1][0], max(out[-1][1], end)
        else:
            out.append((start, end))
    return out


@dataclass(frozen=True, slots=True)
class Range:
    """How a left-open range is written: Prometheus 2 counts a sample on the left edge, 3 does not."""

    closed_start: bool

    def __call__(self, length_ms: int) -> str:
        return f"[{length_ms - 1 if self.closed_start else length_ms}ms]"

    def steps(self, length_ms: int, step_s: int) -> str:
        """Of a subquery, evaluated at whole multiples of `step_s`."""
        return f"[{length_ms - 1 if self.closed_start else length_ms}ms:{step_s}s]"


class Asking:
    """One objective's parts. `at_ms` is the moment of the reading, by the server's clock."""

    def __init__(self, objective: Objective, exclusions: Sequence[Exclusion]) -> None:
        self.objective = objective
        self.indicator: Ratio | Limit | None = objective.indicator if isinstance(objective, Slo) else None
        self.windows = windows_of(objective)
        self.slices: Slices | None = None
        if isinstance(objective, Slo) and objective.budgeting is Budgeting.TIMESLICES:
            self.slices = objective.slices
        for query in self.queries.values():
            try:
                promql_parser.parse(query)
            except ValueError as error:
                raise NotAskable(f"not PromQL: {error}") from None
        if isinstance(objective, Threshold) and objective.statistic is not Statistic.LATEST:
            raise NotAskable("a ratio is counted in Postgres only; write it as PromQL, with statistic latest")
        self._excluded = merged(
            self._whole_slices((milliseconds(each.from_at), milliseconds(each.until_at)))
            for each in exclusions
            if each.slo == objective.name and each.in_force
        )

    @property
    def queries(self) -> Mapping[str, str]:
        """The objective's own queries by what they count: total, good, bad, or value."""
        if isinstance(self.indicator, Ratio):
            some = {"good": self.indicator.good, "bad": self.indicator.bad, "total": self.indicator.total}
            return {name: source.query for name, source in some.items() if source is not None}
        source = self.indicator.source if isinstance(self.indicator, Limit) else self._threshold_source()
        return {"value": source.query}

    @property
    def trended(self) -> bool:
        return self.indicator is not None

    @property
    def counted(self) -> bool:
        return isinstance(self.objective, Slo) and self.objective.consecutive is not None

    @property
    def step_s(self) -> int:
        """How far apart the moments lie at which windows are counted, where they are counted in steps."""
        return self.slices.width_s if self.slices else LIMIT_STEP_S

    @property
    def _reading_s(self) -> int:
        """A measured value is one event in so many seconds."""
        return min(LIMIT_STEP_S, self.step_s)

    def stands(self, key: str) -> bool:
        """Whether a figure of `parts` stays as it is until the next step."""
        what, _, window_s = key.partition(" ")
        if what not in ("good", "total") or (self.slices is None and not isinstance(self.indicator, Limit)):
            return False
        return window_s.startswith("cut") or int(window_s) % self.step_s == 0

    def parts(self, at_ms: int, left_open: Range) -> dict[str, str]:
        """Counts of every window, what exclusions cut out, newest samples, newest value."""
        found: dict[str, str] = {}
        for name, query in self.queries.items():
            for place, selector in enumerate(selectors(query)):
                found[f"newest {name} {place}"] = f"max(timestamp({selector}))"
            if name == "value":
                found["value"] = f"max({query})"
                found["series"] = f"count({query})"
        for window_s in self.windows:
            for what, expression in self._counts(window_s * 1_000, left_open).items():
                found[f"{what} {window_s}"] = expression
            for start, end in self.cut(at_ms, window_s):
                for what, expression in self._counts(end - start, left_open, end).items():
                    found[f"{what} cut {start} {end}"] = expression
        return found

    def older(self, name: str) -> dict[str, str]:
        """The newest sample of a query that has none in the last five minutes."""
        span = f"[{OLDEST_S}s:{_LOOKBACK_STEP_S}s]"
        return {
            f"newest {name} {place}": f"max(max_over_time(timestamp({selector}){span}))"
            for place, selector in enumerate(selectors(self.queries[name]))
        }

    def cut(self, at_ms: int, window_s: int) -> list[Stretch]:
        """What exclusions take out of the window that ends at `at_ms`."""
        first = at_ms - window_s * 1_000
        clipped = ((max(start, first), min(end, at_ms)) for start, end in self._excluded)
        return [(start, end) for start, end in clipped if start < end]

    def trend(self, left_open: Range) -> str:
        """The share of good events of the five minutes up to each step."""
        five = TREND_STEP_S * 1_000
        if isinstance(self.indicator, Limit):
            return f"avg_over_time({self._kept(left_open)}{left_open.steps(five, self._reading_s)})"
        return self._share(five, left_open)

    def trend_span(self) -> str:
        return f"[{TREND_POINTS * TREND_STEP_S * 1_000 - 1}ms:{TREND_STEP_S}s]"

    def streak(self, left_open: Range) -> str:
        """1 at each good minute: by the reading's side, or by its last five minutes and the objective."""
        if isinstance(self.indicator, Limit):
            return self._kept(left_open)
        share = self._share(300_000, left_open)
        return f"({share} >= bool {self._objective()})"

    def streak_span(self) -> str:
        return f"[{STREAK_S * 1_000 - 1}ms:{LIMIT_STEP_S}s]"

    def events(self, length_ms: int, left_open: Range) -> str:
        return self._events("total", length_ms, left_open)

    def _threshold_source(self) -> Any:
        assert isinstance(self.objective, Threshold)  # noqa: S101 - one of the two
        return self.objective.source

    def _objective(self) -> str:
        assert isinstance(self.objective, Slo)  # noqa: S101 - thresholds have no windows
        return f"{self.objective.objective:f}"

    def _whole_slices(self, stretch: Stretch) -> Stretch:
        """An excluded stretch takes out every slice that it touches."""
        if self.slices is None:
            return stretch
        width = self.slices.width_s * 1_000
        return stretch[0] // width * width, -(-stretch[1] // width) * width

    def _counts(self, length_ms: int, left_open: Range, until_ms: int | None = None) -> dict[str, str]:
        at = "" if until_ms is None else f" @ {until_ms / 1_000:.3f}"
        if self.slices is not None:
            return self._slice_counts(self.slices, length_ms, left_open, at)
        if isinstance(self.indicator, Limit):
            steps = left_open.steps(length_ms, self._reading_s)
            return {
                "good": f"sum_over_time({self._kept(left_open)}{steps}{at})",
                "total": f"count_over_time({self._kept(left_open)}{steps}{at})",
            }
        return {name: self._events(name, length_ms, left_open, at) for name in self.queries}

    def _slice_counts(self, slices: Slices, length_ms: int, left_open: Range, at: str) -> dict[str, str]:
        """Slices without events do not count."""
        width_ms, steps = slices.width_s * 1_000, left_open.steps(length_ms, slices.width_s)
        if isinstance(self.indicator, Limit):
            share = f"avg_over_time({self._kept(left_open)}{left_open.steps(width_ms, self._reading_s)})"
        else:
            share = self._share(width_ms, left_open)
        judged = f"({share} >= bool {slices.target:f})"
        return {
            "good": f"sum_over_time({judged}{steps}{at})",
            "total": f"count_over_time({judged}{steps}{at})",
        }

    def _kept(self, left_open: Range) -> str:
        """1 where the measured value is on the good side, 0 where it is not, nothing without a new sample."""
        assert isinstance(self.indicator, Limit)  # noqa: S101 - callers ask
        query = self.indicator.source.query
        if is_selector(query):
            query = f"last_over_time({query}{left_open(self._reading_s * 1_000)})"
        return f"(max({query}) {_SIGN[self.indicator.op]} bool {self.indicator.bound!r})"

    def _events(self, name: str, length_ms: int, left_open: Range, at: str = "") -> str:
        assert isinstance(self.indicator, Ratio)  # noqa: S101 - callers ask
        query = self.queries[name]
        if self.indicator.counter:
            return f"sum(increase({query}[{length_ms}ms]{at}))"
        return f"sum(sum_over_time({query}{left_open(length_ms)}{at}))"

    def _share(self, length_ms: int, left_open: Range) -> str:
        """Good of all events; nothing where there were none. Good events that are missing are none."""
        total = self._events("total", length_ms, left_open)
        if "bad" in self.queries:
            bad = self._events("bad", length_ms, left_open)
            return f"(({total} - {bad}) / ({total} > 0))"
        good = self._events("good", length_ms, left_open)
        return f"(({good} or 0 * {total}) / ({total} > 0))"


def is_selector(query: str) -> bool:
    """Whether the query is a plain selector, whose samples have times of their own."""
    return isinstance(promql_parser.parse(query), promql_parser.VectorSelector)


def selectors(query: str) -> tuple[str, ...]:
    """Every plain selector in the query: the series that it rests on."""
    found: list[str] = []

    def look(node: Any) -> bool:
        vector = node.vector_selector if isinstance(node, promql_parser.MatrixSelector) else node
        if isinstance(vector, promql_parser.VectorSelector):
            found.append(vector.prettify())
        return True

    promql_parser.walk(promql_parser.parse(query), look)
    return tuple(dict.fromkeys(found))
