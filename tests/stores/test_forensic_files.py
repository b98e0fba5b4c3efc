"""What a forensic bundle takes from the trading side's files: bounded, of this incident only, no secrets."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backends import forensic_files
from backends.forensic_files import Artefact, Artefacts
from cockpit.domain.documents import rfc3339

OPENED = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
UNTIL = OPENED + timedelta(hours=1)
RUN = "20260302T020000Z-abc123"
ADDRESSES = ("redis://operator1:s%C3%A4crets-of-redis@h:1/0", "postgresql://u:short@h/d", "redis://h:1")


def line(minutes: float, what: str = "x") -> bytes:
    at = rfc3339(OPENED + timedelta(minutes=minutes))
    return json.dumps({"event_id": what, "event_type": "change", "at": at, "run_id": RUN}).encode() + b"\n"


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    (tmp_path / "runs" / RUN).mkdir(parents=True)
    (tmp_path / "logs").mkdir()
    return tmp_path


def found(platform: Path, run_id: str | None = RUN) -> dict[str, Artefact]:
    files = Artefacts(platform / "runs", platform / "logs", ADDRESSES)
    return {each.name: each for each in files.found(run_id, OPENED, UNTIL)}


def test_the_artefacts_of_its_own_run_only(platform: Path) -> None:
    other = platform / "runs" / "other"
    other.mkdir()
    (other / "ops_slo_events.jsonl").write_bytes(line(1))
    run = platform / "runs" / RUN
    (run / "incident_events.jsonl").write_bytes(line(-600) + b"torn \xff")
    (run / "data_quality_latest.json").write_bytes(b'{"at": "now"}')
    (run / "secrets.txt").write_bytes(b"no artefact")
    made = found(platform)
    assert made["run/incident_events.jsonl"].data == line(-600) + b"torn \xff", "evidence stays as it lies"
    assert made["run/data_quality_latest.json"].data == b'{"at": "now"}'
    assert [(each.data, each.why) for name, each in made.items() if "ops_slo" in name] == [
        (None, "there is no such file")
    ]
    assert len(made) == 6 and all(name.startswith("run/") for name in made)
    assert found(platform, None) == {}, "an incident of no run has no run's files"


def test_nothing_is_followed_out_of_the_folders(platform: Path) -> None:
    outside = platform / "outside.jsonl"
    outside.write_bytes(line(1, "mine"))
    run = platform / "runs" / RUN
    (run / "ops_slo_events.jsonl").symlink_to(outside)
    os.mkfifo(run / "incident_events.jsonl")  # opened to be read, it would wait for ever
    (platform / "logs" / "a.jsonl").symlink_to(outside)
    (platform / "runs" / "linked").symlink_to(platform)
    made = found(platform)
    assert "link" in made["run/ops_slo_events.jsonl"].why
    assert "pipe" in made["run/incident_events.jsonl"].why
    assert "link" in made["audit_logs/a.jsonl"].why
    for name in ("linked", "..", "../outside", "gone"):
        [(where, missing)] = [each for each in found(platform, name).items() if each[0].startswith("run")]
        assert where == "run/" and missing.data is None and missing.why
    assert all(each.data is None for each in made.values())


def test_what_the_settings_do_not_name_or_nobody_made(tmp_path: Path) -> None:
    [only] = Artefacts(None, None, ()).found(RUN, OPENED, UNTIL)
    assert (only.name, only.data) == ("run/", None) and "[runs] results" in only.why
    gone = Artefacts(tmp_path / "gone", tmp_path / "away", ()).found(RUN, OPENED, UNTIL)
    assert {each.name for each in gone} == {"run/", "audit_logs/"} and all(each.why for each in gone)


def test_audit_logs_give_the_lines_of_the_stretch(platform: Path) -> None:
    whole = line(-5) + b"no event\n" + line(0) + b"garbage\n" + line(60) + line(61) + b"later garbage\n"
    (platform / "logs" / "a.jsonl").write_bytes(whole)
    (platform / "logs" / "notes.txt").write_bytes(line(1))
    made = found(platform, None)
    assert made == {"audit_logs/a.jsonl": Artefact("audit_logs/a.jsonl", line(0) + b"garbage\n" + line(60))}


def test_only_the_end_is_read_and_the_cut_is_said(platform: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(line(1))
    monkeypatch.setattr(forensic_files, "MOST_KEPT", 2 * size + 5)
    monkeypatch.setattr(forensic_files, "MOST_SEARCHED", 4 * size + 5)
    monkeypatch.setattr(forensic_files, "MOST_LOGS", 2)
    (platform / "runs" / RUN / "ops_slo_events.jsonl").write_bytes(line(1) * 5)
    logs = platform / "logs"
    (logs / "begins-within.jsonl").write_bytes(line(1) * 6)
    (logs / "begins-before.jsonl").write_bytes(line(-9) * 4 + line(1))
    (logs / "old.jsonl").write_bytes(line(1))
    os.utime(logs / "old.jsonl", (0, 0))
    made = found(platform)
    run = made["run/ops_slo_events.jsonl"]
    assert (run.data, run.why) == (line(1) * 2, f"cut: {3 * size} bytes before these were not taken")
    within = made["audit_logs/begins-within.jsonl"]
    assert (within.data, within.why) == (line(1) * 2, f"cut: {4 * size} bytes before these were not taken")
    assert made["audit_logs/begins-before.jsonl"] == Artefact("audit_logs/begins-before.jsonl", line(1))
    assert "audit_logs/old.jsonl" not in made and "newest 2 files" in made["audit_logs/"].why


def test_no_password_is_taken(platform: Path) -> None:  # I27
    told = '"postgresql://app:hunter22@db/x" säcrets-of-redis s%C3%A4crets-of-redis redis://:p4ss@h short a@b'
    (platform / "runs" / RUN / "incident_events.jsonl").write_text(told)
    only = found(platform)["run/incident_events.jsonl"]
    assert only.data == b'"postgresql://app:***@db/x" *** *** redis://:***@h short a@b'
    assert only.blanked == 4
