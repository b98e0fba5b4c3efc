"""What import-linter's contracts cannot say about who imports whom, read from the source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The only modules that may know backends, besides cli_*: they wire them to the operations' ports.
ENTRY_POINTS = {
    "__main__",
    "app",
    "authority",
    "cli",
    "connecting",
    "demo",
    "exporter",
    "guard",
    "objectives",
    "pager",
}


def is_entry_point(path: Path) -> bool:
    module = path.relative_to(ROOT / "cockpit").parts[0].removesuffix(".py")
    return module in ENTRY_POINTS or module.startswith("cli_")


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere, also inside functions and for types only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            yield ".".join((*package, *([node.module] if node.module else ())))


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", sources("cockpit/domain"), ids=shown)
def test_the_domain_imports_the_standard_library_only(path: Path) -> None:
    foreign = [
        name
        for name in imported(path)
        if name.split(".")[0] not in sys.stdlib_module_names and name.split(".")[:2] != ["cockpit", "domain"]
    ]
    assert foreign == []


def test_only_the_entry_points_know_backends() -> None:
    curious = [
        shown(path)
        for path in sources("cockpit")
        if not is_entry_point(path) and any(name.split(".")[0] == "backends" for name in imported(path))
    ]
    assert curious == []


def test_backends_and_widgets_know_the_domain_and_nothing_else_of_the_cockpit() -> None:
    curious = [
        (shown(path), name)
        for path in sources("backends", "widgets")
        for name in imported(path)
        if name.split(".")[0] == "cockpit" and name.split(".")[:2] != ["cockpit", "domain"]
    ]
    assert curious == []


def test_the_package_itself_imports_nothing() -> None:
    assert list(imported(ROOT / "cockpit" / "__init__.py")) in ([], ["__future__"])


@pytest.mark.parametrize("name", ["emergency_trip.py"])
def test_the_emergency_runbook_needs_the_standard_library_only(name: str) -> None:
    foreign = [
        module
        for module in imported(ROOT / "runbooks" / name)
        if module.split(".")[0] not in sys.stdlib_module_names
    ]
    assert foreign == []
