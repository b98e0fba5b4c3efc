"""`cockpit recon`: what the trading side's reconciliation found, line by line. It changes nothing."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from cockpit.cli.answers import Answer, UsageFault
from cockpit.cli.columns import aligned, percent, span
from cockpit.cli.wiring import postgres_address, settings_of
from cockpit.domain.breakers import Scope, UnknownInstrument, scope_of, symbol_of
from cockpit.domain.documents import rfc3339
from cockpit.domain.reconciliation import (
    BREACH_AT,
    CLEAN_WANTED,
    MOST_COUNTED,
    Line,
    LineState,
    ReconRun,
    ReconSnapshot,
)
from cockpit.domain.text import clean

_HEAD: Final = ("STATE", "INSTRUMENT", "KIND", "MISMATCHES", "CLEAN", "PASSED 24 H", "LAG", "AGE", "FOUND")
_UNNAMED: Final = "(no instrument)"


def recon(options: argparse.Namespace) -> Answer:
    """Every line, the worst first, or one instrument's with what differs. A store that cannot be read is
    exit 5: what is not known is not clean."""
    settings = settings_of(options)
    snapshot = asyncio.run(_read(postgres_address(settings.credentials(options.login))))
    lines = worst_first(snapshot)
    if options.symbol is not None:
        lines = tuple(each for each in lines if each.symbol == options.symbol)
        if not lines and f"instrument:{options.symbol}" not in settings.catalogue:
            known = (symbol_of(name) for name in settings.catalogue.ids if scope_of(name) is Scope.INSTRUMENT)
            raise _no_such(options.symbol, known, snapshot)
    document = {
        "lines": [line_fields(each, snapshot.at) for each in lines],
        "faults": list(snapshot.faults),
        "observed_at": rfc3339(snapshot.at),
    }
    shown = table(lines, snapshot.at)
    if options.symbol is not None:
        shown = (*shown, *(text for each in lines for text in differences(each)))
    return Answer(document, shown, messages=tuple(clean(each, 300) for each in snapshot.faults))


async def _read(dsn: str) -> ReconSnapshot:
    from backends.reconciliation_store import ReconciliationStore

    store = ReconciliationStore(dsn)
    try:
        return await store.reconciliations()
    finally:
        await store.close()


def worst_first(snapshot: ReconSnapshot) -> tuple[Line, ...]:
    order = list(LineState)
    return tuple(sorted(snapshot.lines, key=lambda each: order.index(each.state(snapshot.at))))


def table(lines: Sequence[Line], at: datetime) -> tuple[str, ...]:
    """A row for each line."""
    if not lines:
        return ("UNKNOWN: no reconciliation run is recorded.",)
    return aligned([_HEAD, *(_row(each, at) for each in lines)], frozenset({3, 4, 5, 6, 7}))


def _row(line: Line, at: datetime) -> Sequence[str]:
    return (
        line.state(at).value.upper(),
        line.symbol or _UNNAMED,
        line.kind.value,
        f"{line.k} of {BREACH_AT}",
        _clean_words(line.clean),
        "unknown" if line.pass_rate is None else percent(line.pass_rate),
        "-" if line.lag is None else str(line.lag),
        span(line.age(at).total_seconds()),
        _found(line),
    )


def _clean_words(cycles: int) -> str:
    """`1 of 2`; of more than are wanted how many, with a `+` where they are counted no further."""
    if cycles <= CLEAN_WANTED:
        return f"{cycles} of {CLEAN_WANTED}"
    return f"{cycles}{'+' if cycles >= MOST_COUNTED else ''} ({CLEAN_WANTED} wanted)"


def _found(line: Line) -> str:
    run = line.last
    many = len(run.mismatches) + run.unlisted
    gaps = sum(each.missing for each in run.gaps)
    parts = (
        f"{many} differ" if many else "",
        f"{gaps} fills missing" if gaps else "",
        "the ledger is ahead of the engine" if line.lag is not None and line.lag < 0 else "",
        run.doubt,
    )
    return ", ".join(part for part in parts if part)


def differences(line: Line) -> Iterator[str]:
    """What differed in the newest run that could be judged, with both sides."""
    run = line.last if line.last.mismatches or line.last_known is None else line.last_known
    if not run.mismatches:
        return
    yield ""
    yield f"{line.kind.value} run {run.run_id} of {rfc3339(run.started_at)}:"
    rows = [("  ID", "VENUE", "BOOKS", "DIFFERENCE")]
    for each in run.mismatches:
        rows.append((f"  {each.name}", f"{each.venue:f}", f"{each.books:f}", f"{each.difference:+f}"))
    yield from aligned(rows, frozenset({1, 2, 3}))
    if run.unlisted:
        yield f"  and {run.unlisted} more"


def line_fields(line: Line, at: datetime) -> dict[str, object]:
    """One line as JSON; amounts and the pass rate as strings."""
    rate = line.pass_rate
    return {
        "symbol": line.symbol,
        "kind": line.kind.value,
        "state": line.state(at).value,
        "mismatches_in_a_row": line.consecutive,
        "breach_at": BREACH_AT,
        "clean_cycles": line.clean,
        "clean_wanted": CLEAN_WANTED,
        "runs_24h": {"clean": line.passed, "mismatch": line.failed, "unknown": line.unknown},
        "pass_rate": None if rate is None else str(round(rate, 6)),
        "engine_seq": line.engine_seq,
        "ledger_seq": line.ledger_seq,
        "lag": line.lag,
        "gaps": [{"first": each.first, "last": each.last} for each in line.gaps],
        "age_s": round(line.age(at).total_seconds(), 3),
        "last": _run_fields(line.last),
        "last_known": None if line.last_known is None else _run_fields(line.last_known),
    }


def _run_fields(run: ReconRun) -> dict[str, object]:
    return {
        "run_id": run.run_id,
        "status": run.verdict.value,
        "doubt": run.doubt,
        "started_at": rfc3339(run.started_at),
        "mismatches": [
            {"id": each.name, "venue": f"{each.venue:f}", "books": f"{each.books:f}"}
            for each in run.mismatches
        ],
        "unlisted": run.unlisted,
    }


def _no_such(symbol: str, known: Iterable[str], snapshot: ReconSnapshot) -> UsageFault:
    return UsageFault(str(UnknownInstrument(symbol, dict.fromkeys((*known, *snapshot.symbols)))))
