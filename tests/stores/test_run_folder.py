"""Run folders on a real disk: what a screen is shown, what is written back, what hostile ones cost."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backends.folder_watch import FolderWatch
from backends.jsonl_tail import MOST_LINE, Place, Unreadable
from backends.run_acks import append_once
from backends.run_collector import Collector
from backends.run_folder import KEPT, RunFolders, newest_logs, newest_runs
from backends.side_thread import SideThread
from cockpit.domain.artefacts import INCIDENTS, ORDERS, QUALITY, QUALITY_LATEST, SLOS

AT = "2026-01-31T10:00:00Z"


def line(kind: str, **fields: object) -> bytes:
    return (
        json.dumps({"event_id": "e", "event_type": kind, "at": AT, "run_id": "r", **fields}).encode() + b"\n"
    )


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(data)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    (tmp_path / "logs").mkdir()
    return tmp_path / "runs"


@pytest.fixture
async def folders(results: Path) -> AsyncIterator[RunFolders]:
    made = RunFolders(results, results.parent / "logs")
    yield made
    await made.close()


async def test_the_newest_run_with_its_bad_lines_counted(folders: RunFolders, results: Path) -> None:
    write(results / "old" / SLOS, line("slo_breach", slo="old"))
    os.utime(results / "old", (1, 1))
    bad = (
        b"\xff\xfe\nnot json\n7\n[]\n{}\n"
        + b'{"event_type": "x", "at": "noon"}\n{"event_type": "x", "at": NaN}\n'
    )
    write(results / "new" / SLOS, line("slo_breach", slo="s\x1b[31m", value="0.9"))
    write(
        results / "new" / SLOS, bad + b"x" * (MOST_LINE + 1) + b"\n" + line("slo_recovered", slo="s") + b"{"
    )
    (results / "new" / QUALITY_LATEST).write_bytes(line("quality_cycle", status="clean"))
    write(results.parent / "logs" / "a.jsonl", line("change", what="deploy", by="ci"))
    view = await folders.view()
    slos = view.file(SLOS)
    assert (view.run_id, view.runs, view.faults) == ("new", 2, ())
    assert [each.event_type for each in slos.lines] == ["slo_breach", "slo_recovered"]
    assert slos.lines[0].text("slo") == "s\N{REPLACEMENT CHARACTER}[31m"  # I26
    assert (slos.bad, view.bad) == (8, 8)
    assert slos.newest_bad.startswith(f"{SLOS}:") and slos.newest_bad.endswith("over 65,536 bytes")
    assert slos.last("slo_breach") == slos.lines[0] and slos.latest == slos.lines[1]
    assert view.file(QUALITY_LATEST).lines[0].text("status") == "clean"
    assert view.audit[0].lines[0].text("what") == "deploy" and view.audit[0].name == "audit_logs/a.jsonl"
    assert view.file(ORDERS).lines == () and view.file("no such file").latest is None
    write(results / "new" / SLOS, b'"tail": 1}\n' + line("slo_breach", slo="again"))
    later = (await folders.view()).file(SLOS)
    assert later.bad == 9 and later.lines[-1].text("slo") == "again"
    assert (await folders.view("old")).file(SLOS).lines[0].text("slo") == "old"
    gone = await folders.view("none")
    assert gone.run_id == "" and gone.faults == ("run none: there is no such folder",)


def test_what_claims_to_be_of_tomorrow_hides_nothing(results: Path) -> None:
    tomorrow = time.time() + 86_400
    for number in range(3):
        write(results / f"forged{number}" / INCIDENTS, line("incident_open"))
        write(results.parent / "logs" / f"forged{number}.jsonl", line("change"))
        os.utime(results / f"forged{number}" / INCIDENTS, (tomorrow, tomorrow))
        os.utime(results / f"forged{number}", (tomorrow, tomorrow))
        os.utime(results.parent / "logs" / f"forged{number}.jsonl", (tomorrow, tomorrow))
    write(results / "real" / INCIDENTS, line("incident_open"))
    write(results.parent / "logs" / "real.jsonl", line("change"))
    assert newest_runs(results, 1) == (["real"], 4)
    assert newest_logs(results.parent / "logs", 1) == ["real.jsonl"]


def test_a_run_of_the_log_files_name_is_said(results: Path) -> None:
    write(results / "audit_logs" / INCIDENTS, line("incident_open"))
    write(results / "r" / INCIDENTS, line("incident_open"))
    collector = Collector(results, results.parent / "logs", {})
    found = collector.collect()
    collector.close()
    assert [told.run_id for told in found.told] == ["r"]
    assert found.faults == ["run audit_logs: not read, the name is the log files'; rename it"]


async def test_only_the_newest_lines_are_kept(folders: RunFolders, results: Path) -> None:
    write(results / "r" / QUALITY, b"".join(line("quality_cycle", n=n) for n in range(KEPT + 50)))
    lines = (await folders.view()).file(QUALITY).lines
    assert [each.whole("n") for each in lines] == list(range(50, KEPT + 50))


async def test_what_is_no_file_or_no_run_is_said_not_waited_for(folders: RunFolders, results: Path) -> None:
    run = results / "r"
    run.mkdir()
    (results / "secret").write_text("x")
    os.mkfifo(run / SLOS)
    (run / INCIDENTS).mkdir()
    (run / ORDERS).symlink_to(results / "secret")
    os.mkfifo(run / QUALITY_LATEST)
    (results / "linked").symlink_to(run)
    (results / ".hidden").mkdir()
    (results / "with\nnewline").mkdir()
    os.mkfifo(results.parent / "logs" / "p.jsonl")
    begin = time.monotonic()
    view = await folders.view()
    assert time.monotonic() - begin < 30
    assert view.runs == 1
    for name in (SLOS, INCIDENTS, QUALITY_LATEST):
        assert "no file" in view.file(name).fault
    assert "link" in view.file(ORDERS).fault and "no file" in view.audit[0].fault
    (run / SLOS).unlink()
    write(run / SLOS, line("slo_breach"))
    assert (await folders.view()).file(SLOS).fault == ""
    assert (await folders.view("linked")).faults


async def test_missing_folders_are_faults_and_garbage_as_a_whole_is_bad(results: Path) -> None:
    folders = RunFolders(results, results.parent / "logs")
    (results / "r").mkdir()
    (results / "r" / QUALITY_LATEST).write_bytes(b"half an ob")
    view = await folders.view()
    assert view.file(QUALITY_LATEST).bad == 1
    shutil.rmtree(results)
    shutil.rmtree(results.parent / "logs")
    view = await folders.view()
    assert len(view.faults) == 2 and view.run_id == ""
    await folders.close()
    nothing = RunFolders(None)
    assert (await nothing.view()).faults == ()
    await nothing.close()


async def test_thousands_of_runs(results: Path) -> None:
    for number in range(3_000):
        (results / f"run-{number:05}").mkdir()
    soon = time.time()
    os.utime(results / "run-00007", (soon + 20, soon + 20))
    long_lived = results / "run-00008" / INCIDENTS
    long_lived.touch()
    os.utime(long_lived.parent, (1e9, 1e9))  # what is appended to a file leaves its folder's time as it was
    os.utime(long_lived, (soon + 10, soon + 10))
    names, count = newest_runs(results, 3)
    assert (names[:2], len(names), count) == (["run-00007", "run-00008"], 3, 3_000)


async def test_a_change_wakes_whoever_waits(folders: RunFolders, results: Path) -> None:
    write(results / "r" / SLOS, line("slo_breach"))
    await folders.view()
    ends = time.monotonic() + 60
    while time.monotonic() < ends:  # until the watch is set up, a change may go unnoticed
        write(results / "r" / SLOS, line("slo_breach"))
        if await folders.wait(0.3):
            break
    assert folders.watching == "3 folders are watched"
    assert time.monotonic() < ends
    while await folders.wait(0.3):
        pass
    task = asyncio.create_task(folders.wait(60))
    (results / "r" / SLOS).rename(results / "r" / "old")  # a watched file would go silent here
    write(results / "r" / SLOS, line("slo_recovered"))
    assert await task  # and is not merely at the end of its patience
    assert [each.event_type for each in (await folders.view()).file(SLOS).lines][-1] == "slo_recovered"


async def test_what_cannot_be_watched_is_looked_at_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = FolderWatch()
    watch.follow([tmp_path / "missing"])
    await _said(watch, "looked at now and then: a folder is missing")

    def refuses(*_: object, **__: object) -> AsyncIterator[object]:
        raise OSError("no watches are left")

    monkeypatch.setattr("watchfiles.awatch", refuses)
    watch.follow([tmp_path])
    await _said(watch, "looked at now and then: no watches are left")
    watch.follow([])
    await watch.close()


async def _said(watch: FolderWatch, wanted: str) -> None:
    """Until it says so: its work is beside ours, and nothing changes meanwhile."""
    async with asyncio.timeout(30):
        while watch.how != wanted:
            assert await watch.wait(0.1) is False


# Writing back.


def ack(event_id: str = "11111111-2222-3333-4444-555555555555") -> dict[str, object]:
    return {"event_type": "incident_ack", "event_id": event_id, "notes": "é"}


def test_one_line_once_after_a_partial_one(results: Path) -> None:
    file = results / "r" / INCIDENTS
    write(file, line("incident_open") + b'{"event_type": "inc')
    assert append_once(results, "r", ack()) is True
    assert append_once(results, "r", ack()) is False
    assert append_once(results, "r", ack("other")) is True
    lines = file.read_bytes().splitlines()
    assert lines[1] == b'{"event_type": "inc' and [json.loads(each)["event_id"] for each in lines[2:]] == [
        ack()["event_id"],
        "other",
    ]
    assert file.read_bytes().endswith(b"\n")


def test_an_id_in_a_partial_line_or_another_field_is_not_the_event(results: Path) -> None:
    file = results / "r" / INCIDENTS
    text = json.dumps(ack()).encode()
    write(file, line("note", about=ack()["event_id"]) + text)  # whole but for its end: a writer died there
    assert append_once(results, "r", ack()) is True
    lines = file.read_bytes().splitlines()
    assert lines[1:] == [text, text]


def test_only_the_end_of_a_file_is_searched_however_long_it_is(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = results / "r" / INCIDENTS
    write(file, json.dumps(ack()).encode() + b"\n")
    with file.open("r+b") as grown:
        grown.truncate(1 << 42)  # no bytes of it are on the disk
    begin = time.monotonic()
    assert append_once(results, "r", ack()) is True
    assert append_once(results, "r", ack()) is False
    assert time.monotonic() - begin < 30
    monkeypatch.setattr("backends.run_acks._SEARCHED", 200)
    write(file, b"y" * 50 + b"\n")
    assert append_once(results, "r", ack()) is False
    write(file, b"y" * 200 + b"\n")
    assert append_once(results, "r", ack()) is True


def test_the_file_is_made_where_it_is_gone(results: Path) -> None:
    (results / "r").mkdir()
    assert append_once(results, "r", ack()) is True
    assert json.loads((results / "r" / INCIDENTS).read_bytes())["event_id"] == ack()["event_id"]


@pytest.mark.parametrize("run_id", ["none", "..", "a/b", "", "linked", "plain"])
def test_nothing_outside_a_run_is_written(results: Path, run_id: str) -> None:
    outside = results.parent / "outside"
    outside.mkdir()
    (results / "linked").symlink_to(outside)
    (results / "plain").write_text("x")
    with pytest.raises(Unreadable):
        append_once(results, run_id, ack())
    assert list(outside.iterdir()) == []


def test_what_stands_in_its_place_is_refused_and_a_held_lock_not_waited_for(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.run_acks.LOCK_S", 0.1)
    (results / "target").write_text("")
    for name, make in (
        ("a", lambda path: os.mkfifo(path)),
        ("b", lambda path: path.symlink_to(results / "target")),
        ("c", lambda path: path.mkdir()),
    ):
        (results / name).mkdir()
        make(results / name / INCIDENTS)
        with pytest.raises(Unreadable):
            append_once(results, name, ack())
    assert (results / "target").read_text() == ""
    file = results / "d" / INCIDENTS
    write(file, b"")
    with file.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Unreadable, match="lock"):
            append_once(results, "d", ack())
    assert append_once(results, "d", ack()) is True


def test_a_full_disk_is_said(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(results / "r" / INCIDENTS, line("incident_open"))
    real = os.write
    monkeypatch.setattr("backends.run_acks.os.write", lambda fd, data: real(fd, data[:10]))
    with pytest.raises(Unreadable, match="part"):
        append_once(results, "r", ack())
    monkeypatch.undo()
    assert append_once(results, "r", ack()) is True  # the part that got there is no event


# Collecting for the authority.


def collected(collector: Collector) -> list[str]:
    return [each.line.text("incident_id") or each.line.event_type for each in collector.collect().told]


def test_it_goes_on_where_its_predecessor_was(results: Path) -> None:
    logs = results.parent / "logs"
    write(
        results / "r" / INCIDENTS,
        line("incident_open", incident_id="a") + b"garbage incident_open\n" + line("other"),
    )
    write(logs / "l.jsonl", line("risk_warning") + line("risk_limit_breach") + line("incident_open"))
    first = Collector(results, logs, {})
    found = first.collect()
    assert {(each.run_id, each.line.event_type) for each in found.told} == {
        ("r", "incident_open"),
        ("", "risk_limit_breach"),
    }
    assert not found.more and set(found.places) == {f"r/{INCIDENTS}", "audit_logs/l.jsonl"}
    first.close()
    write(results / "r" / INCIDENTS, line("incident_open", incident_id="b"))
    second = Collector(results, logs, found.places)
    assert collected(second) == ["b"]
    second.close()
    foreign = Collector(results, logs, {f"r/{INCIDENTS}": Place(1, 5, b"x")})
    assert sorted(collected(foreign)) == ["a", "b", "risk_limit_breach"]
    foreign.close()


def test_a_large_file_is_taken_in_portions_and_starves_nobody(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.run_collector.MOST_BYTES", 4_096)
    write(
        results / "big" / INCIDENTS, b"".join(line("incident_open", incident_id=f"{n}") for n in range(500))
    )
    write(results / "small" / INCIDENTS, line("incident_open", incident_id="small"))
    collector = Collector(results, None, {})
    seen: list[str] = []
    turns = []
    for _ in range(60):
        found = collector.collect()
        turns.append(len(found.told))
        seen += [each.line.text("incident_id") for each in found.told]
        if not found.more:
            break
    assert sorted(seen) == sorted([*(f"{n}" for n in range(500)), "small"])
    assert max(turns) < 100 and "small" in seen[: sum(turns[:2])]
    collector.close()


def test_faults_of_a_folder_stop_nothing(results: Path) -> None:
    (results / "r").mkdir()
    os.mkfifo(results / "r" / INCIDENTS)
    write(results / "s" / INCIDENTS, line("incident_open", incident_id="ok"))
    collector = Collector(results, results / "none", {})
    found = collector.collect()
    assert [each.line.text("incident_id") for each in found.told] == ["ok"]
    assert len(found.faults) == 2
    shutil.rmtree(results)
    assert "run folders" in collector.collect().faults[0]
    collector.close()
    assert newest_logs(results.parent / "logs", 5) == []


def test_events_of_a_turn_are_bounded_and_the_place_is_behind_the_last_of_them(results: Path) -> None:
    lines = [line("incident_open", incident_id=f"{n}") for n in range(50)]
    write(results / "noisy" / INCIDENTS, b"not json\n" + b"".join(lines))
    write(results / "quiet" / INCIDENTS, line("incident_open", incident_id="quiet"))
    found = Collector(results, None, {}, most_lines=7).collect()
    names = [each.line.text("incident_id") for each in found.told]
    assert len(names) == 7 and "quiet" in names and found.more
    seen, places = list(names), found.places
    for _ in range(20):  # each time another one, as if the last had died
        found = Collector(results, None, places, most_lines=7).collect()
        assert len(found.told) <= 7
        seen += [each.line.text("incident_id") for each in found.told]
        places |= found.places
        if not found.more:
            break
    assert sorted(seen) == sorted([*(f"{n}" for n in range(50)), "quiet"])


def test_a_single_file_that_grows_is_read_again(results: Path) -> None:
    collector = Collector(results, None, {})
    for n in range(3):
        write(results / "r" / INCIDENTS, line("incident_open", incident_id=f"{n}"))
        assert collected(collector) == [f"{n}"]
    collector.close()


def test_one_collector_gives_lines_back_and_takes_them_later(results: Path) -> None:
    file = results / "r" / INCIDENTS
    write(file, b"".join(line("incident_open", incident_id=f"{n}") for n in range(5)))
    collector = Collector(results, None, {}, most_lines=2)
    assert collected(collector) == ["0", "1"]
    file.rename(file.with_name("old"))  # what is left of it is read first, all of it
    write(file, b"".join(line("incident_open", incident_id=f"n{n}") for n in range(5)))
    seen = [each for _ in range(6) for each in collected(collector)]
    assert seen == ["2", "3", "4", *(f"n{n}" for n in range(5))]
    collector.close()


async def test_a_thread_at_work_keeps_no_process_from_ending(tmp_path: Path) -> None:
    said = (
        "import asyncio, threading\nfrom backends.side_thread import SideThread\n"
        "async def main():\n  loop, thread = asyncio.get_running_loop(), SideThread('x')\n"
        "  assert await loop.run_in_executor(thread, int, '7') == 7\n"
        "  loop.run_in_executor(thread, threading.Event().wait)\n  await asyncio.sleep(0)\n"
        "  thread.shutdown()\nasyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", said)
    try:
        assert await asyncio.wait_for(process.wait(), 120) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_threads_calls_are_cancelled_raised_and_refused() -> None:
    thread, held = SideThread("x"), threading.Event()
    first, second = thread.submit(held.wait), thread.submit(int, "no number")
    third = thread.submit(int, "1")
    assert third.cancel()
    held.set()
    assert first.result(60) is True
    with pytest.raises(ValueError, match="no number"):
        second.result(60)
    held.clear()
    started = threading.Event()

    def waits() -> bool:
        started.set()
        return held.wait()

    running = thread.submit(waits)
    assert started.wait(60)
    waiting = thread.submit(int, "2")
    thread.shutdown(cancel_futures=True)
    held.set()
    assert running.result(5) is True and waiting.cancelled()
    with pytest.raises(RuntimeError, match="closed"):
        thread.submit(int)
