"""Indicators of OpenSLO: which query of which source gives the good events, all events, or a value."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from backends.openslo_fields import MAX_DESCRIPTION, Fields
from backends.promql import BadQuery, counter_query, value_query
from cockpit.domain.slos import Ratio, Source, SourceKind

FIGURES: Final = ("oldest-unacknowledged-critical-min",)
FIGURE: Final = "figure:"
_SLI_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_KINDS: Final = tuple(kind.value for kind in SourceKind)

Sli = Ratio | Source
"""A ratio of events, or the source of a measured value."""


def read_sli(spec: Fields) -> Sli:
    """The `spec` of an SLI, inline or of its own.

    Raises:
        BadObjective: with file, line and field.
    """
    spec.only(("description", "ratioMetric", "thresholdMetric"))
    spec.optional("description", MAX_DESCRIPTION)
    kind = spec.exactly_one(("ratioMetric", "thresholdMetric"), "an indicator is one of the two")
    if kind == "thresholdMetric":
        return metric_source(spec.fields(kind, "give it a metricSource"), value_query)
    return _ratio(spec.fields(kind, "give it counter, good or bad, and total"))


def _ratio(metric: Fields) -> Ratio:
    raw = "ratios computed beforehand cannot be weighted by events; give good or bad, and total"
    metric.only(("counter", "good", "bad", "total"), {"raw": raw, "rawType": raw})
    counter = metric.flag("counter", "write true for counts that only rise, false for events since the last")
    part = metric.exactly_one(("good", "bad"), "give the good events or the bad ones")
    total = metric_source(metric.fields("total", "give the query of all events"), counter_query)
    some = metric_source(metric.fields(part, "give it a metricSource"), counter_query)
    if some.kind is not total.kind:
        raise metric.fault(part, f"comes from {some.kind} and total from {total.kind}; take both from one")
    if total.kind is SourceKind.POSTGRES and part == "bad":
        raise metric.fault(part, "sli_samples holds good and total; write good")
    if total.kind is SourceKind.POSTGRES and some != total:
        raise metric.fault(
            part, f"names the sli {some.query!r} and total {total.query!r}; a sample holds both, so name one"
        )
    return Ratio(total, some if part == "good" else None, some if part == "bad" else None, counter)


def metric_source(holder: Fields, check: Callable[[str], str], figures: bool = False) -> Source:
    """The `metricSource` in `holder`. `check` is the rule for PromQL; `figures`: whether `spec.figure` may
    stand in for an sli, as in a threshold."""
    if not figures:
        holder.only(("metricSource",))
    right = "write {type: Prometheus, spec: {query: …}} or {type: Postgres, spec: {sli: …}}"
    source = holder.fields("metricSource", right)
    where = "sources are configured in the settings; write type: Prometheus or type: Postgres"
    source.only(("type", "spec"), {"metricSourceRef": where})
    kind = SourceKind(source.choice("type", _KINDS))
    spec = source.fields("spec", right)
    if kind is SourceKind.PROMETHEUS:
        spec.only(("query",))
        try:
            return Source(kind, check(spec.raw("query", "write the PromQL of it")))
        except BadQuery as error:
            raise spec.fault("query", str(error)) from None
    if figures:
        spec.only(("sli", "figure"))
        if spec.exactly_one(("sli", "figure"), "write sli: NAME or figure: NAME") == "figure":
            return Source(kind, FIGURE + spec.choice("figure", FIGURES))
    spec.only(("sli",), {"figure": "figures are for thresholds only; write sli: NAME"})
    name = spec.text("sli", "write the name under which sli_samples has it")
    if not _SLI_NAME.fullmatch(name):
        raise spec.fault("sli", f"{name!r} is no sli; write a name as in sli_samples, such as order_success")
    return Source(kind, name)
