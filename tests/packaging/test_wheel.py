"""The wheel, installed outside the checkout: complete, and quick where a trip needs it.

The third-party packages are those of the running environment, by a `.pth` file; the cockpit itself can only
come from the wheel, since `.pth` files of a folder that is reached this way are not read.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("cockpit", "widgets", "backends", "themes", "runbooks")
LEFT_OUT = {".pyc", ".pyo"}


@dataclass(frozen=True, slots=True)
class Installed:
    """A clean environment with the wheel, and a working folder that is not the checkout."""

    wheel: Path
    bin: Path
    cwd: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment with an empty home and none of the cockpit's variables."""
        environ = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "HOME": str(self.cwd),
            "LC_ALL": "C.UTF-8",
            "XDG_CONFIG_HOME": str(self.cwd / "config"),
            "XDG_STATE_HOME": str(self.cwd / "state"),
            "XDG_DATA_HOME": str(self.cwd / "data"),
            "XDG_RUNTIME_DIR": str(self.cwd),
        }
        program = str(self.bin / command[0])
        return subprocess.run(
            [program, *command[1:]],
            cwd=self.cwd,
            env=environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def modules_after(self, statement: str) -> set[str]:
        """The modules that a statement loads beyond those of a bare interpreter."""
        code = (
            "import sys; before = set(sys.modules)\n"
            f"try:\n    {statement}\nexcept SystemExit:\n    pass\n"
            "sys.stderr.write('\\0' + '\\n'.join(sorted(set(sys.modules) - before)))"
        )
        done = self.run("python", "-c", code)
        assert done.returncode == 0, done.stderr
        return set(done.stderr.rsplit("\0", 1)[1].split())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by hatchling from a copy, so that a build leaves nothing in the checkout."""
    source = tmp_path_factory.mktemp("source")
    for name in FOLDERS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, source)
    target = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target, source],
        check=True,
        capture_output=True,
        timeout=300,
    )
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    place = tmp_path_factory.mktemp("clean")
    environment = place / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=300)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = environment / "lib" / version / "site-packages"
    subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pip",
                "--disable-pip-version-check",
                "--python",
                environment / "bin/python",
            ),
            *("install", "--quiet", "--no-deps", "--no-index", wheel),
        ],
        check=True,
        capture_output=True,
        timeout=300,
    )
    (packages / "third-party.pth").write_text(sysconfig.get_path("purelib") + os.linesep, encoding="utf-8")
    work = place / "work"
    work.mkdir()
    return Installed(wheel, environment / "bin", work)


def test_the_wheel_holds_every_file_of_the_five_folders_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in LEFT_OUT and "__pycache__" not in path.parts
    }
    assert packed == wanted


@pytest.mark.parametrize("kind", ["*.sql", "*.lua", "*.tcss", "runbooks/emergency_trip.py"])
def test_the_wheel_holds_data_files_of_each_kind(wheel: Path, kind: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if Path(name).match(kind)] != []


def test_the_cockpit_comes_from_the_wheel(installed: Installed) -> None:
    done = installed.run("python", "-c", "import cockpit.domain; print(cockpit.domain.__file__)")
    assert done.stdout.startswith(str(installed.bin.parent)), done.stderr


def test_help_names_the_commands(installed: Installed) -> None:
    done = installed.run("cockpit", "--help")
    assert done.returncode == 0, done.stderr
    for command in ("trip", "half-open", "close", "authority", "demo", "doctor"):
        assert command in done.stdout


def test_info_is_one_json_document_on_a_machine_without_settings(installed: Installed) -> None:
    done = installed.run("cockpit", "info", "--json")
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), dict)


def test_without_a_terminal_the_screen_is_refused_with_the_ways_around_it(
    installed: Installed,
) -> None:  # F22
    done = installed.run("cockpit")
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "cockpit status" in done.stderr
    assert "cockpit trip" in done.stderr


def test_importing_the_package_loads_nothing_else(installed: Installed) -> None:
    assert installed.modules_after("import cockpit") == {"cockpit"}


def test_the_path_of_a_trip_loads_neither_the_screen_nor_postgres(installed: Installed) -> None:
    loaded = installed.modules_after(
        "sys.argv = ['cockpit', 'trip', '--help']; import cockpit.__main__; sys.exit(cockpit.__main__.main())"
    )
    roots = {name.split(".")[0] for name in loaded}
    assert roots.isdisjoint(
        {"textual", "rich", "asyncpg", "httpx", "obstore", "prometheus_api_client", "starlette"}
    )


def test_the_domain_loads_the_standard_library_only(installed: Installed) -> None:
    loaded = installed.modules_after("import cockpit.domain.documents")
    foreign = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names) - {"cockpit"}
    assert foreign == set()
