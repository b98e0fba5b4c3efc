"""What `cockpit doctor` looks at besides the stores: objectives, their sources, guard, exporter, pager."""

from __future__ import annotations

from collections.abc import Sequence

from cockpit.cli.columns import span
from cockpit.cli.wiring import open_postgres, postgres_address
from cockpit.config import Credentials, Settings
from cockpit.domain.budgets import BudgetState
from cockpit.domain.facts import Fact, bad, ok, warn
from cockpit.domain.permissions import Role
from cockpit.domain.slo_reports import SloReport, SloSnapshot
from cockpit.domain.text import many

_UNMEASURED = (BudgetState.NO_DATA, BudgetState.STALE)
_PROMETHEUS_S = 3.0


async def objectives(settings: Settings, credentials: Credentials) -> Sequence[Fact]:
    """Whether the files load, and whether what they ask about is being measured.

    Raises:
        BadSettings: a file cannot be used; its line says where.
    """
    from cockpit.objectives import open_objectives

    reader = open_objectives(settings, postgres_address(credentials))
    try:
        snapshot = await reader.read()
    finally:
        await reader.close()
    if snapshot.book.empty and not snapshot.book.faults:
        return [warn("objectives", "none are loaded", "[slos] of the settings names their folders.")]
    mend = "Mend that line; until then the last good files hold."
    facts = [bad("objectives", fault, mend) for fault in snapshot.book.faults]
    facts += [warn("objectives", fault, "Their state is STALE or NO DATA.") for fault in snapshot.faults]
    return facts or [_measured(snapshot)]


def _measured(snapshot: SloSnapshot) -> Fact:
    missing = [each for each in snapshot.reports if each.state in _UNMEASURED]
    if missing:
        first = f"{missing[0].name}: {missing[0].why}"
        remedy = "Nothing that they concern can resume; the trading side writes `sli_samples`."
        text = f"{len(missing)} of {len(snapshot.reports)} have no fresh samples ({first})"
        return warn("objectives", text, remedy)
    red = [
        each.name
        for each in snapshot.reports
        if each.state is BudgetState.RED and isinstance(each, SloReport)
    ]
    spent = f"; RED: {', '.join(red)}" if red else ""
    return ok("objectives", f"{len(snapshot.reports)} loaded, all with fresh samples{spent}")


async def prometheus(url: str) -> Sequence[Fact]:
    """Whether it answers a query."""
    import httpx

    remedy = "Objectives that are measured there are STALE until it answers."
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=_PROMETHEUS_S) as client:
            answer = await client.get(f"{url}/api/v1/query", params={"query": "vector(1)"})
    except httpx.HTTPError as error:
        return [bad("prometheus", f"no answer ({type(error).__name__})", remedy)]
    if answer.status_code != httpx.codes.OK:
        return [bad("prometheus", f"answered HTTP {answer.status_code}", remedy)]
    return [ok("prometheus", f"answers in {answer.elapsed.total_seconds() * 1_000:.0f} ms")]


async def guard(settings: Settings, credentials: Credentials) -> Sequence[Fact]:
    """Whether one acts, and as whom the one of these settings would."""
    async with open_postgres(credentials) as store:
        found = (await store.snapshot()).guard
    facts = await _role("guard", settings, settings.guard_login, Role.AUTOMATION_ROLE)
    remedy = "Nothing trips by itself; start `cockpit guard`."
    if found is None:
        return [*facts, warn("guard", "none has ever run here", remedy)]
    if not found.alive:
        return [*facts, bad("guard", f"none is running, last seen {span(found.age_s)} ago", remedy)]
    seen = f"{found.holder}, term {found.term}, seen {found.age_s:.1f} s ago, {len(found.reports)} rules"
    faults = [warn("guard", fault, "`cockpit triggers` shows what still works.") for fault in found.faults]
    return [*facts, ok("guard", seen), *faults]


async def exporter(settings: Settings) -> Sequence[Fact]:
    """Whether its login can only read."""
    facts = await _role("exporter", settings, settings.exporter_login, Role.MONITORING_READ)
    return facts or [ok("exporter", f"would serve port {settings.metrics_port} as the login it is given")]


async def pager(settings: Settings, credentials: Credentials) -> Sequence[Fact]:
    """Whether anybody is paged, and whether pages arrive."""
    if settings.paging.fault:
        return [bad("pager", settings.paging.fault, "Until then no pager starts with these settings.")]
    async with open_postgres(credentials) as store:
        found = (await store.snapshot()).paging
    remedy = "Nobody is told of incidents; start `cockpit pager`."
    if found is None:
        return [bad("pager", "what waits to be paged could not be read", "`cockpit pages` says more.")]
    if found.age_s is None:
        return [warn("pager", "none has ever run here", remedy)]
    facts = [
        warn("pager", fault, "It goes on trying; `cockpit pages` shows what waits.") for fault in found.faults
    ]
    refused = [row for row in found.rows if row.given_up]
    if refused:
        first = f"{refused[0].receiver}: {refused[0].last_error}"
        were = "was" if len(refused) == 1 else "were"
        text = f"{many(len(refused), 'page')} {were} refused for good ({first})"
        facts.append(bad("pages", text, "Call whoever should have been paged; mend [paging]."))
    if not found.alive:
        waiting = f"none is running, last seen {span(found.age_s)} ago, {found.waiting} pages wait"
        return [bad("pager", waiting, remedy), *facts]
    seen = f"pages {', '.join(found.receivers)}, seen {found.age_s:.1f} s ago, {found.waiting} pages wait"
    return [ok("pager", seen), *facts]


async def _role(service: str, settings: Settings, login: str | None, wanted: Role) -> list[Fact]:
    """Nothing where it is as it should be, or cannot be seen from here."""
    if login is None or login not in settings.logins:
        return []
    async with open_postgres(settings.credentials(login)) as store:
        role = (await store.identity()).role
    if role is wanted:
        return []
    remedy = f"Give it a login with the role {wanted.value}."
    return [bad(f"{service} login", f"{login} is {role.value}", remedy)]
