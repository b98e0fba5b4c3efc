"""Run the areas, print the table."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Final

from tests.bench import machine
from tests.bench.figures import Figure, table
from tests.bench.stand import Stand

Area = Callable[[Stand], list[Figure]]
AREAS: Final = (
    "gate",
    "trip",
    "trip_process",
    "request",
    "thousand",
    "guard",
    "objectives",
    "reconciliation",
    "reconciliation_panel",
    "incidents",
    "artefacts",
    "first_frame",
    "at_rest",
)
FAILED: Final = 2


def main(argv: Sequence[str] | None = None) -> int:
    """0; with --strict 1 where a figure is SHORT; 2 where something could not be measured."""
    asked = _arguments(argv)
    # SIGTERM and SIGHUP end us like Ctrl-C does: through every `with`, so that no server is left behind.
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    figures: list[Figure] = []
    failed: dict[str, str] = {}
    print(machine.line(), flush=True)
    with Stand() as stand:
        stand.quick = asked.quick
        for name in asked.only or AREAS:
            print(f"… {name}", file=sys.stderr, flush=True)
            try:
                figures += _area(name)(stand)
            except Exception as error:  # one area that cannot be measured must not hide the others
                failed[name] = f"{type(error).__name__}: {error}"
                traceback.print_exc()
    print(table(figures))
    for name, why in failed.items():
        print(f"NOT MEASURED {name}: {why}")
    if asked.json:
        asked.json.write_text(json.dumps(_document(figures, failed), indent=2) + "\n", encoding="utf-8")
    if failed:
        return FAILED
    return int(asked.strict and any(figure.passed is False for figure in figures))


def _area(name: str) -> Area:
    area: Area = import_module(f"tests.bench.{name}").measure
    return area


def _document(figures: Sequence[Figure], failed: Mapping[str, str]) -> dict[str, object]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.facts(),
        "figures": [figure.document() for figure in figures],
        "not_measured": dict(failed),
    }


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=AREAS, help="only this area; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a figure is SHORT of its bound")
    parser.add_argument("--quick", action="store_true", help="a tenth of the samples: shows that it runs")
    return parser.parse_args(argv)


def _interrupt(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
