"""What docs/contract.md and the README leave out is found here, by name."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from cockpit.cli.arguments import COMMANDS
from cockpit.demo.faults import Faults
from cockpit.domain.audit import Action
from cockpit.domain.budgets import BudgetState
from cockpit.domain.commands import Kind
from cockpit.domain.trigger_reports import TriggerReport, TriggerState
from cockpit.domain.triggers import Condition, Figure, StreamKind
from cockpit.exporter.metric_names import METRICS

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = (ROOT / "docs/contract.md").read_text()
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_stands_there_with_its_labels(name: str) -> None:
    labels = ", ".join(f"`{each}`" for each in METRICS[name].labels) or "–"
    assert f"| `{name}` | {labels} |" in CONTRACT


def test_no_metric_stands_there_that_is_not_served() -> None:
    table = CONTRACT[CONTRACT.index("## 14. Metrics") : CONTRACT.index("## 15. ")]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.M)) == set(METRICS)


WORDS = [
    *(kind.value for kind in Kind),
    *(state.value for state in BudgetState),
    *(state.value for state in TriggerState),
    *(each.value for kind in (StreamKind, Figure, Condition) for each in kind),
    *(each.name for each in fields(Faults)),
    *(each.name for each in fields(TriggerReport)),
]


@pytest.mark.parametrize("word", WORDS)
def test_every_word_stands_there(word: str) -> None:
    assert re.search(rf"[`\"]{re.escape(word)}[`\":]", CONTRACT)


@pytest.mark.parametrize("action", Action)
def test_every_audit_action_stands_there(action: Action) -> None:
    """Those of a loosening by their stem."""
    stem = re.sub(r"^CIRCUIT_BREAKER_(\w+?)(_INTENT|_VOID)?$", r"\1", action.value)
    assert f"`{stem}`" in CONTRACT


@pytest.mark.parametrize("words", filter(None, COMMANDS))
def test_every_command_stands_in_the_readme(words: str) -> None:
    table = README[README.index("## Commands") : README.index("Exit codes:")]
    assert re.search(rf"[`]({'|'.join((f'cockpit {words}', words))})[ `]", table), words
