"""What incidents that services open are classified as: by the reason of a trip, or as a rule says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cockpit.domain.breakers import Catalogue
from cockpit.domain.incidents import Classification
from cockpit.domain.reasons import Reason, classification_of
from cockpit.domain.trigger_parsing import BadRule, parse_rules
from cockpit.domain.triggers import Effect, Mode, Rule
from cockpit.guard.rule_file import read_rules, shipped_rules
from tests.domain.test_trigger_parsing import GOOD, RATIO

CATALOGUE = Catalogue.build(["execution"], ["BTC-USD"], ["momentum"])
SHIPPED = {rule.name: rule for rule in read_rules(shipped_rules(), CATALOGUE)}


def parsed(**fields: object) -> Rule:
    return parse_rules({"rule": [fields]}, CATALOGUE)[0]


def test_every_reason_leads_to_one_of_the_five_words() -> None:
    found = {each.value: each.classification.value for each in Reason}
    assert {token: word for token, word in found.items() if word != "other"} == {
        "latency": "broker/connectivity",
        "rejection-rate": "broker/connectivity",
        "data-integrity": "data_quality",
        "security": "security",
        "governance": "security",
    }


@pytest.mark.parametrize("token", ["", "data_quality", "because", "DATA-INTEGRITY"])
def test_an_unknown_token_is_other(token: str) -> None:
    assert classification_of(token) is Classification.OTHER
    assert classification_of("data-integrity") is Classification.DATA_QUALITY


def test_a_rule_says_its_classification_or_its_reason_does() -> None:
    assert parsed(**GOOD).incident_class is Classification.OTHER
    assert parsed(**GOOD | {"reason": "latency"}).incident_class is Classification.BROKER
    said = parsed(**GOOD | {"reason": "latency", "classification": "reconciliation"})
    assert said.incident_class is said.classification is Classification.RECONCILIATION
    assert replace(said, classification=None).incident_class is Classification.BROKER


@pytest.mark.parametrize("key", ["classification", "while_incident"])
@pytest.mark.parametrize("word", ["order-execution", "data-integrity", "Other", ""])
def test_any_other_word_is_refused_in_one_line(key: str, word: str) -> None:
    with pytest.raises(BadRule) as refused:
        parsed(**RATIO | {key: word})
    assert f": {key}: " in str(refused.value) and "\n" not in str(refused.value)
    if word:
        known = "data_quality, reconciliation, broker/connectivity, security, other"
        assert f"{word!r} is none of them; write one of {known}" in str(refused.value)


def test_the_shipped_rules_ask_for_what_the_decision_tree_says() -> None:
    """What contradicts the books asks for clean reconciliations, what the venue fails at for a broker."""
    by_class: dict[Classification, set[str]] = {each: set() for each in Classification}
    for name, rule in SHIPPED.items():
        by_class[rule.incident_class].add(name)
    assert by_class[Classification.RECONCILIATION] == {
        "ledger-invariant", "settlement-slow", "settlement-stuck",
    }  # fmt: skip
    assert by_class[Classification.BROKER] == {
        "execution-latency", "rejections-hour", "reject-rate", "reject-rate-in-incident", "api-errors",
    }  # fmt: skip
    assert by_class[Classification.DATA_QUALITY] == {"feed-gap", "data-stale"}
    assert SHIPPED["reject-rate-in-incident"].while_incident == Classification.BROKER


@pytest.mark.parametrize(
    ("severity", "effect", "mode", "pages"),
    [
        ("P0", Effect.TRIP, Mode.LIVE, True),
        ("P2", Effect.TRIP, Mode.LIVE, True),  # whatever halts has an incident of its own class
        ("P3", Effect.TRIP, Mode.LIVE, True),
        ("P1", Effect.LIMIT, Mode.LIVE, True),
        ("P2", Effect.LIMIT, Mode.LIVE, False),
        ("P0", Effect.TRIP, Mode.SHADOW, False),
    ],
)
def test_what_has_an_incident(severity: str, effect: Effect, mode: Mode, pages: bool) -> None:
    rule = replace(SHIPPED["api-errors"], severity=severity, effect=effect, mode=mode)
    assert rule.pages is pages
