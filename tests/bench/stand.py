"""Where the measuring happens: servers of our own below one temporary folder; all processes end with us."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from cockpit.demo.servers import Postgres, Valkey

if TYPE_CHECKING:
    from tests.bench.whole_demo import Platform

ROOT: Final = Path(__file__).resolve().parents[2]
_INSTALLED: Final = Path(sys.executable).with_name("cockpit")
_SCRIPT: Final = """#!{python}
import sys
sys.path.insert(0, {root!r})
from cockpit.__main__ import main
if __name__ == "__main__":
    sys.exit(main())
"""
_END_S: Final = 15.0
_BYTECODE: Final = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")


class Stand:
    """One temporary folder, and in it what the areas ask for, started at first use and ended at the exit.

    `tests.bench.whole_demo.demo` adds the whole demo. Everything that is started here ends in reverse order,
    on Ctrl-C and SIGTERM too.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.quick = False
        self.platform: Platform | None = None

    def __enter__(self) -> Stand:
        self._stack.__enter__()
        self.folder = Path(tempfile.mkdtemp(prefix="cockpit-bench-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._keep_bytecode()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _keep_bytecode(self) -> None:
        """Every program is measured as installed: its modules are compiled once, by the turn that is not
        counted. Without this, an environment that forbids writing bytecode makes each start compile them."""
        before = {name: os.environ.get(name) for name in _BYTECODE}
        self._stack.callback(_restore, before)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(self.folder / "bytecode")

    @cached_property
    def valkey(self) -> Valkey:
        """As the demo runs it: append-only file, fsync at every write."""
        return self._stack.enter_context(Valkey(self.folder / "servers"))

    @cached_property
    def postgres(self) -> Postgres:
        return self._stack.enter_context(Postgres(self.folder / "servers"))

    @cached_property
    def cockpit(self) -> Path:
        """The console script of this environment, or where the project is not installed one like it."""
        if _INSTALLED.exists():
            return _INSTALLED
        script = self.folder / "cockpit"
        script.write_text(_SCRIPT.format(python=sys.executable, root=str(ROOT)))
        script.chmod(0o700)
        return script

    def times(self, full: int) -> int:
        """How often to measure: `full`, or a fraction with --quick."""
        return max(3, full // 10) if self.quick else full

    def process(
        self, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """A background process that ends with the stand; its output goes to `log`."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        self._stack.callback(end, process)
        return process


def _restore(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, by force after a while."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
