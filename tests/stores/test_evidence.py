"""Evidence in a folder and on a real S3-speaking server: created once, never overwritten, clear when away."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer

from backends.evidence import Evidence, EvidenceConflict, EvidenceUnavailable

KEY = "transitions/5f0c-OPEN.json"


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {
        "endpoint": f"http://{host}:{port}",
        "region": "us-east-1",
        "access_key_id": "test",
        "secret_access_key": "s3cret-in-no-message",
    }
    httpx.put(f"{options['endpoint']}/desk-evidence", timeout=60).raise_for_status()
    yield options
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def evidence(request: pytest.FixtureRequest, tmp_path: Path) -> Evidence:
    if request.param == "folder":
        return Evidence((tmp_path / "evidence").as_uri())
    return Evidence(f"s3://desk-evidence/{tmp_path.name}", request.getfixturevalue("s3"))


async def test_created_once_and_read_back(evidence: Evidence) -> None:  # I7
    assert await evidence.get(KEY) is None
    await evidence.put_new(KEY, b"one")
    assert await evidence.get(KEY) == b"one"


async def test_the_same_bytes_again_are_fine(evidence: Evidence) -> None:  # I8, F3
    await evidence.put_new(KEY, b"one")
    await evidence.put_new(KEY, b"one")
    assert await evidence.get(KEY) == b"one"


async def test_other_bytes_are_refused_and_nothing_is_overwritten(evidence: Evidence) -> None:  # I24
    await evidence.put_new(KEY, b"one")
    with pytest.raises(EvidenceConflict, match="was not overwritten"):
        await evidence.put_new(KEY, b"two")
    assert await evidence.get(KEY) == b"one"


async def test_of_many_writers_one_wins(evidence: Evidence) -> None:  # I24
    outcomes = await asyncio.gather(
        *(evidence.put_new(KEY, f"writer {number}".encode()) for number in range(8)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [EvidenceConflict] * 7


async def test_keys_are_listed_in_order(evidence: Evidence) -> None:
    for key in ("heads/000000000012.json", "heads/000000000003.json", KEY):
        await evidence.put_new(key, b"x")
    assert list(await evidence.list("heads/")) == ["heads/000000000003.json", "heads/000000000012.json"]
    assert list(await evidence.list("nothing/")) == []


async def test_a_working_store_checks_out(evidence: Evidence) -> None:
    assert await evidence.check() > 0
    assert await evidence.check() > 0
    assert await evidence.check(write=False) > 0


def test_a_link_shows_where_and_no_password() -> None:  # I27
    assert Evidence("s3://bucket/desk").link(KEY) == f"s3://bucket/desk/{KEY}"
    assert "hunter2" not in Evidence("s3://key:hunter2@bucket/desk?secret=hunter2").link(KEY)


@pytest.mark.parametrize("below", ["a-file/sub", "a-file"])
async def test_a_folder_that_cannot_be_one(tmp_path: Path, below: str) -> None:  # F19
    (tmp_path / "a-file").touch()
    evidence = Evidence((tmp_path / below).as_uri())
    for call in (evidence.put_new(KEY, b"x"), evidence.check(), evidence.get(KEY)):
        with pytest.raises(EvidenceUnavailable) as fault:
            await call
        _one_line(fault.value)


async def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:  # F19
    folder = tmp_path / "evidence"
    await Evidence(folder.as_uri()).put_new("old", b"x")
    if os.geteuid() == 0:
        # Root passes permissions; an immutable place, which even root cannot write, is what /proc is.
        with pytest.raises(EvidenceUnavailable) as fault:
            await Evidence("file:///proc/evidence").put_new(KEY, b"x")
    else:
        folder.chmod(0o500)
        with pytest.raises(EvidenceUnavailable) as fault:
            await Evidence(folder.as_uri()).put_new(KEY, b"x")
        folder.chmod(0o700)
    _one_line(fault.value)


def test_a_full_disk(tmp_path: Path) -> None:  # F19
    """A limit on file size is the full disk that a test can have without mounting one."""
    program = """
        import asyncio, resource, signal, sys
        from backends.evidence import Evidence, EvidenceUnavailable
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        async def main():
            evidence = Evidence(sys.argv[1])
            for call in (evidence.put_new("transitions/a.json", b"x" * 100), evidence.check()):
                try:
                    await call
                except EvidenceUnavailable as fault:
                    print(fault)
            print(await evidence.get("transitions/a.json"))
        asyncio.run(main())
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), (tmp_path / "evidence").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    *faults, found = ran.stdout.splitlines()
    assert len(faults) == 2 and all("is unavailable" in line for line in faults)
    assert found == "None"


async def test_an_object_store_that_does_not_answer(s3: dict[str, str]) -> None:  # F19
    evidence = Evidence("s3://desk-evidence/x", s3 | {"endpoint": "http://127.0.0.1:1"})
    begin = time.perf_counter()
    for call in (evidence.put_new(KEY, b"x"), evidence.get(KEY), evidence.list("heads/"), evidence.check()):
        with pytest.raises(EvidenceUnavailable) as fault:
            await call
        _one_line(fault.value)
    assert time.perf_counter() - begin < 60


async def test_a_bucket_that_is_not_there(s3: dict[str, str]) -> None:  # F19
    with pytest.raises(EvidenceUnavailable) as fault:
        await Evidence("s3://no-such-bucket/x", s3).put_new(KEY, b"x")
    _one_line(fault.value)
    with pytest.raises(EvidenceUnavailable):  # never taken for a store that merely lacks the object
        await Evidence("s3://no-such-bucket/x", s3).get(KEY)


@pytest.mark.parametrize("url", ["nonsense", "ftp://host/x", "s3://"])
async def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(EvidenceUnavailable) as fault:
        await Evidence(url).put_new(KEY, b"x")
    _one_line(fault.value)


def _one_line(fault: EvidenceUnavailable) -> None:  # I27
    text = str(fault)
    assert text.startswith("Evidence store ") and " is unavailable: " in text
    assert "\n" not in text and "s3cret" not in text and len(text) < 450
