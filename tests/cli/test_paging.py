"""`cockpit pager`, `cockpit pages`, and what `cockpit silence` refuses; tests/debian makes real silences."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from tests.cli.bastion import Bastion, manned
from tests.cli.commands import NOTES, ROOT, cockpit, inside
from tests.pager.outbox import Desk, paged, paging, until
from tests.pager.receiver import Receiver, answers, receiving
from tests.prometheus.server import free_port
from tests.trading_platform import Platform

SILENCE = "0b0f5b4c-5d0f-4f5e-8a39-0d5a1d0b8e11"
ADD = ("silence", "add", "--minutes", "30", "--notes", NOTES, "--matcher", "breaker_id=instrument:BTC-USD")


@pytest.fixture
async def desk(platform: Platform) -> AsyncIterator[Desk]:
    async with platform.connection() as owner:
        yield Desk(platform, owner)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


BARE = """default_login = "operator1"
evidence_url = "memory:///"
[catalogue]
components = ["execution"]
[logins.operator1]
postgres_dsn = "postgresql://operator1:x@127.0.0.1:9/x"
"""


def settings(folder: Path, text: str, base: str = BARE) -> Path:
    """Settings with this `[paging]`; the bare ones name no store that answers."""
    path = folder / "paging.toml"
    path.touch(0o600)
    path.write_text(f"{base}\n[paging]\n{text}\n")
    return path


async def test_the_service_delivers_and_the_backlog_shows_it(desk: Desk, receiver: Receiver) -> None:
    config = desk.platform.config
    before = await inside(config, "pages")
    assert (before.code, before.out) == (6, "No page waits.\n")
    assert "No pager has ever run here" in before.err
    grave = await desk.incident("P0", "It \x1b[31mburns")
    receiver.default = answers("403 Forbidden", b"invalid_token")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": "/nonexistent",
        "SLO_PAGING_ENABLED": "true",
        "SLO_PAGING_WEBHOOK_URL": f"{receiver.url}/T0KEN-77",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cockpit", "pager", "--config", str(config)),
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=ROOT,
    )
    try:
        await receiver.until(1)
        receiver.default = answers("200 OK")
        fine = await desk.incident("P1")
        await receiver.until(2)
        await desk.settled()
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    log = said.decode()
    assert "this pager pages webhook" in log
    assert "webhook given-up: it answered 403" in log
    assert "T0KEN-77" not in log  # I27
    assert receiver.received[0].path == "/T0KEN-77"

    done = await inside(config, "pages", "--json", "--login", "monitor1")
    found = done.document
    assert (done.code, found["waiting"], found["failed"]) == (6, 0, 1)
    assert found["pager"]["alive"] is False  # it has gone, and said so
    (page,) = found["pages"]
    assert (page["incident_id"], page["given_up"], page["next_attempt_at"]) == (str(grave), True, None)
    assert page["last_error"] == "it answered 403"
    assert "REFUSED FOR GOOD: 1 grave page;" in done.err
    assert "No pager is running (last sign " in done.err
    assert "`cockpit pages retry` sends again what was given up" in done.err
    table = await inside(config, "pages")
    assert "GIVEN UP" in table.out
    assert "\x1b" not in table.out + table.err  # I26
    assert str(fine) not in table.out


async def test_what_was_below_the_minimum_is_not_called_delivered(desk: Desk, receiver: Receiver) -> None:
    async with paging(paged(desk.platform, webhook_url=receiver.url)):
        await desk.incident("P2")
        await desk.incident("P3")
        await desk.settled()
        done = await inside(desk.platform.config, "pages", "--login", "monitor1")
    assert done.code == 0, done.err
    said = "2 pages of the last day below the minimum severity (1 P2, 1 P3) went to nobody"
    assert f"{said}; every other page is delivered." in done.out.splitlines()
    assert receiver.received == []
    await desk.incident("P1")
    waits = await inside(desk.platform.config, "pages", "--login", "monitor1")
    assert f"1 page waits. {said}." in waits.out.splitlines()
    found = (await inside(desk.platform.config, "pages", "--json")).document
    assert (found["waiting"], found["below_minimum"]) == (1, {"P2": 1, "P3": 1})


async def test_doctor_says_whether_anybody_is_paged(desk: Desk, receiver: Receiver) -> None:
    async def lines(config: Path) -> list[str]:
        done = await inside(config, "doctor")
        return [line for line in done.out.splitlines() if " page" in line]

    assert "none has ever run here" in (await lines(desk.platform.config))[0]
    async with desk.platform.connection("pager") as pager:
        await pager.execute("SELECT pager_sign('p', '{webhook}', 'critical', '{webhook: it answered 500}')")
    found = await lines(desk.platform.config)
    assert found[0].startswith("OK    pager: pages webhook, seen")
    assert found[1].startswith("WARN  pager: webhook: it answered 500")
    broken = await lines(
        settings(desk.platform.folder, 'min_severity = "all"', desk.platform.config.read_text())
    )
    assert broken[0].startswith("BAD   pager: paging.min_severity: 'all' is neither")


async def test_what_was_given_up_is_sent_again(desk: Desk, receiver: Receiver) -> None:
    receiver.script.extend([answers("400 No"), answers("400 No")])
    async with (
        manned(desk.platform) as bastion,
        paging(paged(desk.platform, webhook_url=receiver.url)),
    ):
        nothing = await bastion.run("pages", "retry", "--all", "--yes")
        assert (nothing.code, nothing.document["audit_seq"]) == (0, None), nothing.err
        grave, over = await desk.incident("P0", "It \x1b[31mburns"), await desk.incident("P1")

        async def refused() -> bool:
            return bool((await desk.state())["failed"] == 2)

        await until(refused)
        await desk.resolve(over)
        listed = (await bastion.run("pages")).document["pages"]  # that it is over may still be on its way
        numbers = [str(row["page"]) for row in listed if row["given_up"]]

        asked = await bastion.run("pages", "retry", *numbers)
        assert asked.code == 2
        assert "Nothing was sent. It sends 1 page again to webhook" in asked.document["message"]
        table = await inside(bastion.config, "pages", "retry", "--all")
        assert "\x1b" not in table.out + table.err  # I26
        assert f"page {numbers[0]}: P0 trigger to webhook: It" in table.out
        assert "(stays as it is: its incident is over)" in table.out
        assert (await bastion.run("pages", "retry", "--all", "--yes", "--login", "monitor1")).code == 3

        done = await bastion.run("pages", "retry", *numbers, "999", "--yes")
        assert (done.code, done.document["outcome"]) == (0, "done"), done.err
        assert done.document["message"] == (
            f"1 page is sent again, to webhook. Not so: page {numbers[1]}: its incident is over; "
            "page 999: it was not given up."
        )
        await receiver.until(3)
        await desk.settled()
        assert receiver.received[2].body["incident_id"] == str(grave)
        again = await bastion.run("pages", "retry", numbers[0], "--yes")
        assert (again.code, f"page {numbers[0]}: it was not given up" in again.err) == (4, True), again.err
        assert len(receiver.received) == 3
    action = "SELECT action FROM audit_log WHERE seq = $1"
    assert await desk.owner.fetchval(action, done.document["audit_seq"]) == "PAGES_RETRIED"
    story = "SELECT kind, actor, audit_seq FROM incident_events WHERE incident_id = $1"
    line = await desk.owner.fetchrow(story, grave)
    assert tuple(line) == ("paged-again", "operator1", done.document["audit_seq"])


@pytest.mark.parametrize("arguments", [(), ("1", "--all"), ("x",), ("0",), ("1", "--notes", "short")])
async def test_a_retry_that_cannot_be_understood(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = await inside(settings(tmp_path, ""), "pages", "retry", *arguments, "--json")
    assert (done.code, done.document["outcome"]) == (2, "refused"), done.err


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "paging.enabled: not true"),
        ("enabled = true", "and nobody to page"),
        ('min_severity = "all"', "paging.min_severity: 'all' is neither critical nor warning"),
    ],
)
async def test_a_pager_with_settings_that_page_nobody_says_so(tmp_path: Path, text: str, line: str) -> None:
    done = await cockpit(settings(tmp_path, text), "pager")
    assert (done.code, line in done.err) == (2, True), done.err


async def test_bad_paging_settings_stop_no_trip(platform: Platform) -> None:
    """Somebody else's variable must not keep a person from halting. # I6"""
    from tests.cli.commands import trip_arguments

    env = {"SLO_PAGING_MIN_SEVERITY": "nonsense", "SLO_PAGING_WEBHOOK_URL": "s3cr3t"}
    done = await cockpit(platform.config, *trip_arguments("instrument:BTC-USD"), env=env)
    assert done.code == 0, done.err
    assert "SLO_PAGING_" in done.err
    assert "s3cr3t" not in done.err  # I27


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("silence", "add", "--minutes", "5", "--notes", NOTES), "--matcher"),
        ((*ADD, "--matcher", "x"), "has no ="),
        (("silence", "add", "--minutes", "1441", *ADD[4:]), "minutes"),
        (("silence", "add", "--minutes", "0", *ADD[4:]), "minutes"),
        (("silence", "add", "--minutes", "5", "--notes", "short", *ADD[6:]), "notes"),
        ((*ADD[:-1], "alertname=~.*"), "match everything"),
        (ADD, "paging.alertmanager_url: missing"),
        (("silence", "expire", "x", "--notes", NOTES), "is not an id"),
        (("silence",), "silence list or silence add or silence expire"),
    ],
)
async def test_a_silence_that_cannot_be_understood(
    tmp_path: Path, arguments: tuple[str, ...], why: str
) -> None:
    done = await inside(settings(tmp_path, ""), *arguments, "--json")
    assert (done.code, why in done.err) == (2, True), done.err


async def test_nobody_answers(tmp_path: Path) -> None:
    config = settings(tmp_path, f'alertmanager_url = "http://user:s3cr3t@127.0.0.1:{free_port()}"')
    for arguments in (("silence", "list"), (*ADD, "--yes")):
        done = await inside(config, *arguments, "--json")
        assert (done.code, "Alertmanager is unreachable" in done.err) == (5, True), done.err
        assert "s3cr3t" not in done.err + done.out  # I27


@pytest.mark.parametrize(
    ("conduct", "code"),
    [
        (answers("200 OK", b"no JSON"), 5),
        (answers("200 OK", b'{"a": 1}'), 5),
        (answers("200 OK", b'[{"labels": 1}]'), 5),
        (answers("302 Found", location="http://127.0.0.1:9/"), 5),
        (answers("500 Oops"), 5),
        (answers("400 Bad Request", b'"bad \x1b[31m matcher"'), 2),
    ],
)
async def test_something_else_answers(tmp_path: Path, receiver: Receiver, conduct: object, code: int) -> None:
    receiver.default = conduct  # type: ignore[assignment]
    config = settings(tmp_path, f'alertmanager_url = "{receiver.url}"')
    done = await inside(config, *ADD, "--yes", "--json")
    assert done.code == code, done.err
    assert "\x1b" not in done.err  # I26


async def test_a_silence_that_is_not_made_is_not_called_done(platform: Platform, receiver: Receiver) -> None:
    """It is recorded; then Alertmanager fails. # I25"""
    nothing = answers("200 OK", b"[]")
    with platform.config.open("a") as config:
        config.write(f'\n[paging]\nalertmanager_url = "{receiver.url}"\n')
    async with manned(platform) as bastion:
        receiver.default = nothing
        receiver.script.extend([nothing, nothing, answers("500 Oops")])
        done = await bastion.run(*ADD, "--yes")
        assert (done.code, done.document["outcome"]) == (5, "refused"), done.document
        assert "recorded, and nothing is silenced" in done.document["message"]
        assert done.document["silence_id"] is None
        assert done.document["audit_seq"] is not None
        await _refused(bastion)
        await _grave(bastion, receiver)


async def _grave(bastion: Bastion, receiver: Receiver) -> None:
    """A P0 cannot be snoozed, nor can anybody but a safety-admin silence its alert."""
    labels = {"alertname": "CockpitIncident", "severity": "critical", "breaker_id": "instrument:BTC-USD"}
    times = dict.fromkeys(("startsAt", "endsAt", "updatedAt"), "2026-03-01T12:00:00.000Z")
    status = {"state": "active", "silencedBy": [], "inhibitedBy": []}

    def fires(priority: str) -> None:
        alert = {"labels": {**labels, "priority": priority}, "annotations": {}, "status": status, **times}
        one, made = (json.dumps(each).encode() for each in ([alert], {"silenceID": SILENCE}))
        receiver.script.extend([answers("200 OK", one), answers("200 OK", one), answers("200 OK", made)])

    fires("P0")
    asked = len(receiver.received)
    denied = await bastion.run(*ADD, "--yes")
    assert (denied.code, denied.document["outcome"]) == (3, "refused"), denied.document
    assert "covers 1 alert of P0, which operator1 (operator-act) may not silence" in denied.err
    assert len(receiver.received) == asked + 2  # looked, and made nothing
    receiver.script.clear()
    for priority, login in (("P1", "operator1"), ("P0", "admin1")):
        fires(priority)
        done = await bastion.run(*ADD, "--yes", "--login", login)
        assert (done.code, done.document["silence_id"]) == (0, SILENCE), done.err


async def _refused(bastion: Bastion) -> None:
    """What the authority itself refuses to record, whoever asks past the command line."""
    from tests.authority.desk import Desk as Asking

    asking = Asking(bastion.platform, bastion.platform.settings, bastion.venue)
    try:
        for reason, target in (
            ("add", '1441 a="b"'),
            ("add", 'a="b"'),
            ("add", "5 "),
            ("add", '5 a="\x1b[31m"'),
            ("add", "5 " + "x" * 3_000),
            ("expire", "../x"),
            ("other", '5 a="b"'),
        ):
            row = await asking.ask(Kind.SILENCE, GLOBAL, reason=reason, target=target)
            assert (row.status, row.code) == ("refused", "malformed"), (reason, target, row)
        row = await asking.ask(Kind.SILENCE, GLOBAL, "monitor1", reason="add", target='5 a="b"')
        assert row.status == "denied"
    finally:
        await asking.close()
