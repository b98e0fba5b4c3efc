"""The triage list of the first-five-minutes page, top to bottom. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cockpit.domain.incident_page import IncidentPage
from cockpit.domain.text import clean
from cockpit.domain.triage_facts import CYCLE_STALE_S, Part, Reconciled
from widgets.board import Board
from widgets.incident_clocks import ack_clock, clock_words, severity_style, severity_words, state_words
from widgets.line import Line, Span, cut
from widgets.minutes_entry import (
    READ_S,
    Entry,
    Mark,
    aged,
    fact,
    good_while_fresh,
    paragraph,
    unreadable,
)
from widgets.times import clock, clock_s
from widgets.triage_words import recovery_words


def triage_entries(board: Board, page: IncidentPage, cells: int) -> list[Entry]:
    """What the operations runbook asks for first, in its order; each with its age, or why it is unread."""
    now = page.now(board.monotonic)
    return [
        *_halt(page, board.monotonic, cells),
        *_breach(page, now, cells),
        *_acknowledgement(board, page, now, cells),
        *_reconciliations(page, now, cells),
        *_quality(page, now, cells),
        *_changes(page, now, cells),
        *_class(page, cells),
        *_next(page, cells),
    ]


def title_entries(board: Board, page: IncidentPage, now: datetime, cells: int) -> list[Entry]:
    """What the page is about, its clock, and how old all of this is."""
    part = page.minutes.incident
    row = part.value
    if row is None:
        why = part.fault or "there is no such incident"
        return unreadable("title", "incident", why, cells)
    expiry_s = board.limits.acknowledgement_expiry_s
    said: list[Span] = [
        (severity_words(row), severity_style(row)),
        state_words(row, now),
        ack_clock(row, now, expiry_s, narrow=True),
    ]
    said.append((clean(row.owner or "nobody", 30), "" if row.owner else "warn"))
    line: Line = ((" ", ""),)
    for each in said:
        line = (*line, each, (" · ", "dim")) if each[0] else line
    line = (*line, (clean(row.title, 400), "strong"))
    return [Entry("title", cut(line, cells), (row.title, f"id {row.incident_id}"))]


def read_words(page: IncidentPage, monotonic: float, error: str | None) -> Span:
    """How old the page is as a whole."""
    age = page.age_s(monotonic)
    if error:
        return (f"UNREADABLE now: {clean(error, 120)}; this is {age:.0f} s old", "bad")
    return (
        (f"STALE: all of it is {age:.0f} s old", "bad") if age > READ_S else (f"read {age:.0f} s ago", "dim")
    )


def _halt(page: IncidentPage, monotonic: float, cells: int) -> list[Entry]:
    """The gateway's own word, and what stands halted. Their age is the reading's: their clocks are others."""
    part = page.minutes.halt
    age = aged(page.age_s(monotonic), READ_S)
    halt = part.value
    if halt is None:
        entries = unreadable("halt", "gateway", part.fault or "not read", cells)
    else:
        until = f" until {clean(halt.until, 40)}" if halt.until else ""
        said: Span = (
            (f"HALTED: {clean(halt.reason, 120)}{until}", "halted")
            if halt.reason
            else ("trading, nothing is halted", "")
        )
        health = f" · {_health(halt.healthy)}: {clean(halt.detail, 120)}"
        feed = "" if halt.feed_age_s is None else f", feed {halt.feed_age_s:.1f} s old"
        more = (
            f"trading: {halt.reason or 'nothing is halted'}{until}",
            f"{_health(halt.healthy)}: {halt.detail}{feed}",
        )
        well = good_while_fresh(halt.healthy, page.age_s(monotonic), READ_S)
        # Whether it should be halted is nobody's to judge here.
        mark: Mark = "" if well and halt.reason else well
        entries = fact("halt", "gateway", mark, [said, (health + feed, ""), age], cells, more)
    return [*entries, *_halts(page, cells, age)]


def _health(healthy: bool) -> str:
    return "healthy" if healthy else "NOT HEALTHY"


def _halts(page: IncidentPage, cells: int, age: Span) -> list[Entry]:
    part = page.minutes.halts
    if part.value is None:
        return unreadable("halts", "halted", part.fault or "not read", cells)
    names = [*part.value.switches, *part.value.breakers]
    words = ", ".join(clean(each, 60) for each in names) if names else "nothing: everything trades"
    shown = words if len(words) <= 100 else f"{len(names)}: {words[:80]}…"
    return fact("halts", "halted", "", [(shown, "halted" if names else ""), age], cells, (words,))


def _breach(page: IncidentPage, now: datetime, cells: int) -> list[Entry]:
    part = page.minutes.breach
    if part.fault:
        return unreadable("breach", "last SLO", part.fault, cells)
    breach = part.value
    if breach is None:
        return fact("breach", "last SLO", "", [("no breach is known", "")], cells)
    state = recovery_words(breach) or f"BREACHED ({clean(breach.severity, 20)})"
    mark: Mark = None if breach.recovered and not breach.proved else breach.recovered
    text = f"{clean(breach.slo, 60)} {state}: {clean(breach.text, 120)}"
    more = (f"{breach.slo} {state}: {breach.text}", f"read from {clean(breach.source, 120)}")
    return fact("breach", "last SLO", mark, [(text, ""), aged(part.age_s(now))], cells, more)


def _acknowledgement(board: Board, page: IncidentPage, now: datetime, cells: int) -> list[Entry]:
    part = page.minutes.acknowledgement
    found, row = part.value, page.minutes.incident.value
    if found is None or row is None:
        return unreadable("ack", "ack", part.fault or "there is no such incident", cells)
    words, style = clock_words(row, now, board.limits.acknowledgement_expiry_s)
    claim = f" · its run folder says: {clean(found.run_says, 80)}" if found.run_says else ""
    return fact("ack", "ack", found.status != "open", [(words, style), (claim, "dim")], cells, (words, claim))


def _reconciliations(page: IncidentPage, now: datetime, cells: int) -> list[Entry]:
    """Order, position, ledger in a line each where something differs; one for all where nothing does."""
    minutes = page.minutes
    parts = (("order", minutes.orders), ("position", minutes.positions), ("ledger", minutes.ledger))
    if not any(part.value or part.fault for _, part in parts):
        return fact("recon", "recon", None, [("no reconciliation is known", "unknown")], cells)
    if all(part.value and all(run.status == "clean" for run in part.value) for _, part in parts):
        return _all_clean(parts, now, cells)
    entries: list[Entry] = []
    for name, part in parts:
        label = "recon" if not entries else ""
        if part.fault:
            entries += unreadable(f"recon-{name}", label, f"{name}: {part.fault}", cells)
        elif not part.value:
            said: list[Span] = [(f"{name}: no run is known", "unknown")]
            entries += fact(f"recon-{name}", label, None, said, cells)
        else:
            entries += _runs(name, label, part.value, now, cells)
    return entries


def _all_clean(
    parts: Sequence[tuple[str, Part[tuple[Reconciled, ...]]]], now: datetime, cells: int
) -> list[Entry]:
    runs = [run for _, part in parts for run in part.value or ()]
    counts = ", ".join(f"{name} {len(part.value or ())}" for name, part in parts)
    lags = [run.lag for run in runs if run.lag is not None]
    lag = f" · {max(lags)} still in flight" if lags and max(lags) > 0 else ""
    oldest = max((now - run.at).total_seconds() for run in runs)
    claims = [run.source for run in runs if not run.proved]
    said: list[Span] = [(f"all clean: {counts}{lag}", ""), *_only(claims), aged(oldest, CYCLE_STALE_S)]
    mark = None if claims else good_while_fresh(True, oldest, CYCLE_STALE_S)
    return fact("recon", "recon", mark, said, cells, [_run_words(run, now) for run in runs])


def _runs(name: str, label: str, runs: tuple[Reconciled, ...], now: datetime, cells: int) -> list[Entry]:
    bad = [run for run in runs if run.status == "mismatch"]
    unknown = [run for run in runs if run.status not in ("mismatch", "clean")]
    oldest = max((now - run.at).total_seconds() for run in runs)
    claims = [] if bad or unknown else [run.source for run in runs if not run.proved]
    mark = False if bad else None if unknown or claims else good_while_fresh(True, oldest, CYCLE_STALE_S)
    words = [f"{clean(run.symbol or 'all', 20)} {run.mismatches} differ" for run in bad]
    words += [f"{clean(run.symbol or 'all', 20)} {clean(run.status, 20)}" for run in unknown]
    lags = [run.lag for run in runs if run.lag is not None]
    lag = f" · ledger {max(lags)} behind" if lags and max(lags) > 0 else ""
    said = ", ".join(words) or f"{len(runs)} clean"
    style = "bad" if bad else "unknown" if unknown else ""
    more = [_run_words(run, now) for run in runs]
    return fact(
        f"recon-{name}",
        label,
        mark,
        [(f"{name}: {said}{lag}", style), *_only(claims), aged(oldest, CYCLE_STALE_S)],
        cells,
        more,
    )


def _only(claims: Sequence[str]) -> list[Span]:
    """Of what is good by the word of whoever may write a file, and so not known to be."""
    return [(f" · only {clean(claims[0], 60)} says so", "unknown")] if claims else []


def _run_words(run: Reconciled, now: datetime) -> str:
    ids = f": {', '.join(clean(each, 60) for each in run.ids)}" if run.ids else ""
    seqs = "" if run.engine_seq is None else f", engine {run.engine_seq}, ledger {run.ledger_seq}"
    head = f"{clean(run.kind, 20)} {clean(run.symbol or 'all', 30)} {clean(run.status, 20)}"
    return (
        f"{head}, {run.mismatches} differ{ids}{seqs}, {clock(run.at, now)} UTC, from {clean(run.source, 80)}"
    )


def _quality(page: IncidentPage, now: datetime, cells: int) -> list[Entry]:
    part = page.minutes.quality
    if part.fault:
        return unreadable("quality", "quality", part.fault, cells)
    found = part.value
    if found is None:
        return fact("quality", "quality", None, [("no data-quality cycle is known", "unknown")], cells)
    text = f"{clean(found.status, 20)}: {found.errors} errors, {found.stale_warnings} stale warnings"
    age_s = part.age_s(now)
    claims = [found.source] if found.clean and not found.proved else []
    said = [(text, "" if found.clean else "bad"), *_only(claims), aged(age_s, CYCLE_STALE_S)]
    mark = None if claims else good_while_fresh(found.clean, age_s, CYCLE_STALE_S)
    return fact("quality", "quality", mark, said, cells, (text, f"read from {clean(found.source, 120)}"))


def _changes(page: IncidentPage, now: datetime, cells: int) -> list[Entry]:
    part = page.minutes.changes
    if part.fault:
        return unreadable("changes", "changes", part.fault, cells)
    found = part.value or ()
    if not found:
        return fact("changes", "changes", "", [("none is known", "dim")], cells)
    newest = found[0]
    rest = f" · {len(found) - 1} more: enter" if len(found) > 1 else ""
    said: list[Span] = [(f"{clock(newest.at, now)} {clean(newest.what, 120)} by {clean(newest.by, 40)}", "")]
    more = [
        f"{clock_s(each.at)} {clean(each.what, 200)} by {clean(each.by, 60)} ({clean(each.source, 60)})"
        for each in found
    ]
    return fact("changes", "changes", "", [*said, (rest, "dim")], cells, more)


def _class(page: IncidentPage, cells: int) -> list[Entry]:
    """What it is classified as, and what it looks like, with what speaks for that."""
    minutes, row = page.minutes, page.minutes.incident.value
    found = minutes.suggestion
    given = clean(row.classification, 40) if row else "?"
    same = row is not None and row.classification == found.classification.value
    if not found.evidence:
        said: list[Span] = [(f"{given}; nothing that was read speaks for any", "dim")]
        mark: Mark = ""
    else:
        words = (
            f"{given}, and it looks like it"
            if same
            else f"{given}, but it looks like {found.classification.value}"
        )
        said = [(words, "" if same else "warn"), (f": {clean(found.evidence[0].text, 160)}", "dim")]
        mark = True if same else ""
    unread = f" · unread: {', '.join(found.unread)}" if found.unread else ""
    more = [f"for {each.classification.value}: {each.text}" for each in (*found.evidence, *found.against)]
    return fact("class", "class", mark, [*said, (unread, "unknown")], cells, [*more, unread])


def _next(page: IncidentPage, cells: int) -> list[Entry]:
    """The decision tree's next step."""
    step = page.minutes.next_step
    why = f" ({clean(step.why, 200)})" if step.why else ""
    head: Line = ((f" {'next':<9}", "title"), (f"{step.number}/{step.of} ", "key"))
    text = f"{clean(step.text, 300)}{why}"
    return paragraph("next", head, text, "strong", cells, (f"branch {step.branch.value}", text), 2)
