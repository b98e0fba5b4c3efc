"""Single objects of OpenSLO and the cockpit's Threshold: from their fields to the domain's objectives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from backends.openslo_fields import MAX_DESCRIPTION, Fields
from backends.openslo_sources import FIGURE, Sli, metric_source, read_sli
from backends.promql import value_query
from cockpit.domain.breakers import BreakerId, Catalogue, InvalidBreakerId, UnknownBreaker
from cockpit.domain.incidents import Classification
from cockpit.domain.slos import (
    Budgeting,
    Consecutive,
    Limit,
    Op,
    Ratio,
    Slices,
    Slo,
    SourceKind,
    Statistic,
    Threshold,
)

MIN_WINDOW_S: Final = 3_600
MAX_WINDOW_S: Final = 366 * 86_400
_ANNOTATIONS: Final = (
    "cockpit/breaker",
    "cockpit/fresh",
    "cockpit/consecutive-over",
    "cockpit/classification",
)
_CLASSIFICATIONS: Final = tuple(each.value for each in Classification)
_CONSECUTIVE: Final = re.compile(r"([1-9]\d{0,3}) ([a-z][a-z -]{0,30})", re.ASCII)
_OPS: Final = tuple(op.value for op in Op)
_DEFAULT_FRESH_S: Final = 60
_995: Final = Decimal("0.995")
_FINEST: Final = Decimal("0.000000001")


class Meta(NamedTuple):
    """What stands in `metadata`."""

    name: str
    title: str
    breaker: BreakerId
    fresh_s: float
    consecutive: Consecutive | None
    classification: Classification


@dataclass(frozen=True, slots=True)
class Pending:
    """An SLO whose indicator is an SLI of its own, in this file or another."""

    meta: Meta
    spec: Fields
    reference: str
    line: int

    def resolved(self, slis: Mapping[str, Sli]) -> Slo:
        """
        Raises:
            BadObjective: no such SLI, or one that does not fit.
        """
        if self.reference not in slis:
            why = f"no SLI {self.reference!r} in any file; write kind: SLI of that name"
            raise self.spec.fault("indicatorRef", why)
        return _slo(self.meta, self.spec, slis[self.reference], self.line)


def read_slo(document: Fields, catalogue: Catalogue) -> Slo | Pending:
    """
    Raises:
        BadObjective: with file, line and field.
    """
    spec = document.fields("spec", "give it an indicator, a timeWindow, a budgetingMethod and objectives")
    known = "description service indicator indicatorRef timeWindow budgetingMethod objectives".split()
    spec.only(known, {"alertPolicies": "burn alerts over window pairs are built in; leave it out"})
    meta = _meta(document, catalogue)
    spec.optional("service")
    if spec.exactly_one(("indicator", "indicatorRef"), "give one of the two") == "indicatorRef":
        return Pending(meta, spec, spec.name("indicatorRef"), document.line)
    inline = spec.fields("indicator", "give it a spec")
    inline.only(("metadata", "spec"))
    if "metadata" in inline:
        plain_name(inline.fields("metadata", "give it a name"))
    sli = read_sli(inline.fields("spec", "give it a ratioMetric or a thresholdMetric"))
    return _slo(meta, spec, sli, document.line)


def read_threshold(document: Fields, catalogue: Catalogue) -> Threshold:
    """
    Raises:
        BadObjective: with file, line and field.
    """
    meta = _meta(document, catalogue)
    if meta.consecutive is not None:
        raise document.fault(
            "metadata", "cockpit/consecutive-over is for SLOs; bound a count of runs instead"
        )
    spec = document.fields("spec", "give it a metricSource, a statistic, op, value and unit")
    spec.only("description metricSource statistic window op value unit".split())
    statistic = Statistic(spec.choice("statistic", tuple(each.value for each in Statistic)))
    source = metric_source(spec, value_query, figures=True)
    window_s = 0
    if statistic is Statistic.LATEST and "window" in spec:
        raise spec.fault("window", "the latest value has none; leave it out, or take ratio")
    if statistic is not Statistic.LATEST:
        if source.kind is SourceKind.PROMETHEUS or source.query.startswith(FIGURE):
            raise spec.fault(
                "statistic", f"{statistic} needs an sli with good and total; take latest, or sli: NAME"
            )
        window_s = spec.duration_s("window", "write 1h")
        if window_s > MAX_WINDOW_S:
            raise spec.fault("window", "over 366 days; write less")
    bound = float(spec.number("value", "write the bound, such as 0.02"))
    if statistic is not Statistic.LATEST and not 0 <= bound <= 1:
        raise spec.fault("value", f"{bound:g} is no share; write 0 to 1, so 0.02 for 2 %")
    return Threshold(
        name=meta.name,
        title=meta.title,
        description=spec.optional("description", MAX_DESCRIPTION),
        source=source,
        statistic=statistic,
        window_s=window_s,
        op=Op(spec.choice("op", _OPS)),
        bound=bound,
        unit=spec.text("unit", "write what is counted, such as runs", 40),
        breaker=meta.breaker,
        fresh_s=meta.fresh_s,
        file=document.file,
        line=document.line,
        classification=meta.classification,
    )


def _slo(meta: Meta, spec: Fields, sli: Sli, line: int) -> Slo:
    window_s = _window(spec)
    budgeting = Budgeting(spec.choice("budgetingMethod", tuple(each.value for each in Budgeting)))
    objective = spec.single("objectives", "write exactly one; a second one is an SLO of its own")
    objective.only("displayName op value target targetPercent timeSliceTarget timeSliceWindow".split())
    objective.optional("displayName")
    return Slo(
        name=meta.name,
        title=meta.title,
        description=spec.optional("description", MAX_DESCRIPTION),
        objective=_target(objective),
        window_s=window_s,
        indicator=_indicator(objective, sli),
        budgeting=budgeting,
        slices=_slices(objective, budgeting, window_s),
        breaker=meta.breaker,
        consecutive=meta.consecutive,
        fresh_s=meta.fresh_s,
        file=spec.file,
        line=line,
        classification=meta.classification,
    )


def _window(spec: Fields) -> int:
    right = "write - {duration: 30d, isRolling: true}"
    window = spec.single("timeWindow", right)
    calendar = "only rolling windows are read; leave it out"
    window.only(("duration", "isRolling"), {"calendar": calendar})
    if not window.flag("isRolling", right):
        raise window.fault("isRolling", f"only rolling windows are read; {right}")
    seconds = window.duration_s("duration", right)
    if not MIN_WINDOW_S <= seconds <= MAX_WINDOW_S:
        raise window.fault("duration", "is not from 1h to 366d; write 30d")
    return seconds


def _target(objective: Fields) -> Decimal:
    key = objective.exactly_one(("target", "targetPercent"), "give the share of good events, such as 0.995")
    whole = Decimal(1 if key == "target" else 100)
    written = objective.number(key, "write a share such as 0.995")
    if written == whole:
        right = "0.999" if key == "target" else "99.9"
        raise objective.fault(
            key, f"100 % leaves no error budget: nothing could be spent or burnt; write {right} or less"
        )
    share = written / whole
    if not 0 < share < 1:
        raise objective.fault(
            key,
            f"{written} is no share of good events; write over 0 and under {whole}, such as {whole * _995}",
        )
    if share != share.quantize(_FINEST):
        raise objective.fault(key, "has over nine decimal places; write fewer")
    return share


def _indicator(objective: Fields, sli: Sli) -> Ratio | Limit:
    if isinstance(sli, Ratio):
        for key in ("op", "value"):
            if key in objective:
                raise objective.fault(key, "is for a thresholdMetric; a ratioMetric has good events instead")
        return sli
    right = "a thresholdMetric is held against op and value"
    if "op" not in objective:
        raise objective.missing("op", right)
    value = objective.number("value", right)
    return Limit(sli, Op(objective.choice("op", _OPS)), float(value))


def _slices(objective: Fields, budgeting: Budgeting, window_s: int) -> Slices | None:
    if budgeting is Budgeting.OCCURRENCES:
        for key in ("timeSliceTarget", "timeSliceWindow"):
            if key in objective:
                raise objective.fault(key, "is for budgetingMethod: Timeslices; leave it out")
        return None
    target = objective.number("timeSliceTarget", "write the share that makes a slice good, such as 0.99")
    if not 0 < target <= 1:
        raise objective.fault("timeSliceTarget", f"{target} is no share; write over 0 and up to 1")
    width_s = _slice_width(objective)
    if width_s > window_s or window_s % width_s:
        raise objective.fault("timeSliceWindow", "does not divide the timeWindow; write 1m")
    return Slices(width_s, target)


def _slice_width(objective: Fields) -> int:
    """A plain number counts minutes, as OpenSLO has it."""
    key = "timeSliceWindow"
    if objective.tag(key) != "int":
        return objective.duration_s(key, "write 1m")
    minutes = objective.number(key, "write 1m")
    if not 1 <= minutes <= 1_440:
        raise objective.fault(key, f"{minutes} minutes are no slice; write 1m to 1d")
    return int(minutes) * 60


def plain_name(metadata: Fields) -> str:
    """The name in a `metadata` of which nothing else matters."""
    metadata.only(("name", "displayName", "labels", "annotations"))
    metadata.optional("displayName")
    return metadata.name()


def _meta(document: Fields, catalogue: Catalogue) -> Meta:
    metadata = document.fields("metadata", "give it a name and its cockpit/breaker annotation")
    name = plain_name(metadata)
    right = "write cockpit/breaker: component:NAME"
    notes = metadata.fields("annotations", right)
    for key in notes.keys:
        if key.startswith("cockpit/") and key not in _ANNOTATIONS:
            raise notes.fault(key, f"no such annotation; known here are {', '.join(_ANNOTATIONS)}")
    try:
        breaker = catalogue.known_breaker(notes.text("cockpit/breaker", right))
    except (InvalidBreakerId, UnknownBreaker) as error:
        raise notes.fault("cockpit/breaker", f"{error.args[0]}; {right} of the catalogue") from None
    fresh_s = _DEFAULT_FRESH_S
    if "cockpit/fresh" in notes:
        fresh_s = notes.duration_s("cockpit/fresh", "write 60s", "smhd")
    if not 1 <= fresh_s <= 86_400:
        raise notes.fault("cockpit/fresh", "over a day says nothing of now; write 24h or less")
    consecutive = _consecutive(notes) if "cockpit/consecutive-over" in notes else None
    word = Classification.OTHER.value
    if "cockpit/classification" in notes:
        word = notes.choice("cockpit/classification", _CLASSIFICATIONS)
    title = metadata.optional("displayName") or name
    return Meta(name, title, breaker, float(fresh_s), consecutive, Classification(word))


def _consecutive(notes: Fields) -> Consecutive:
    key = "cockpit/consecutive-over"
    text = notes.text(key, "write 5 orders")
    match = _CONSECUTIVE.fullmatch(text)
    if match is None:
        raise notes.fault(key, f"{text!r} is not a count and what is counted; write 5 orders")
    return Consecutive(int(match[1]), match[2])
