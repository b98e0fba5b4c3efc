"""What a run folder says, beside what Postgres says. Pure.

A folder's word is a claim of whoever may write there. It may add a breach, a mismatch or a bad cycle to the
page, and is named as its source; it never stands in for what Postgres says worse, and no check ticks by it.
What it dates in the future is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from cockpit.domain.artefacts import (
    INCIDENTS,
    ORDERS,
    POSITIONS,
    QUALITY,
    QUALITY_LATEST,
    SLOS,
    FileView,
    RunLine,
    RunView,
)
from cockpit.domain.triage_facts import Breach, Change, DeskFacts, Part, Quality, Reconciled, T

MOST_CHANGES: Final = 20
SKEW: Final = timedelta(seconds=60)
_MOST_IDS: Final = 20


@dataclass(frozen=True, slots=True)
class Merged:
    breach: Part[Breach]
    reconciled: tuple[Reconciled, ...]
    quality: Part[Quality]
    changes: Part[tuple[Change, ...]]
    run_says: str

    def of(self, kind: str) -> Part[tuple[Reconciled, ...]]:
        """The newest runs of one kind; no value where there is none."""
        found = tuple(each for each in self.reconciled if each.kind == kind)
        return Part(found, max(each.at for each in found)) if found else Part()


def from_run(desk: DeskFacts | None, run: RunView | None, symbols: Sequence[str]) -> Merged:
    """Both sources in one; either may be missing."""
    said = _past(run, (desk.at if desk else run.at) + SKEW) if run is not None else None
    measured = desk.breach if desk else Part()
    breaches = [measured, *(_superseded(each, measured) for each in (_breaches(said) if said else ()))]
    changes = [*(desk.changes if desk else ()), *(_changes(said) if said else ())]
    changes.sort(key=lambda each: each.at, reverse=True)
    return Merged(
        _newest([part for part in breaches if part.value and not part.value.recovered] or breaches),
        _newest_runs(desk.reconciled if desk else (), tuple(_runs(said)) if said else (), symbols),
        _worse(desk.quality if desk else Part(), _newest(list(_quality(said)) if said else [])),
        Part(tuple(changes[:MOST_CHANGES]), changes[0].at if changes else None),
        _said(desk, said),
    )


def _past(run: RunView, until: datetime) -> RunView:
    def cut(view: FileView) -> FileView:
        return replace(view, lines=tuple(line for line in view.lines if line.at <= until))

    files = {name: cut(view) for name, view in run.files.items()}
    return replace(run, files=files, audit=tuple(cut(view) for view in run.audit))


def _newest(parts: Sequence[Part[T]]) -> Part[T]:
    known = [(part.at, part) for part in parts if part.at is not None]
    return max(known, key=lambda each: each[0])[1] if known else Part()


def _worse(desk: Part[Quality], run: Part[Quality]) -> Part[Quality]:
    if desk.value is None or desk.at is None:
        return run
    newer = run.at is not None and run.at > desk.at
    return run if newer and run.value is not None and not run.value.clean else desk


def _newest_runs(
    desk: Sequence[Reconciled], run: Sequence[Reconciled], symbols: Sequence[str]
) -> tuple[Reconciled, ...]:
    found = {(each.kind, each.symbol): each for each in desk}
    for each in sorted(run, key=lambda one: one.at):
        known = found.get((each.kind, each.symbol))
        if known is None or (known.at < each.at and (each.status != "clean" or not known.proved)):
            found[each.kind, each.symbol] = each
    return tuple(found[key] for key in sorted(found) if not key[1] or key[1] in symbols)


def _superseded(claim: Part[Breach], measured: Part[Breach]) -> Part[Breach]:
    """A claimed breach that was measured later, and over: the objective has been kept since."""
    said, known = claim.value, measured.value
    if said is None or known is None or not (known.recovered and known.proved) or said.slo != known.slo:
        return claim
    later = claim.at is not None and measured.at is not None and claim.at <= measured.at
    return measured if later else claim


def _breaches(run: RunView) -> Iterator[Part[Breach]]:
    lines = [each for each in run.file(SLOS).lines if each.event_type in ("slo_breach", "slo_recovered")]
    newest = {each.text("slo", 100): each for each in lines}
    for breach in lines:
        if breach.event_type == "slo_breach":
            slo = breach.text("slo", 100)
            text = f"{breach.text('value', 40)} against {breach.text('threshold', 40)}"
            recovered = newest[slo].event_type == "slo_recovered"
            found = Breach(slo, breach.text("severity", 20), text, recovered, f"{run.run_id}/{SLOS}")
            yield Part(found, breach.at)


def _quality(run: RunView) -> Iterator[Part[Quality]]:
    for name in (QUALITY, QUALITY_LATEST):
        line = run.file(name).last("quality_cycle")
        if line is None:
            continue
        errors, stale = line.whole("errors"), line.whole("stale_warnings")
        status = line.text("status", 20) if errors is not None and stale is not None else "unknown"
        yield Part(Quality(status, errors or 0, stale or 0, line.at, f"{run.run_id}/{name}"), line.at)


def _runs(run: RunView) -> Iterator[Reconciled]:
    for name in (ORDERS, POSITIONS):
        for line in run.file(name).lines:
            if line.event_type == "reconciliation":
                ids = _ids(line)
                yield Reconciled(
                    line.text("kind", 20),
                    line.text("symbol", 64),
                    line.text("status", 20) or "unknown",
                    line.at,
                    len(ids),
                    ids[:_MOST_IDS],
                    line.whole("engine_seq"),
                    line.whole("ledger_seq"),
                    f"{run.run_id}/{name}",
                )


def _ids(line: RunLine) -> tuple[str, ...]:
    listed = line.fields.get("mismatches")
    rows = listed if isinstance(listed, list) else []
    return tuple(str(row.get("id", row.get("symbol", "?"))) for row in rows if isinstance(row, dict))


def _changes(run: RunView) -> Iterator[Change]:
    for view in run.audit:
        for line in view.lines:
            if line.event_type == "change":
                yield Change(
                    line.at, line.text("what") or "unnamed", line.text("by", 60) or "unknown", view.name
                )


def _said(desk: DeskFacts | None, run: RunView | None) -> str:
    """What the folder's file says of the incident at hand, last."""
    own = desk.incident.run_incident if desk else None
    if own is None or run is None:
        return ""
    for line in reversed(run.file(INCIDENTS).lines):
        if line.text("incident_id", 64) == own and line.event_type in ("incident_ack", "incident_resolve"):
            word = "acknowledged" if line.event_type == "incident_ack" else "resolved"
            return f"{word} by {line.text('ack_by', 60) or 'nobody named'}"
    return ""
