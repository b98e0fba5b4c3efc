"""The rule file: what ships is right, and whatever is wrong is one line that names rule and field."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.breakers import Catalogue
from cockpit.domain.trigger_parsing import MOST_RULES, BadRule, parse_rules
from cockpit.domain.trigger_rows import plan_of
from cockpit.domain.triggers import Condition, Effect, Figure, Mode, Stream, StreamKind
from tests.domain.trigger_making import CATALOGUE

SHIPPED = Path(__file__).resolve().parents[2] / "runbooks" / "triggers.toml"
GOOD: dict[str, Any] = {
    "name": "loss",
    "title": "Loss of the day",
    "stream": "sli:daily_pnl_usd",
    "figure": "loss",
    "condition": "latest",
    "threshold": 500,
    "unit": "USD",
    "min_samples": 1,
    "aim": "global",
    "reason": "daily-loss",
    "severity": "P0",
}
RATIO = GOOD | {"stream": "orders", "figure": "rejected", "condition": "ratio", "window_s": 60}
P95 = GOOD | {"stream": "orders", "figure": "latency_ms", "condition": "sustained", "window_s": 30}
P95 |= {"for_s": 120, "quantile": Decimal("0.95")}


def parse(*rules: object) -> Any:
    return parse_rules({"rule": list(rules)}, CATALOGUE)


def decoded(text: str) -> dict[str, object]:
    return tomllib.loads(text, parse_float=Decimal)


def test_what_ships() -> None:
    """The runbooks' thresholds, and whom each is aimed at."""
    rules = {rule.name: rule for rule in parse_rules(decoded(SHIPPED.read_text()), CATALOGUE)}
    found = {
        name: (rule.condition.value, str(rule.threshold), rule.window_s, rule.min_samples, rule.aim)
        for name, rule in rules.items()
    }
    assert found == {
        "slippage-run": ("consecutive", "0.5", 3600, 10, "instrument"),
        "execution-latency": ("sustained", "300", 30, 20, "component:execution"),
        "rejections-hour": ("ratio", "0.5", 3600, 20, "component:execution"),
        "reject-rate": ("ratio", "0.10", 300, 20, "global"),
        "reject-rate-in-incident": ("ratio", "0.01", 300, 20, "global"),
        "api-errors": ("count", "10", 300, 1, "component:execution"),
        "daily-loss": ("latest", "500", 0, 1, "global"),
        "daily-loss-hard-stop": ("latest", "1000", 0, 1, "global"),
        "position-limit": ("latest", "1.5", 0, 1, "global"),
        "drawdown": ("latest", "0.05", 0, 1, "global"),
        "feed-gap": ("age", "300", 0, 1, "global"),
        "data-stale": ("age", "1800", 0, 1, "component:execution"),
        "ledger-invariant": ("increase", "0", 3600, 1, "global"),
        "settlement-slow": ("latest", "30", 0, 1, "component:execution"),
        "settlement-stuck": ("latest", "120", 0, 1, "component:execution"),
    }
    assert (rules["execution-latency"].for_s, rules["execution-latency"].quantile) == (120, Decimal("0.95"))
    assert rules["slippage-run"].keyed and rules["reject-rate-in-incident"].while_incident
    assert (rules["settlement-slow"].effect, rules["settlement-slow"].share) == (Effect.LIMIT, Decimal("0.5"))
    assert {rule.mode for rule in rules.values()} == {Mode.LIVE}


def test_a_rule_as_it_is_read() -> None:
    (rule,) = parse(GOOD)
    assert (rule.stream, rule.figure, rule.threshold) == (
        Stream(StreamKind.SLI, "daily_pnl_usd"),
        Figure.LOSS,
        Decimal(500),
    )
    assert (rule.effect, rule.mode, rule.fresh_s, rule.window_s) == (Effect.TRIP, Mode.LIVE, 60, 0)
    assert rule.pages and str(rule.stream) == "sli:daily_pnl_usd"
    assert not parse(GOOD | {"mode": "shadow"})[0].pages
    (gauge,) = parse(GOOD | {"stream": "prometheus: sum(rate(x[5m])) ", "figure": "value"})
    assert gauge.stream == Stream(StreamKind.PROMETHEUS, "sum(rate(x[5m]))")
    assert parse(GOOD | {"aim": "instrument:BTC-USD", "severity": "P3"})[0].aim == "instrument:BTC-USD"
    assert parse(GOOD | {"threshold": 0})[0].threshold == 0


def test_what_a_rule_halts() -> None:
    own = parse(RATIO | {"per": "instrument", "aim": "instrument"})[0]
    assert own.target("BTC-USD", CATALOGUE) == "instrument:BTC-USD"
    assert own.target("NEW-USD", CATALOGUE) == "component:execution"  # it has no breaker of its own
    assert parse(GOOD)[0].target("", CATALOGUE) == "component:execution"
    assert parse(GOOD | {"aim": "strategy:momentum"})[0].target("", CATALOGUE) == "strategy:momentum"


@pytest.mark.parametrize(
    ("base", "changes", "said"),
    [
        (GOOD, {"colour": "red"}, "rule loss: colour: no such field; known are aim, "),
        (GOOD, {"name": "Loss"}, "rule number 1: name: 'Loss' is not a rule's name; "),
        (GOOD, {"name": 3}, "rule number 1: name: 3 is not plain text"),
        (GOOD, {"title": ""}, "rule loss: title: '' is not plain text"),
        (GOOD, {"title": "a\x1b[2J"}, "rule loss: title: "),
        (GOOD, {"title": "x" * 121}, "rule loss: title: "),
        (GOOD, {"stream": "trades"}, "rule loss: stream: 'trades' is no stream"),
        (GOOD, {"stream": "sli:"}, "rule loss: stream: "),
        (GOOD, {"stream": "sli:a b"}, "rule loss: stream: "),
        (GOOD, {"stream": "orders:x"}, "rule loss: stream: "),
        (GOOD, {"figure": "price"}, "rule loss: figure: 'price' is none of them; write one of slippage"),
        (GOOD, {"figure": "slippage"}, "rule loss: figure: sli has no slippage; write one of failures, loss"),
        (GOOD, {"condition": "ratio", "window_s": 5}, "rule loss: condition: ratio does not fit loss"),
        (RATIO, {"condition": "consecutive"}, "rule loss: condition: consecutive does not fit rejected"),
        (GOOD, {"condition": "age"}, "rule loss: figure: age is of an sli's value"),
        (GOOD, {"stream": "prometheus:up", "figure": "value", "condition": "age"}, "keeps no history"),
        (GOOD, {"threshold": "500"}, "rule loss: threshold: '500' is not right"),
        (GOOD, {"threshold": -1}, "rule loss: threshold: -1 is not right"),
        (GOOD, {"threshold": True}, "rule loss: threshold: True is not right"),
        (GOOD, {"threshold": Decimal("NaN")}, "rule loss: threshold: "),
        (GOOD, {"threshold": 10**15}, "rule loss: threshold: "),
        (GOOD, {"min_samples": 0}, "rule loss: min_samples: 0 is not right; write a whole number from 1"),
        (GOOD, {"min_samples": Decimal("1.5")}, "rule loss: min_samples: "),
        (GOOD, {"min_samples": True}, "rule loss: min_samples: "),
        (GOOD, {"window_s": 60}, "rule loss: window_s: means nothing to latest; leave it out"),
        (RATIO, {"window_s": 90_000}, "rule loss: window_s: 90000 is not right"),
        (RATIO, {"for_s": 9}, "rule loss: for_s: means nothing to ratio"),
        (P95, {"quantile": 1}, "rule loss: quantile: 1 is not right; write a number above 0 and below 1"),
        (P95, {"quantile": 0}, "rule loss: quantile: "),
        (P95, {"fresh_s": 9}, "rule loss: fresh_s: means nothing to sustained"),
        (GOOD, {"while_incident": "x"}, "rule loss: while_incident: means nothing to latest"),
        (GOOD, {"per": "instrument"}, "rule loss: per: 'instrument' is not right for sli; write platform"),
        (GOOD, {"stream": "positions", "figure": "limit_share"}, "positions are judged each by itself"),
        (GOOD, {"aim": "instrument", "severity": "P2"}, "rule loss: aim: the rule does not look at single"),
        (
            GOOD,
            {"aim": "component:ingest", "severity": "P2"},
            "is nothing that a rule may halt; write global",
        ),
        (GOOD, {"aim": "instrument:X", "severity": "P2"}, "is nothing that a rule may halt"),
        (GOOD, {"aim": "everything", "severity": "P2"}, "is nothing that a rule may halt"),
        (GOOD, {"severity": "P1"}, "rule loss: severity: what is aimed at global escalates; write P0"),
        (GOOD, {"severity": "P9"}, "rule loss: severity: 'P9' is none; write P0, P1, P2 or P3"),
        (GOOD, {"effect": "warn"}, "rule loss: effect: 'warn' is none of them; write one of trip, limit"),
        (GOOD, {"effect": "limit"}, "rule loss: share: missing; write a number above 0 and below 1"),
        (GOOD, {"share": Decimal("0.5")}, "rule loss: share: a trip leaves no size"),
        (
            GOOD,
            {"effect": "limit", "share": Decimal("0.3333333")},
            "rule loss: share: 0.3333333 has too many decimals; write at most six",
        ),
        (
            GOOD,
            {"stream": "positions", "figure": "limit_share", "per": "instrument", "fresh_s": 300},
            "rule loss: fresh_s: means nothing to positions; leave it out",
        ),
        (GOOD, {"mode": "on"}, "rule loss: mode: 'on' is none of them; write one of live, shadow"),
        (GOOD, {"reason": "weather"}, "rule loss: reason: 'weather' is none of them; write one of slippage"),
    ],
)
def test_what_is_wrong_is_one_line(base: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRule) as refused:
        parse(base | changes)
    assert said in str(refused.value) and "\n" not in str(refused.value) and "\x1b" not in str(refused.value)


@pytest.mark.parametrize("field", sorted(GOOD))
def test_every_field_is_needed(field: str) -> None:
    with pytest.raises(BadRule, match=f"{field}: missing"):
        parse({key: value for key, value in GOOD.items() if key != field})


def test_lists_of_rules() -> None:
    assert [rule.name for rule in parse(GOOD, GOOD | {"name": "two"})] == ["loss", "two"]
    with pytest.raises(BadRule, match="rule loss: name: stands there twice"):
        parse(GOOD, GOOD)
    bad: list[dict[str, object]] = [{}, {"rule": []}, {"rule": GOOD}, {"rule": [GOOD] * (MOST_RULES + 1)}]
    for values in bad:
        with pytest.raises(BadRule, match="rule: not a list of 1 to 100 rules"):
            parse_rules(values, CATALOGUE)
    with pytest.raises(BadRule, match="rules: no such table"):
        parse_rules({"rules": [GOOD]}, CATALOGUE)
    with pytest.raises(BadRule, match="rule number 1: not a table"):
        parse(3)
    with pytest.raises(BadRule, match="the catalogue has no component:execution"):
        parse_rules({"rule": [GOOD]}, Catalogue.build(["ingest"], [], []))


@given(cut=st.integers(0, len(SHIPPED.read_text())))
def test_a_file_saved_half_way_is_read_whole_or_refused(cut: int) -> None:
    """Cut anywhere: what still parses are whole rules, each as in the whole file."""
    text = SHIPPED.read_text()
    whole = {rule.name: rule for rule in parse_rules(decoded(text), CATALOGUE)}
    try:
        found = parse_rules(decoded(text[:cut]), CATALOGUE)
    except (BadRule, tomllib.TOMLDecodeError):
        return
    changed = [rule.name for rule in found[:-1] if rule != whole[rule.name]]
    assert changed == []


def test_what_must_be_read() -> None:
    plan = plan_of(parse_rules(decoded(SHIPPED.read_text()), CATALOGUE), CATALOGUE)
    assert (plan.orders, plan.raw_s, plan.counted_s, plan.run, plan.run_s) == (True, 270, 3600, 10, 3600)
    assert (plan.positions, plan.sli_s, plan.incidents) == (True, 3600, ("broker/connectivity",))
    assert plan.symbols == ("BTC-USD", "ETH-USD") and not plan.counted_by_symbol and plan.horizon_s == 3600
    nothing = plan_of(parse(GOOD), CATALOGUE)
    assert (nothing.orders, nothing.run, nothing.counted_s, nothing.slis) == (False, 0, 0, ("daily_pnl_usd",))
    fast = {name: value for name, value in P95.items() if name not in ("for_s", "quantile")}
    run = parse(fast | {"condition": "consecutive", "window_s": 500})
    assert (plan_of(run, CATALOGUE).raw_s, plan_of(run, CATALOGUE).run) == (500, 0)


def test_conditions_have_words() -> None:
    assert [each.value for each in Condition] == [
        "consecutive", "ratio", "sustained", "count", "latest", "age", "increase",
    ]  # fmt: skip
