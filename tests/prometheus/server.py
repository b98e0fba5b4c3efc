"""Debian's real Prometheus for one test module: given series, a loopback port, a private folder.

    with Prometheus(folder, series) as server:
        server.url            # http://127.0.0.1:PORT

It ends with the `with`, and with this process however that ends. `config` is the text of prometheus.yml (rule
files, scrapes); without one it scrapes nothing. Marked tests are NOT RUN where the package is absent.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from cockpit.demo.launch import spawn

PROGRAM: Final = Path("/usr/bin/prometheus")
PROMTOOL: Final = Path("/usr/bin/promtool")
needs_prometheus: Final = pytest.mark.skipif(
    not (PROGRAM.exists() and PROMTOOL.exists()), reason="Debian's prometheus is absent"
)
_READY_S: Final = 120.0
NO_SCRAPES: Final = "global: {scrape_interval: 15s, evaluation_interval: 15s}\n"


@dataclass(frozen=True, slots=True)
class Series:
    """One series: a metric's name, its labels, and (Unix seconds, value) in the order of time."""

    name: str
    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]


def open_metrics(series: Iterable[Series]) -> str:
    """The text that promtool makes blocks of; times to the millisecond, as Prometheus keeps them."""
    lines = []
    for each in series:
        labels = ",".join(f"{name}={json.dumps(value)}" for name, value in each.labels.items())
        head = f"{each.name}{{{labels}}}" if labels else each.name
        lines += [f"{head} {_number(value)} {at:.3f}" for at, value in each.samples]
    return "\n".join([*lines, "# EOF", ""])


def _number(value: float) -> str:
    return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}.get(repr(value), repr(value))


def free_port() -> int:
    """A port that is free now, below the ephemeral range: no client is given it while its server starts, or
    is down. Drawn afresh by each process, whatever hypothesis has seeded."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Prometheus:
    """The server. `flags` are added to its command line, `--query.max-samples=…` for one."""

    def __init__(
        self,
        folder: Path,
        series: Iterable[Series] = (),
        *,
        config: str = NO_SCRAPES,
        flags: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._series = tuple(series)
        self._config = config
        self._flags = tuple(flags)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Prometheus:
        self._folder.mkdir(parents=True, exist_ok=True)
        data = self._folder / "data"
        if self._series:
            text = self._folder / "series.om"
            text.write_text(open_metrics(self._series))
            subprocess.run(
                [
                    *(PROMTOOL, "tsdb", "create-blocks-from", "--max-block-duration=10000h"),
                    *("openmetrics", "-q", text, data),
                ],
                check=True,
                capture_output=True,
            )
        (self._folder / "prometheus.yml").write_text(self._config)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it on a free port, or after `kill` again on the same one; wait until it answers queries."""
        self.port = self.port or free_port()
        with (self._folder / "log").open("ab") as log:
            self._process = spawn(
                [
                    str(PROGRAM),
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    "--storage.tsdb.retention.time=20y",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--log.level=warn",
                    *self._flags,
                ],
                None,
                signal.SIGKILL,
                cwd=self._folder,
                log=log,
            )
        deadline = time.monotonic() + _READY_S
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"prometheus did not start: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once; what it scraped since its start is lost but for its write-ahead log."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def query(self, promql: str, at: float) -> list[tuple[dict[str, str], float]]:
        """A plain instant query past our own code: (labels, value) of each series."""
        asked = urlencode({"query": promql, "time": f"{at:.3f}"})
        with urlopen(f"{self.url}/api/v1/query?{asked}", timeout=30) as answer:
            data: Any = json.load(answer)["data"]
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(each["metric"], float(each["value"][1])) for each in data["result"]]

    def value(self, promql: str, at: float) -> float | None:
        """The one value of an instant query; None where it gives nothing."""
        found = self.query(promql, at)
        assert len(found) <= 1, f"{len(found)} series: {promql}"
        return found[0][1] if found else None

    def _ready(self) -> bool:
        with contextlib.suppress(URLError, OSError), urlopen(f"{self.url}/-/ready", timeout=1) as answer:
            return bool(answer.status == 200)
        return False
