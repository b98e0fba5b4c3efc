"""A pytest plugin: what each suite took, and which tests did not run and why.

A suite is a folder under `tests/`. Load it with `-p tests.suites` (as `make test` does). With `COCKPIT_CI=1`
or `CI=true` a test that did not run counts as failed: a machine that is meant to have Debian's Redis and
PostgreSQL must not pass by lacking them.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

TESTS = Path(__file__).resolve().parent
LONG: Final = (
    "debian stateful authority faults screen guard kill demo e2e cli pager prometheus metrics stores".split()
)
"""Suites of few tests that take long: they begin first, so that at the end no worker waits for another."""
NOT_RUN_FAILS = "NOT RUN, and under CI every test must run: "


@dataclass(slots=True)
class Suite:
    """Outcomes by test and the seconds of all phases, set-up of shared servers included."""

    outcomes: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, report: pytest.TestReport) -> None:
        self.seconds += report.duration
        seen = self.outcomes.get(report.nodeid)
        if report.failed or seen is None or (seen == "passed" and report.skipped):
            self.outcomes[report.nodeid] = report.outcome


def not_running_fails(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a skipped test is a failure here."""
    return environ.get("COCKPIT_CI") == "1" or environ.get("CI", "").lower() in {"1", "true"}


def suite_of(path: Path) -> str:
    """The suite of a test file: `tests/stores/test_acl.py` → `stores`, `tests/test_x.py` → `x`."""
    try:
        parts = path.relative_to(TESTS).parts
    except ValueError:
        return "elsewhere"
    return parts[0] if len(parts) > 1 else path.stem.removeprefix("test_")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long suites first; else the order stays."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(suite_of(item.path), len(LONG)))


class SuiteTimes:
    """Collects reports and prints them; one instance for a test run."""

    def __init__(self, checks: list[tuple[str, bool, float]], strict: bool) -> None:
        self.checks = checks
        self.strict = strict
        self.suites: dict[str, Suite] = {}
        self.not_run: Counter[tuple[str, str]] = Counter()
        self.expected: Counter[tuple[str, str]] = Counter()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.skipped and not hasattr(report, "wasxfail") and self.strict:
            report.outcome = "failed"
            report.longrepr = NOT_RUN_FAILS + _reason(report.longrepr)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if report.skipped:
            reason = _reason(report.longrepr)
            self.not_run[suite_of(collector.path), f"{reason} ({collector.path.name}, whole file)"] += 1
            if self.strict:
                report.outcome = "failed"
                report.longrepr = NOT_RUN_FAILS + reason
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Also where other processes ran the tests: what is shown is counted from their reports alone."""
        name = suite_of(TESTS.parent / report.nodeid.split("::", 1)[0])
        self.suites.setdefault(name, Suite()).add(report)
        reason = _reason(report.longrepr)
        if report.skipped and hasattr(report, "wasxfail"):
            self.expected[name, report.wasxfail] += 1
        elif report.skipped or reason.startswith(NOT_RUN_FAILS):
            self.not_run[name, reason.removeprefix(NOT_RUN_FAILS)] += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        write = terminalreporter.write_line
        terminalreporter.section("suites")
        write(f"{'suite':<16}{'passed':>8}{'failed':>8}{'not run':>9}{'seconds':>10}  (of all workers)")
        for name, passed, seconds in self.checks:
            write(f"{name:<16}{int(passed):>8}{int(not passed):>8}{0:>9}{seconds:>10.1f}")
        not_run: Counter[str] = Counter()
        for (name, _), tests in self.not_run.items():
            not_run[name] += tests
        for name in (*self.suites, *(not_run.keys() - self.suites.keys())):
            suite = self.suites.get(name, Suite())
            count = Counter(suite.outcomes.values())
            write(
                f"{name:<16}{count['passed']:>8}{count['failed']:>8}{not_run[name]:>9}{suite.seconds:>10.1f}"
            )
        self._list(terminalreporter, "NOT RUN, which fails here" if self.strict else "NOT RUN", self.not_run)
        self._list(terminalreporter, "expected to fail", self.expected)

    @staticmethod
    def _list(
        terminalreporter: pytest.TerminalReporter, title: str, reasons: Counter[tuple[str, str]]
    ) -> None:
        if reasons:
            terminalreporter.section(title)
            for (name, reason), tests in reasons.items():
                terminalreporter.write_line(f"{name}: {tests} × {reason}")


def _reason(longrepr: object) -> str:
    """The words of a skip, which pytest keeps as (file, line, 'Skipped: reason')."""
    text = longrepr[2] if isinstance(longrepr, tuple) else longrepr
    return str(text).removeprefix("Skipped: ").strip() or "no reason given"


def _read_checks(file: str | None) -> list[tuple[str, bool, float]]:
    if file is None or not Path(file).is_file():
        return []
    checks = json.loads(Path(file).read_text(encoding="utf-8"))
    return [(f"check: {each['name']}", bool(each["passed"]), float(each["seconds"])) for each in checks]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--check-times", metavar="FILE", help="what `python -m tests.checks FILE` wrote")


def pytest_configure(config: pytest.Config) -> None:
    checks = _read_checks(config.getoption("--check-times"))
    strict = not_running_fails()
    if strict:  # a file that was skipped whole fails, and the others still run
        config.option.continue_on_collection_errors = True
    config.pluginmanager.register(SuiteTimes(checks, strict), "cockpit-suite-times")
