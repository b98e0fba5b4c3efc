"""The forensic bundle, made by the real command on a desk that has tripped and resumed."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cockpit.domain.artefacts import LINE_FILES, QUALITY, QUALITY_LATEST
from cockpit.domain.audit import Entry, Head, verify_chain
from cockpit.domain.documents import parse_rfc3339, rfc3339
from tests.cli.bastion import Bastion, manned
from tests.cli.commands import moved
from tests.trading_platform import Platform

BTC = "instrument:BTC-USD"


@pytest.fixture
async def bastion(platform: Platform) -> AsyncIterator[Bastion]:
    async with manned(platform) as made:
        yield made


async def incident_of(bastion: Bastion) -> str:
    """The incident that a trip opened, once the authority has recorded it and written its evidence."""
    await bastion.recorded(await bastion.trip(BTC))
    async with bastion.platform.connection() as connection:
        return str(await connection.fetchval("SELECT incident_id FROM incidents WHERE breaker_id = $1", BTC))


def unpacked(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        files = {each.name.partition("/")[2]: tar.extractfile(each) for each in tar.getmembers()}
        return {name: file.read() for name, file in files.items() if isinstance(file, io.BufferedReader)}


def entry(line: str) -> Entry:
    fields = json.loads(line)
    details = fields.pop("details_text")
    stamp = parse_rfc3339(fields.pop("timestamp"))
    return Entry(**{**fields, "details": details, "timestamp": stamp})


async def test_a_bundle_holds_what_happened_and_proves_it(bastion: Bastion, tmp_path: Path) -> None:
    incident = await incident_of(bastion)
    target = tmp_path / "case.tar.gz"
    done = await bastion.run("incident", "bundle", incident, "--output", str(target), "--login", "monitor1")
    assert done.code == 0, done.err
    assert done.document["missing"] == {}
    assert done.document["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert target.stat().st_mode & 0o777 == 0o600
    files = unpacked(target)
    manifest = json.loads(files.pop("manifest.json"))
    assert {each["name"]: each["sha256"] for each in manifest["files"]} == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items()
    }
    assert manifest["incident_id"] == incident and manifest["made_by"] == "monitor1"
    entries = [entry(line) for line in files["audit_log.jsonl"].decode().splitlines()]
    start = Head(entries[0].seq - 1, entries[0].prev_hash)
    assert verify_chain(entries, start).seq == entries[-1].seq  # I24: the stretch is still a chain
    trips = [each for each in entries if each.action == "CIRCUIT_BREAKER_TRIP" and each.target == BTC]
    assert len(trips) == 1
    evidence = [data for name, data in files.items() if name.startswith("evidence/")]
    assert trips[0].evidence_sha256 in {hashlib.sha256(data).hexdigest() for data in evidence}
    assert json.loads(files["redis.json"])["keys"][f"trip:{BTC}"] == "2"
    assert json.loads(files["verification.json"])["ok"] is True


async def test_no_secret_is_bundled(bastion: Bastion, tmp_path: Path) -> None:
    incident = await incident_of(bastion)
    target = tmp_path / "case.tar.gz"
    assert (await bastion.run("incident", "bundle", incident, "--output", str(target))).code == 0
    everything = b"".join(unpacked(target).values())
    for login in bastion.platform.settings.logins.values():  # I27
        for url in (login.redis_url, login.postgres_dsn):
            password = url.partition("@")[0].rpartition(":")[2]
            assert password.encode() not in everything


async def test_the_run_folder_and_the_audit_logs_are_bundled(bastion: Bastion, tmp_path: Path) -> None:
    run, logs = tmp_path / "runs" / "run-7", tmp_path / "logs"
    run.mkdir(parents=True)
    logs.mkdir()
    async with bastion.platform.connection() as connection:
        incident, now = await connection.fetchrow(
            "INSERT INTO incidents (severity, title, run_id, run_incident)"
            " VALUES ('P1', 'drift', 'run-7', 'i-1')"
            " RETURNING incident_id::text, clock_timestamp()"
        )
    address = bastion.platform.settings.logins["operator1"].postgres_dsn
    told = {"event_type": "change", "at": rfc3339(now), "what": address}
    for path in (run / "incident_events.jsonl", logs / "run-7.jsonl"):
        path.write_text(json.dumps(told) + "\n")
    for name in LINE_FILES[1:-1]:
        (run / name).touch()
    (run / QUALITY_LATEST).write_text("{}")
    config = bastion.config.with_name("runs.toml")
    config.touch(0o600)
    config.write_text(
        f'{bastion.config.read_text()}\n[runs]\nresults = "{run.parent}"\naudit_logs = "{logs}"\n'
    )
    target = tmp_path / "case.tar.gz"
    done = await replace(bastion, config=config).run("incident", "bundle", incident, "--output", str(target))
    assert done.code == 5
    assert done.document["missing"] == {f"run/{QUALITY}": "there is no such file"}
    files = unpacked(target)
    manifest = json.loads(files["manifest.json"])
    sums = {each["name"]: each["sha256"] for each in manifest["files"]}
    kept = {*(f"run/{name}" for name in (*LINE_FILES[:-1], QUALITY_LATEST)), "audit_logs/run-7.jsonl"}
    assert {name for name in sums if name.startswith(("run/", "audit_logs/"))} == kept
    assert all(hashlib.sha256(files[name]).hexdigest() == sums[name] for name in kept)
    assert manifest["passwords_blanked"] == {"run/incident_events.jsonl": 1, "audit_logs/run-7.jsonl": 1}
    password = urlsplit(address).password
    assert password and password.encode() not in b"".join(files.values())  # I27
    assert json.loads(files["audit_logs/run-7.jsonl"])["at"] == rfc3339(now)


async def test_a_store_that_is_away_leaves_a_named_gap(bastion: Bastion, tmp_path: Path) -> None:
    incident = await incident_of(bastion)
    target = tmp_path / "case.tar.gz"
    config = moved(bastion.config, "no-redis.toml", redis=1)
    done = await replace(bastion, config=config).run("incident", "bundle", incident, "--output", str(target))
    assert done.code == 5
    assert list(done.document["missing"]) == ["redis.json"]
    assert json.loads(unpacked(target)["manifest.json"])["missing"] == done.document["missing"]


async def test_evidence_that_was_changed_is_named(bastion: Bastion, tmp_path: Path) -> None:
    incident = await incident_of(bastion)
    folder = bastion.platform.folder / "evidence" / "transitions"
    [path] = [path for path in folder.glob("*-OPEN.json") if BTC in path.read_text()]
    path.write_text("{}")
    target = tmp_path / "case.tar.gz"
    done = await bastion.run("incident", "bundle", incident, "--output", str(target))
    assert done.code == 5
    [(name, why)] = done.document["missing"].items()
    assert path.name in name and "another SHA-256" in why


async def test_refusals_leave_nothing_behind(bastion: Bastion, tmp_path: Path) -> None:
    target = tmp_path / "out" / "case.tar.gz"
    target.parent.mkdir()
    nobody = "00000000-0000-4000-8000-000000000000"
    done = await bastion.run("incident", "bundle", nobody, "--output", str(target))
    assert done.code == 2 and nobody in done.err
    target.write_text("mine")
    done = await bastion.run("incident", "bundle", nobody, "--output", str(target))
    assert done.code == 2 and "exists already" in done.err
    assert target.read_text() == "mine"
    assert [path.name for path in target.parent.iterdir()] == ["case.tar.gz"]
