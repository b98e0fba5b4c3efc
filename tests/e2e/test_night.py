"""One night of the on-call, from the page to the hand-over, on one real demo: by keys until the incident is
somebody's, by the command line from then on.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.commands import Done
from tests.e2e.demo import ASKS_S, World, half_open_of, started, until
from tests.screen.conftest import Cockpit
from tests.screen.test_first_minutes import open_page, whole
from tests.screen.test_incidents_panel import change, panel

EXECUTION = "component:execution"
MINE = "mine: an order of the venue never reached the books"
CAUSE = "the venue's report of an order was lost, and was asked for again"
_RUNS = "SELECT count(*) FROM reconciliation_runs"
_BREACH = """
SELECT incident_id::text || ' ' || severity || ' ' || classification || ' ' || status || ' ' || opened_by
  FROM incidents WHERE source = 'guard' AND breaker_id = $1
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with started(tmp_path_factory.mktemp("night") / "data") as made:
        yield made


async def cycle(world: World, http: httpx.AsyncClient, order_drift: int) -> None:
    """One reconciliation cycle with this fault, now instead of in its turn."""
    before = await world.query(_RUNS)
    (await http.put("/faults", json={"order_drift": order_drift})).raise_for_status()
    await until(lambda: world.query(f"{_RUNS} HAVING count(*) > $1", before))


async def pages(http: httpx.AsyncClient, incident: str) -> list[dict[str, Any]]:
    """What has arrived at the demo's receiver."""
    found = (await http.get("/pages")).raise_for_status().json()["pages"]
    return [each for each in found if each["incident_id"] == incident]


async def accepted(world: World, *words: str) -> Any:
    done = await world.inside(*words)
    assert done.code == 0, (words, done.out, done.err)
    return done.document


def refused(done: Done, *words: str) -> None:
    assert (done.code, done.document["outcome"]) == (4, "refused"), done.out
    assert all(word in done.document["message"] for word in words), done.document["message"]


async def test_from_the_first_mismatch_to_the_hand_over(world: World, tmp_path: Path) -> None:
    # I1 I7 I9 I22 I24 I25
    await world.becomes(EXECUTION, "CLOSED")
    async with world.gateway() as http:
        symbol, incident = await breached(world, http)
        latch = f"latch:{symbol}"
        async with world.screen("operator1") as screen:
            await triaged_by_keys(screen, symbol)
            await paged(http, incident, "trigger")
            await change(screen, "a", notes=MINE)
            await screen.shows("◐ ACKED", "by operator1")
        await paged(http, incident, "trigger", "acknowledge")

        await accepted(world, "incident", "link", incident, "--breaker", EXECUTION)
        assert (await world.trip(EXECUTION)).code == 0
        release = ("latch", "release", symbol, "--reason", CAUSE, "--yes")
        resolve = ("incident", "resolve", incident, "--notes", CAUSE)
        await cycle(world, http, 1)
        clean = ("2 clean reconciliations in a row since: ", f"{symbol} 0 of 2")
        refused(await world.half_open(EXECUTION), "recovery: ", *clean)
        refused(await world.inside(*release), "2 consecutive clean reconciliation cycles", "has 0")
        refused(await world.inside(*resolve), *clean)
        assert (await world.gate())[f"instrument:{symbol}"].latched

        await healed(world, http, symbol)
        document = await accepted(world, *release)
        assert (document["breaker_id"], document["state"]) == (latch, "CLOSED"), document
        assert not (await world.gate())[f"instrument:{symbol}"].latched
        await resumed(world)
        await accepted(world, *resolve)
        refused(await world.inside(*resolve), "is resolved")
        await paged(http, incident, "trigger", "acknowledge", "resolve")
    await afterwards(world, incident, tmp_path / "night.tar.gz")


async def breached(world: World, http: httpx.AsyncClient) -> tuple[str, str]:
    """An order's report gets lost; the third mismatch sets the latch and opens the incident, by themselves.
    The symbol, and the incident's id."""
    latched = "SELECT breaker_id FROM incidents WHERE source = 'guard'"

    async def found() -> Any:
        await cycle(world, http, 1)
        return await world.query(latched)

    latch = await until(found, 120)
    symbol = str(latch).removeprefix("latch:")
    row = str(await world.query(_BREACH, latch)).split()
    assert row[1:] == ["P1", "reconciliation", "open", "automation1"], row
    assert (await world.gate())[f"instrument:{symbol}"].latched
    lines = (await accepted(world, "recon", symbol))["lines"]
    assert {each["kind"]: each["state"] for each in lines} == {
        "order": "breached",
        "position": "clean",
        "ledger": "clean",
    }
    return symbol, row[0]


async def triaged_by_keys(screen: Cockpit, symbol: str) -> None:
    """The first five minutes name the cause, and what has to hold before anything resumes."""
    await screen.shows(
        "operator-act", f"HALTED by latch:{symbol} · rule reconciliation-latch", "OPEN · LATCHED"
    )
    await open_page(screen)
    await screen.until(lambda: f"✗ order: {symbol} 1 differ" in whole(screen))
    await screen.until(lambda: "reconciliation-mismatch-runs BREACHED (critical)" in whole(screen))
    await screen.until(lambda: f"2 clean reconciliations in a row since: {symbol} 0 of 2" in whole(screen))
    await screen.press("escape")
    assert panel(screen).incident_id is not None


async def paged(http: httpx.AsyncClient, incident: str, *events: str) -> None:
    """The receiver has taken these, all under the incident's one key."""

    async def arrived() -> bool:
        return [each["event"] for each in await pages(http, incident)] == list(events)

    await until(arrived)
    found = await pages(http, incident)
    (key,) = {each["dedup_key"] for each in found}
    assert key.startswith("guard:reconciliation-latch:") and {each["severity"] for each in found} == {"P1"}


async def healed(world: World, http: httpx.AsyncClient, symbol: str) -> None:
    """Until two cycles in a row are clean."""

    async def twice() -> bool:
        await cycle(world, http, 0)
        lines = (await accepted(world, "recon", symbol))["lines"]
        return all(each["state"] == "clean" and each["clean_cycles"] >= 2 for each in lines)

    await until(twice, 120)


async def resumed(world: World) -> None:
    said: list[str] = []

    async def half_open() -> Done | None:  # the checklist's other items look back half a minute
        done = await world.inside(*half_open_of(EXECUTION))
        said.append(done.document["message"])
        assert done.code == 0 or "recovery" not in said[-1], done.out
        return done if done.code == 0 else None

    try:
        opened = await until(half_open, 120, ASKS_S)
    except AssertionError as error:
        raise AssertionError(f"not resumed: {said[-1]}") from error
    assert opened.document["state"] == "HALF_OPEN", opened.out
    probed = await world.run("probe", EXECUTION)
    assert [each["passed"] for each in probed.document["probes"]] == [True] * 5, probed.out
    closed = await world.close(EXECUTION)
    assert (closed.code, closed.document["state"]) == (0, "QUIET_PERIOD"), closed.out


async def afterwards(world: World, incident: str, target: Path) -> None:
    """What is made of it in the morning, all from the record."""
    text = (await accepted(world, "incident", "postmortem", incident))["markdown"]
    assert CAUSE in text and MINE in text and EXECUTION in text and "operator1" in text
    made = await accepted(world, "incident", "bundle", incident, "--output", str(target))
    assert made["missing"] == {} and made["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    check_bundle(target, incident)

    async def arrived() -> Any:  # the receiver has the last page before the pager has noted that
        page = await accepted(world, "handover")
        return page if not page["pages"]["lines"] else None

    page = await until(arrived)
    assert {line.split()[0] for line in page["halted"]["lines"]} <= {EXECUTION}  # its quiet period may run
    assert not page["acknowledged"]["lines"] and not page["overdue"]["lines"]
    assert any("postmortem" in line and incident in line for line in page["owed"]["lines"])
    assert any("INCIDENT_RESOLVED" in line for line in page["changes"]["lines"])
    verified = await world.run("audit", "verify", "--full", login="monitor1")
    assert (verified.code, verified.document["ok"]) == (0, True), verified.document


def check_bundle(target: Path, incident: str) -> None:
    """Every file is in the manifest under the sum that it has."""
    with tarfile.open(target) as tar:
        files = {each.name.partition("/")[2]: tar.extractfile(each) for each in tar.getmembers()}
        read = {name: file.read() for name, file in files.items() if file is not None}
    manifest = json.loads(read.pop("manifest.json"))
    assert manifest["incident_id"] == incident
    sums = {each["name"]: each["sha256"] for each in manifest["files"]}
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in read.items()}
    assert {"audit_log.jsonl", "redis.json", "verification.json"} <= set(read)
