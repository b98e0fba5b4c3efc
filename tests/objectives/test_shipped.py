"""The objectives that come with the cockpit are the runbooks' own."""

from decimal import Decimal
from importlib.resources import files

import pytest
import yaml

from backends.openslo import load_book
from cockpit.domain.breakers import EXECUTION, BreakerId
from cockpit.domain.slos import Consecutive, Limit, Op, Slices, Slo, Source, SourceKind, Statistic, Threshold
from tests.trading_platform import demo_catalogue

INGEST = BreakerId("component:ingest")
FOLDER = files("runbooks").joinpath("slos")
BOOK = load_book([FOLDER], demo_catalogue())
MONTH = 30 * 86_400
FIGURE = "figure:oldest-unacknowledged-critical-min"


def written(slo: Slo) -> tuple[object, ...]:
    indicator = slo.indicator
    source = indicator.source if isinstance(indicator, Limit) else indicator.total
    bound = (indicator.op, indicator.bound) if isinstance(indicator, Limit) else None
    return source.query, bound, slo.objective, slo.window_s, slo.breaker, slo.consecutive, slo.slices


def test_slos_01_to_03_and_the_execution_latency() -> None:
    half, one = Decimal("0.995"), Decimal("0.99")
    assert {slo.name: written(slo) for slo in BOOK.slos} == {
        "data-feed-uptime": ("data_feed", None, half, MONTH, INGEST, None, None),
        "bar-staleness": (
            "bar_staleness_p99_s",
            (Op.LTE, 120.0),
            one,
            MONTH,
            INGEST,
            None,
            Slices(60, Decimal(1)),
        ),
        "signal-latency": (
            "signal_latency_p99_ms",
            (Op.LTE, 1_000.0),
            one,
            MONTH,
            EXECUTION,
            Consecutive(3, "bars"),
            None,
        ),
        "order-success": ("order_success", None, half, MONTH, EXECUTION, Consecutive(5, "orders"), None),
        "execution-latency": ("execution_latency", None, one, MONTH, EXECUTION, None, None),
    }


def bounded(each: Threshold) -> tuple[object, ...]:
    return each.source.query, each.statistic, each.window_s, each.op, each.bound, each.breaker, each.fresh_s


def test_the_operations_runbooks_thresholds() -> None:
    latest = Statistic.LATEST
    assert {each.name: bounded(each) for each in BOOK.thresholds} == {
        "reconciliation-pass-rate": (
            "reconciliation_pass",
            Statistic.RATIO,
            86_400,
            Op.GTE,
            0.995,
            EXECUTION,
            180.0,
        ),
        "operational-error-rate": (
            "operations",
            Statistic.FAILURE_RATIO,
            3_600,
            Op.LTE,
            0.02,
            EXECUTION,
            60.0,
        ),
        "reconciliation-mismatch-runs": (
            "reconciliation_mismatch_runs",
            latest,
            0,
            Op.LT,
            3.0,
            EXECUTION,
            180.0,
        ),
        "data-quality-errors": ("data_quality_errors", latest, 0, Op.LTE, 0.0, INGEST, 60.0),
        "data-stale-warnings": ("data_stale_warnings", latest, 0, Op.LTE, 0.0, INGEST, 60.0),
        "incident-acknowledgement": (FIGURE, latest, 0, Op.LTE, 15.0, EXECUTION, 60.0),
    }


@pytest.mark.parametrize("each", [*BOOK.slos, *BOOK.thresholds], ids=lambda each: each.name)
def test_each_says_what_it_is(each: Slo | Threshold) -> None:
    assert len(each.description) > 40
    assert each.title != each.name
    assert each.fresh_s <= 180


def test_all_of_them_come_from_the_plants_samples() -> None:
    sources: list[Source] = [each.source for each in BOOK.thresholds]
    for slo in BOOK.slos:
        indicator = slo.indicator
        sources.append(indicator.source if isinstance(indicator, Limit) else indicator.total)
    assert {source.kind for source in sources} == {SourceKind.POSTGRES}


def test_any_yaml_reader_sees_the_same_kinds() -> None:
    """What the strict reader takes is plain YAML: another one finds the same objects in it."""
    documents = [document for file in FOLDER.iterdir() for document in yaml.safe_load_all(file.read_text())]
    names = {document["metadata"]["name"]: document["kind"] for document in documents}
    assert names == {slo.name: "SLO" for slo in BOOK.slos} | {
        each.name: "Threshold" for each in BOOK.thresholds
    }
    for document in documents:
        assert set(document) == {"apiVersion", "kind", "metadata", "spec"}
        assert all(isinstance(each, str) for each in document["metadata"]["annotations"].values())


def test_what_a_breachs_incident_demands() -> None:
    """Bars and cycles for data, clean runs for the books, a broker for what only the venue can answer."""
    found = {each.name: each.classification.value for each in (*BOOK.slos, *BOOK.thresholds)}
    assert {name: word for name, word in found.items() if word != "other"} == {
        "data-feed-uptime": "data_quality",
        "bar-staleness": "data_quality",
        "data-quality-errors": "data_quality",
        "data-stale-warnings": "data_quality",
        "reconciliation-pass-rate": "reconciliation",
        "reconciliation-mismatch-runs": "reconciliation",
        "order-success": "broker/connectivity",
        "execution-latency": "broker/connectivity",
    }
