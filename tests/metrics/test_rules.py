"""The rules that ship: promtool's own checks, names that exist, alerts that tell a person what to do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from cockpit.exporter.metric_names import METRICS
from tests.metrics.queries import OWN_SERIES, ROOT, RULES, Query, exported, recorded, rules, wrong_with
from tests.prometheus.server import PROMTOOL, needs_prometheus

UNIT_TESTS = Path(__file__).with_name("cockpit.rules.test.yml")
ALERTS = [rule for rule in rules() if "alert" in rule]


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        [PROMTOOL, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_prometheus
def test_promtool_takes_rules_and_example() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", RULES)
    assert "is valid prometheus config" in promtool(
        "check", "config", RULES.with_name("prometheus.example.yml")
    )


@needs_prometheus
def test_each_alert_fires_and_clears_at_its_minute() -> None:
    assert "SUCCESS" in promtool("test", "rules", UNIT_TESTS)


def test_every_alert_is_unit_tested() -> None:
    text = UNIT_TESTS.read_text()
    assert [rule["alert"] for rule in ALERTS if str(rule["alert"]) not in text] == []


def test_rules_ask_only_for_what_is_served() -> None:
    known = {**exported(), **recorded(), **OWN_SERIES}
    assert [fault for rule in rules() for fault in wrong_with(Query(str(rule["expr"])), known)] == []


def test_names_are_unique() -> None:
    names = [str(rule.get("alert") or rule["record"]) for rule in rules()]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_urgent_what_and_what_to_do(rule: dict[str, dict[str, str]]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    notes = rule["annotations"]
    assert notes.keys() == {"summary", "runbook"}
    assert len(notes["runbook"]) > 40
    assert "\n" not in notes["summary"] + notes["runbook"]
    known = {label for metric in METRICS.values() for label in metric.labels}
    named = re.findall(r"\$labels\.(\w+)", notes["summary"] + notes["runbook"])
    assert set(named) <= known


def test_the_example_scrapes_the_job_that_the_rules_name() -> None:
    example = yaml.safe_load(RULES.with_name("prometheus.example.yml").read_text())
    jobs = {job["job_name"] for job in example["scrape_configs"]}
    named = set(re.findall(r'job="(\w+)"', RULES.read_text()))
    assert named == {"cockpit"} <= jobs
    assert example["rule_files"] == [RULES.name]
