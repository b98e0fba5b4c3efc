"""The demo without its screen: real stores, the authority and the plant, started as a user would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from tests.bench.stand import Stand

_START_S = 90.0


@dataclass(frozen=True, slots=True)
class Platform:
    """What `cockpit demo --headless` printed: the config's path and the servers' owner logins."""

    cockpit: Path
    config: Path
    redis_url: str
    postgres_dsn: str
    gateway_url: str

    def command(self, *words: str, login: str = "operator1") -> list[str | Path]:
        """The cockpit's console script with this platform's config."""
        return [self.cockpit, "--config", self.config, "--login", login, *words]


def demo(stand: Stand) -> Platform:
    """The stand's one platform, started at first use.

    Raises:
        RuntimeError: it ended or did not get ready; the message holds its log.
    """
    if stand.platform is None:
        stand.platform = _start(stand)
    return stand.platform


def _start(stand: Stand) -> Platform:
    log = stand.folder / "demo.log"
    command: list[str | Path] = [stand.cockpit, "demo", "--headless", "--data-dir", stand.folder / "demo"]
    process = stand.process(command, log)
    deadline = monotonic() + _START_S
    while monotonic() < deadline and process.poll() is None:
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith("{") and '"ready"' in line:
                ready = json.loads(line)
                urls = (ready[name] for name in ("redis_url", "postgres_dsn", "gateway_url"))
                return Platform(stand.cockpit, Path(ready["config"]), *urls)
        sleep(0.05)
    raise RuntimeError(f"the demo did not get ready:\n{log.read_text(errors='replace')[-3_000:]}")
