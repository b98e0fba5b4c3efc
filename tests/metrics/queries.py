"""Which metrics and labels PromQL asks for, and which the exporter and the demo's plant really serve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import promql_parser
import yaml

from cockpit.config import Settings
from cockpit.demo.plant import Plant
from cockpit.exporter.metric_names import METRICS

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "runbooks" / "prometheus" / "cockpit.rules.yml"
GRAFANA = ROOT / "runbooks" / "grafana"
# What Prometheus itself adds, to every series or as series of its own.
TARGET_LABELS = frozenset({"job", "instance"})
OWN_SERIES: Mapping[str, frozenset[str]] = {"up": frozenset()}
_VARIABLES = {"$__rate_interval": "1m", "$__interval": "1m", "$__range": "1h"}


def rules() -> list[dict[str, object]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def recorded() -> dict[str, frozenset[str]]:
    """The series that recording rules make; theirs keep nothing but the target's labels."""
    return {str(rule["record"]): frozenset() for rule in rules() if "record" in rule}


def exported() -> dict[str, frozenset[str]]:
    return {name: frozenset(metric.labels) for name, metric in METRICS.items()}


def traded(settings: Settings) -> dict[str, frozenset[str]]:
    """What the plant serves, from one that has not begun to trade but for one signal and one request."""
    plant = Plant(replace(settings, gateway_url="http://127.0.0.1:1"), seed=1)
    plant.measuring.metrics.signal("momentum", 0.1)
    plant.measuring.metrics.request("GET", "/health", 200, 0.1)
    series: dict[str, frozenset[str]] = {}
    for family in plant.measuring.metrics.registry.collect():
        for sample in family.samples:
            series[sample.name] = series.get(sample.name, frozenset()) | frozenset(sample.labels)
    return series


class Query:
    """A parsed expression. `selectors`: each metric that it asks for, and the labels that it asks by."""

    def __init__(self, expr: str) -> None:
        for variable, value in _VARIABLES.items():
            expr = expr.replace(variable, value)
        self.expr = expr
        self.selectors: list[tuple[str, frozenset[str]]] = []
        promql_parser.walk(promql_parser.parse(expr), self._visit)

    def _visit(self, node: object) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name, f"a selector without a name: {self.expr}"
            labels = frozenset(matcher.name for matcher in node.matchers.matchers)
            self.selectors.append((node.name, labels))
        return True


def wrong_with(query: Query, known: Mapping[str, frozenset[str]]) -> Iterator[str]:
    for name, labels in query.selectors:
        if name not in known:
            yield f"{name} is served by nobody: {query.expr}"
        elif strays := labels - known[name] - TARGET_LABELS:
            yield f"{name} has no label {sorted(strays)}: {query.expr}"
