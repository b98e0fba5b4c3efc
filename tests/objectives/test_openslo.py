"""What is read of OpenSLO, and what is refused: with file, line, field and what would be right."""

from decimal import Decimal
from pathlib import Path

import pytest

from backends.openslo import BadObjective, load_book, read_bytes
from backends.yaml_tree import MAX_BYTES, MAX_DEPTH, MAX_DOCUMENTS, MAX_NODES, MAX_SCALAR
from cockpit.domain.breakers import EXECUTION
from cockpit.domain.slos import (
    Budgeting,
    Consecutive,
    Limit,
    Op,
    Ratio,
    Slices,
    Source,
    SourceKind,
    Statistic,
)
from tests.objectives.written import LIMIT, RATIO, REFERENCE, SLI, THRESHOLD, line_of, load
from tests.trading_platform import demo_catalogue

PROMETHEUS, POSTGRES = SourceKind.PROMETHEUS, SourceKind.POSTGRES
BOTH_POSTGRES = (
    RATIO.replace("Prometheus", "Postgres")
    .replace('query: orders_total{result="ok"}', "sli: orders")
    .replace("query: orders_total", "sli: orders")
)


# --- what is taken -----------------------------------------------------------------------------------------


def test_a_ratio_of_prometheus(tmp_path: Path) -> None:
    (slo,) = load(tmp_path, RATIO).slos
    good, total = Source(PROMETHEUS, 'orders_total{result="ok"}'), Source(PROMETHEUS, "orders_total")
    assert slo.indicator == Ratio(total, good, None, True)
    assert (slo.name, slo.title, slo.description) == (
        "order-success",
        "Order success",
        "Orders that went well.",
    )
    assert (slo.objective, slo.window_s) == (Decimal("0.995"), 30 * 86_400)
    assert (slo.budgeting, slo.slices) == (Budgeting.OCCURRENCES, None)
    assert (slo.breaker, slo.fresh_s) == (EXECUTION, 90.0)
    assert slo.consecutive == Consecutive(5, "orders")
    assert (slo.file, slo.line) == (str(tmp_path / "0.yaml"), 1)


def test_a_limit_in_time_slices(tmp_path: Path) -> None:
    (slo,) = load(tmp_path, LIMIT).slos
    assert slo.indicator == Limit(Source(POSTGRES, "bar_staleness"), Op.LTE, 120.0)
    assert (slo.budgeting, slo.slices) == (Budgeting.TIMESLICES, Slices(300, Decimal("1.0")))
    assert (slo.objective, slo.window_s) == (Decimal("0.995"), 28 * 86_400)
    assert (slo.title, slo.fresh_s, slo.consecutive) == ("bar-staleness", 60.0, None)


def test_a_threshold(tmp_path: Path) -> None:
    (threshold,) = load(tmp_path, THRESHOLD).thresholds
    assert threshold.source == Source(POSTGRES, "operations")
    assert (threshold.statistic, threshold.window_s) == (Statistic.FAILURE_RATIO, 3_600)
    assert (threshold.op, threshold.bound, threshold.unit) == (Op.LTE, 0.02, "share")


def test_a_figure_of_the_desk(tmp_path: Path) -> None:
    text = THRESHOLD.replace("sli: operations", "figure: oldest-unacknowledged-critical-min")
    text = text.replace("failure-ratio\n  window: 1h", "latest").replace("0.02", "15")
    (threshold,) = load(tmp_path, text).thresholds
    assert threshold.source == Source(POSTGRES, "figure:oldest-unacknowledged-critical-min")
    assert (threshold.window_s, threshold.bound) == (0, 15.0)


def test_a_threshold_of_prometheus(tmp_path: Path) -> None:
    text = THRESHOLD.replace("Postgres", "Prometheus").replace("sli: operations", "query: max(lag_seconds)")
    (threshold,) = load(tmp_path, text.replace("failure-ratio\n  window: 1h", "latest")).thresholds
    assert threshold.source == Source(PROMETHEUS, "max(lag_seconds)")


def test_a_ratio_of_postgres_names_its_sli_once_and_means_both_columns(tmp_path: Path) -> None:
    (slo,) = load(tmp_path, BOTH_POSTGRES).slos
    assert slo.indicator == Ratio(Source(POSTGRES, "orders"), Source(POSTGRES, "orders"), None, True)


def test_bad_events_of_prometheus(tmp_path: Path) -> None:
    (slo,) = load(tmp_path, RATIO.replace("good:", "bad:")).slos
    assert isinstance(slo.indicator, Ratio)
    assert slo.indicator.good is None
    assert slo.indicator.bad == Source(PROMETHEUS, 'orders_total{result="ok"}')


@pytest.mark.parametrize("order", [(REFERENCE, SLI), (SLI, REFERENCE), (REFERENCE + "---\n" + SLI,)])
def test_an_indicator_of_its_own_stands_in_any_file(tmp_path: Path, order: tuple[str, ...]) -> None:
    (slo,) = load(tmp_path, *order).slos
    assert isinstance(slo.indicator, Ratio)
    assert slo.indicator.total == Source(POSTGRES, "order_success")


def test_several_documents_stand_in_one_file(tmp_path: Path) -> None:
    text = f"---\n{RATIO}---\n# nothing here\n---\n{LIMIT}---\n{THRESHOLD}"
    book = load(tmp_path, text)
    slos, thresholds = book.slos, book.thresholds
    found = [(each.name, each.line) for each in slos] + [(each.name, each.line) for each in thresholds]
    assert found == [
        ("order-success", 2),
        ("bar-staleness", line_of(text, LIMIT)),
        ("error-rate", line_of(text, THRESHOLD)),
    ]
    assert book.loaded_at is not None
    assert book.faults == ()


def test_what_openslo_leaves_to_others_is_passed_over(tmp_path: Path) -> None:
    text = RATIO.replace(
        "  annotations:\n", "  labels: {team: [a, b]}\n  annotations:\n    example.org/x: y\n"
    )
    text = text.replace("  indicator:\n", "  indicator:\n    metadata: {name: x, displayName: X}\n")
    assert load(tmp_path, text).slos[0].name == "order-success"


def test_only_visible_yaml_files_count(tmp_path: Path) -> None:
    (tmp_path / ".0.yaml.swp").write_text("half a fi")
    (tmp_path / ".hidden.yaml").write_text("half a fi")
    (tmp_path / "README.md").write_text("not YAML: [")
    (tmp_path / "folder").mkdir()
    (tmp_path / "b.yml").write_text(LIMIT)
    assert [slo.name for slo in load(tmp_path, RATIO).slos] == ["order-success", "bar-staleness"]


def test_without_folders_there_are_no_objectives() -> None:
    assert load_book([], demo_catalogue()).empty


def test_text_of_a_file_cannot_act_on_the_terminal(tmp_path: Path) -> None:  # I26
    text = RATIO.replace("Orders that went well.", '"a\\u202Eb\\e[31mc\\nd"')
    (slo,) = load(tmp_path, text).slos
    assert slo.description == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}[31mc d"


def test_a_query_over_several_lines_becomes_one(tmp_path: Path) -> None:
    query = '|\n                orders_total{\n                  result="ok"}'
    (slo,) = load(tmp_path, RATIO.replace('orders_total{result="ok"}', query)).slos
    assert isinstance(slo.indicator, Ratio)
    assert slo.indicator.good == Source(PROMETHEUS, 'orders_total{   result="ok"}')


@pytest.mark.parametrize(("written", "seconds"), [("90m", 5_400), ("24h", 86_400), ("7d", 604_800)])
def test_durations(tmp_path: Path, written: str, seconds: int) -> None:
    assert load(tmp_path, RATIO.replace("30d", written)).slos[0].window_s == seconds


@pytest.mark.parametrize(("written", "seconds"), [("5", 300), ("1m", 60), ("2h", 7_200)])
def test_a_slice_without_a_unit_counts_minutes(tmp_path: Path, written: str, seconds: int) -> None:
    slices = load(tmp_path, LIMIT.replace("5m", written)).slos[0].slices
    assert slices is not None
    assert slices.width_s == seconds


@pytest.mark.parametrize(
    ("written", "objective"),
    [("target: 0.5", "0.5"), ("target: 0.999999999", "0.999999999"), ("targetPercent: 99.99", "0.9999")],
)
def test_shares(tmp_path: Path, written: str, objective: str) -> None:
    assert load(tmp_path, RATIO.replace("target: 0.995", written)).slos[0].objective == Decimal(objective)


# --- what is refused ---------------------------------------------------------------------------------------

QUERY = 'query: orders_total{result="ok"}'
# (the text, what of it is replaced, by what, on which of its lines the fault is, the field and the fault)
REFUSED = [
    # the object
    (RATIO, "apiVersion: openslo/v1", "apiVersion: openslo/v2", "apiVersion", "write openslo/v1"),
    (RATIO, "apiVersion: openslo/v1\n", "", "kind", "apiVersion: is missing"),
    (RATIO, "kind: SLO", "kind: AlertPolicy", "kind", "'AlertPolicy' of openslo/v1 is not read"),
    (RATIO, "kind: SLO", "kind: Threshold", "kind", "write SLO or SLI"),
    (THRESHOLD, "kind: Threshold", "kind: SLO", "kind", "write Threshold"),
    (RATIO, "kind: SLO", "kind: [SLO]", "kind", "kind: a list stands where one value belongs"),
    (RATIO, "kind: SLO\n", "kind: SLO\nstatus: {}\n", "status", "status: no such field"),
    # metadata
    (
        RATIO,
        "name: order-success",
        "name: Order_Success",
        "name:",
        "metadata.name: 'Order_Success' is no name",
    ),
    (RATIO, "name: order-success", "name: -a", "name:", "no name"),
    (RATIO, "name: order-success", f"name: {'a' * 64}", "name:", "1 to 63"),
    (RATIO, "  name: order-success\n", "", "  displayName", "metadata.name: is missing"),
    (RATIO, "name: order-success", "name: 5", "name:", "'5' is no text; write it in quotes"),
    (RATIO, "name: order-success", "name: yes", "name:", "'yes' is no text"),
    (RATIO, "displayName: Order success", "displayName:", "displayName", "nothing is no text"),
    (RATIO, "displayName: Order success", 'displayName: " "', "displayName", "is empty"),
    (RATIO, "displayName: Order success", f"displayName: {'a' * 201}", "displayName", "at most 200"),
    (RATIO, "displayName", "title", "title", "metadata.title: no such field; known here are name"),
    (RATIO, "cockpit/breaker: component:execution", "a/b: c", "    a/b", "cockpit/breaker: is missing"),
    (RATIO, "component:execution", "component:exec", "cockpit/breaker", "unknown breaker 'component:exec'"),
    (RATIO, "component:execution", "execution", "cockpit/breaker", "is not a breaker's name"),
    (
        RATIO,
        "cockpit/fresh",
        "cockpit/fresch",
        "cockpit/fresch",
        "no such annotation; known here are cockpit",
    ),
    (RATIO, "fresh: 90s", "fresh: 25h", "cockpit/fresh", "write 24h or less"),
    (RATIO, "fresh: 90s", "fresh: 0s", "cockpit/fresh", "no duration"),
    (RATIO, "fresh: 90s", "fresh: 90", "cockpit/fresh", "no text"),
    (
        RATIO,
        "  annotations:\n",
        "  annotations:\n    cockpit/classification: order-execution\n",
        "cockpit/classification",
        "'order-execution' is not known here; write data_quality or reconciliation or broker/connectivity",
    ),
    (RATIO, "over: 5 orders", "over: five orders", "cockpit/consecutive", "write 5 orders"),
    (
        THRESHOLD,
        "  annotations:\n",
        "  annotations:\n    cockpit/consecutive-over: 5 runs\n",
        "metadata",
        "for SLOs",
    ),
    # the spec
    (RATIO, "  service: orders", "  alertPolicies: []", "  alertPolicies", "burn alerts over window pairs"),
    (
        RATIO,
        "description: Orders that went well.",
        f"description: {'a' * 1_051}",
        "description",
        "at most 1,050",
    ),
    (RATIO, "  indicator:", "  indicatorRef: x\n  indicator:", "  indicator:", "stands beside indicatorRef"),
    (REFERENCE, "  indicatorRef: orders\n", "", "  description", "indicator or indicatorRef: is missing"),
    (REFERENCE, "indicatorRef: orders", "indicatorRef: elsewhere", "indicatorRef", "no SLI 'elsewhere'"),
    (
        RATIO,
        "    spec:\n",
        "    specification: 5\n    spec:\n",
        "    specification",
        "indicator.specification",
    ),
    # the window
    (RATIO, "duration: 30d", "duration: 1M", "duration", "'1M' is no duration in whole m, h, d, w"),
    (RATIO, "duration: 30d", "duration: 30 days", "duration", "write - {duration: 30d"),
    (RATIO, "duration: 30d", "duration: 0d", "duration", "no duration"),
    (RATIO, "duration: 30d", "duration: 59m", "duration", "1h to 366d"),
    (RATIO, "duration: 30d", "duration: 367d", "duration", "1h to 366d"),
    (RATIO, "duration: 30d", "duration: 99999999w", "duration", "1h to 366d"),
    (RATIO, "isRolling: true", "isRolling: false", "isRolling", "only rolling windows"),
    (RATIO, "isRolling: true", "isRolling: 1", "isRolling", "neither true nor false"),
    (RATIO, "isRolling: true", 'isRolling: "true"', "isRolling", "neither true nor false"),
    (RATIO, "isRolling: true", "calendar: {}", "calendar", "only rolling windows"),
    (RATIO, "    - duration: 30d\n", "    - 5\n    - duration: 30d\n", "timeWindow", "holds 2 entries"),
    (RATIO, "    - duration: 30d\n      isRolling: true\n", "    []\n", "timeWindow", "holds 0 entries"),
    (
        RATIO,
        "    - duration: 30d\n      isRolling: true\n",
        "    - 30d\n",
        "    - 30d",
        "timeWindow[0]: '30d'",
    ),
    (RATIO, "    - duration: 30d\n      isRolling: true\n", "    5\n", "timeWindow", "is no list"),
    (RATIO, "Occurrences", "RatioTimeslices", "budgetingMethod", "write Occurrences or Timeslices"),
    (RATIO, "Occurrences", "occurrences", "budgetingMethod", "not known here"),
    # the objective
    (RATIO, "target: 0.995", "target: 1", "target", "100 % leaves no error budget"),
    (RATIO, "target: 0.995", "target: 1.0", "target", "write 0.999 or less"),
    (RATIO, "target: 0.995", "targetPercent: 100", "targetPercent", "write 99.9 or less"),
    (RATIO, "target: 0.995", "target: 99.5", "target", "over 0 and under 1"),
    (RATIO, "target: 0.995", "target: 0", "target", "over 0 and under 1"),
    (RATIO, "target: 0.995", "target: -0.5", "target", "over 0 and under 1"),
    (RATIO, "target: 0.995", "targetPercent: 100.1", "targetPercent", "under 100"),
    (RATIO, "target: 0.995", "target: 0.9999999999", "target", "nine decimal places"),
    (RATIO, "target: 0.995", "target: .nan", "target", "no finite decimal number"),
    (RATIO, "target: 0.995", "target: .inf", "target", "no finite decimal number"),
    (RATIO, "target: 0.995", 'target: "0.995"', "target", "without quotes"),
    (RATIO, "target: 0.995", "target: 0x1", "target", "no finite decimal number"),
    (RATIO, "target: 0.995", "target: true", "target", "no finite decimal number"),
    (
        RATIO,
        "target: 0.995",
        "target: 0.995\n      targetPercent: 99.5",
        "targetPercent",
        "stands beside target",
    ),
    (
        RATIO,
        "    - target: 0.995",
        "    - displayName: x",
        "    - displayName",
        "target or targetPercent: is miss",
    ),
    (RATIO, "    - target: 0.995", "    - target: 0.9\n    - target: 0.99", "objectives", "exactly one"),
    (
        RATIO,
        "    - target: 0.995\n",
        "    - target: 0.995\n      op: lte\n",
        "      op",
        "for a thresholdMetric",
    ),
    (
        RATIO,
        "    - target: 0.995\n",
        "    - target: 0.9\n      timeSliceTarget: 1\n",
        "timeSliceT",
        "for budgetingM",
    ),
    (
        RATIO,
        "    - target: 0.995\n",
        "    - target: 0.9\n      goal: 1\n",
        "      goal",
        "objectives[0].goal",
    ),
    (LIMIT, "    - op: lte\n      value", "    - value", "    - value", "op: is missing"),
    (LIMIT, "      value: 120\n", "", "    - op", "value: is missing"),
    (LIMIT, "op: lte", "op: eq", "op:", "write lt or lte or gt or gte"),
    (LIMIT, "value: 120", "value: .inf", "value", "no finite decimal number"),
    (LIMIT, "value: 120", "value: 1_000", "value", "no finite decimal number"),
    (LIMIT, "value: 120", "value: 010", "value", "no finite decimal number"),
    (LIMIT, "value: 120", "value: 190:20:30", "value", "no finite decimal number"),
    (LIMIT, "value: 120", f"value: {'9' * 400}", "value", "no finite decimal number"),
    (LIMIT, "timeSliceTarget: 1.0", "timeSliceTarget: 0", "timeSliceTarget", "over 0 and up to 1"),
    (LIMIT, "timeSliceTarget: 1.0", "timeSliceTarget: 1.1", "timeSliceTarget", "over 0 and up to 1"),
    (LIMIT, "      timeSliceTarget: 1.0\n", "", "    - op", "timeSliceTarget: is missing"),
    (LIMIT, "      timeSliceWindow: 5m\n", "", "    - op", "timeSliceWindow: is missing"),
    (LIMIT, "timeSliceWindow: 5m", "timeSliceWindow: 13m", "timeSliceWindow", "does not divide"),
    (LIMIT, "timeSliceWindow: 5m", "timeSliceWindow: 8w", "timeSliceWindow", "does not divide"),
    (LIMIT, "timeSliceWindow: 5m", "timeSliceWindow: 0", "timeSliceWindow", "are no slice"),
    (LIMIT, "timeSliceWindow: 5m", "timeSliceWindow: 30s", "timeSliceWindow", "no duration"),
    # the indicator
    (
        RATIO,
        "      ratioMetric:",
        "      thresholdMetric: {}\n      ratioMetric:",
        "      ratioM",
        "stands beside",
    ),
    (RATIO, "        counter: true\n", "", "        good", "counter: is missing"),
    (RATIO, "counter: true", "counter: maybe", "counter", "neither true nor false"),
    (RATIO, "        good:", "        raw:", "        raw", "cannot be weighted by events"),
    (RATIO, "        good:", "        bad: {}\n        good:", "        good", "stands beside bad"),
    (RATIO, "        total:", "        all:", "        all", "no such field; known here are counter, good"),
    (RATIO, "type: Prometheus", "type: Datadog", "type", "write Prometheus or Postgres"),
    (
        RATIO,
        "type: Prometheus",
        "metricSourceRef: mine",
        "metricSourceRef",
        "sources are configured in the set",
    ),
    (RATIO, "            type: Prometheus\n", "", "            spec", "type: is missing"),
    (RATIO, QUERY, "sli: orders", "sli", "spec.sli: no such field; known here are query"),
    (RATIO, QUERY, "query: rate(orders_total[5m])", "query", "spec.query: a function call"),
    (RATIO, QUERY, "query: orders_total[5m]", "query", "a selector with a range of its own"),
    (RATIO, QUERY, "query: sum(orders_total)", "query", "an aggregation"),
    (RATIO, QUERY, "query: orders_total{", "query", "not PromQL"),
    (RATIO, QUERY, "query: orders_total offset 1h", "query", "offset or @ of its own"),
    (RATIO, QUERY, "query: {}", "query", "a mapping stands where one value belongs"),
    (RATIO, QUERY, "query: '#'", "query", "holds a comment"),
    (
        RATIO,
        "type: Prometheus\n            spec:\n              " + QUERY,
        "type: Postgres\n            spec:\n              sli: orders",
        "        good",
        "comes from Postgres and total from Prometheus; take both from one",
    ),
    (BOTH_POSTGRES, "good:", "bad:", "        bad", "sli_samples holds good and total; write good"),
    (
        BOTH_POSTGRES,
        "sli: orders",
        "sli: others",
        "        good",
        "names the sli 'others' and total 'orders'",
    ),
    (BOTH_POSTGRES, "sli: orders", "sli: Orders", "sli", "'Orders' is no sli"),
    (BOTH_POSTGRES, "sli: orders", "figure: x", "figure", "figures are for thresholds"),
    (BOTH_POSTGRES, "sli: orders", "query: SELECT 1", "query", "known here are sli"),
    (LIMIT, "sli: bar_staleness", "sli: a;b", "sli", "no sli"),
    # thresholds
    (
        THRESHOLD,
        "statistic: failure-ratio",
        "statistic: mean",
        "statistic",
        "write latest or ratio or failure-r",
    ),
    (THRESHOLD, "statistic: failure-ratio", "statistic: latest", "window", "the latest value has none"),
    (THRESHOLD, "  window: 1h\n", "", "  metricSource", "window: is missing"),
    (THRESHOLD, "window: 1h", "window: 400d", "window", "over 366 days"),
    (THRESHOLD, "value: 0.02", "value: 2", "value", "so 0.02 for 2 %"),
    (THRESHOLD, "value: 0.02", "value: .nan", "value", "no finite decimal number"),
    (THRESHOLD, "  unit: share\n", "", "  metricSource", "unit: is missing"),
    (THRESHOLD, "op: lte", "op: eq", "op", "write lt or lte"),
    (THRESHOLD, "  op: lte", "  target: 0.9\n  op: lte", "target", "spec.target: no such field"),
    (THRESHOLD, "sli: operations", "figure: my-figure", "figure", "write oldest-unacknowledged-critical-min"),
    (THRESHOLD, "sli: operations", "figure: oldest-unacknowledged-critical-min", "statistic", "needs an sli"),
    (THRESHOLD, "sli: operations", "{}", "{}", "sli or figure: is missing"),
    # YAML itself
    (
        RATIO,
        "kind: SLO\n",
        "kind: SLO\nkind: SLO\n",
        "kind: SLO\nmeta",
        "kind: stands here twice (first on line 2)",
    ),
    (
        RATIO,
        "service: orders",
        "description: again",
        "description: again",
        "spec.description: stands here twice",
    ),
    (
        RATIO,
        "service: orders",
        "service: !!python/name:os.system x",
        "service",
        "spec.service: a tag (!) is not taken",
    ),
    (RATIO, "service: orders", "service: !!str orders", "service", "spec.service: a tag"),
    (RATIO, "service: orders", "service: &a orders", "service", "an anchor (&) is not taken"),
    (RATIO, "service: orders", "service: *a", "service", "an alias (*) is not taken"),
    (RATIO, "service: orders", "<<: {a: b}", "<<", "spec.<<: no such field"),
    (RATIO, "service: orders", "service: [a", "  indicator:", "not YAML"),
    (RATIO, "service: orders", "\tservice: orders", "\tservice", "not YAML"),
    (RATIO, "service: orders", "? [a, b]\n  : c", "? [a", "a key is no plain text"),
    (RATIO, "service: orders", "service: a\x01b", "service", "control character"),
    (RATIO, "service: orders", f"service: {'a ' * MAX_SCALAR}", "service", "over 4,000 characters"),
    (RATIO, "service: orders", "service: " + "[" * MAX_DEPTH, "service", "nested over 16 deep"),
]


@pytest.mark.parametrize(
    ("text", "old", "new", "at", "said"), REFUSED, ids=[" ".join(each[2].split())[:40] for each in REFUSED]
)
def test_what_is_wrong_is_refused_with_file_and_line(
    tmp_path: Path, text: str, old: str, new: str, at: str, said: str
) -> None:
    assert old in text
    broken = text.replace(old, new, 1)
    with pytest.raises(BadObjective) as refused:
        load(tmp_path, broken)
    message = str(refused.value)
    place = line_of(broken, new) if at in new else line_of(broken, at)
    if at in new:
        place += new[: new.index(at)].count("\n")
    assert message.startswith(f"{tmp_path / '0.yaml'}:"), message
    assert said in message, message
    assert "\n" not in message
    assert refused.value.line == place, message


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        (b"", 1, "holds no document"),
        (b"# only a comment\n", 1, "holds no document"),
        (b"---\n---\n", 1, "holds no document"),
        (b"- 1\n", 1, "a list is no object"),
        (b"\nhello\n", 2, "a text is no object"),
        (b"a: b\nc: \xff\n", 2, "not UTF-8"),
        (RATIO.encode("utf-16"), 1, "not UTF-8"),
        (b"#" * (MAX_BYTES + 1), 1, "at most 1,000,000"),
        (b"--- {a: b}\n" * (MAX_DOCUMENTS + 1), MAX_DOCUMENTS + 1, "over 500 documents"),
        (b"- [" + b"1," * MAX_NODES + b"1]\n", 1, "over 50,000 values"),
        (b"[" * 100_000, 1, "nested over 16 deep"),
        (b"{a: " * 100_000, 1, "nested over 16 deep"),
        (b"? " * 100_000, 1, "a key is no plain text"),
        (b"- " * 100_000, 1, "nested over 16 deep"),
        (b"a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", 1, "an anchor"),
        (b"%YAML 3.0\n---\na: b\n", 1, "not YAML"),
        (b"a: b: c\n", 1, "not YAML"),
        ("a: é\n".encode() * 99 + b"b: \x01\n" + b"c: d\n" * 99, 100, "control character"),
    ],
    ids=range(18),
)
def test_what_is_no_plain_yaml_is_refused(tmp_path: Path, data: bytes, line: int, said: str) -> None:
    with pytest.raises(BadObjective, match=said) as refused:
        load(tmp_path, data)
    assert refused.value.line == line
    assert len(str(refused.value)) < 1_000


def test_utf_8_with_a_mark_is_read(tmp_path: Path) -> None:
    assert load(tmp_path, b"\xef\xbb\xbf" + RATIO.encode()).slos[0].name == "order-success"


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ((RATIO, RATIO), "1.yaml:1: metadata.name: the objective 'order-success' is already in "),
        ((RATIO + "---\n" + RATIO,), ":34: metadata.name: the objective 'order-success' is already in "),
        ((RATIO, THRESHOLD.replace("error-rate", "order-success")), "already in"),
        ((SLI, SLI, RATIO), "1.yaml:1: metadata.name: the SLI 'orders' is already in "),
    ],
)
def test_a_name_stands_once_over_all_files(tmp_path: Path, texts: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadObjective, match=r"0\.yaml:1; give it another name") as refused:
        load(tmp_path, *texts)
    assert said in str(refused.value)


def test_an_sli_may_bear_the_name_of_an_slo(tmp_path: Path) -> None:
    assert load(tmp_path, RATIO, SLI.replace("name: orders", "name: order-success")).slos


def test_folders_must_be_there_and_hold_something(tmp_path: Path) -> None:
    for folder, said in (
        (tmp_path, "holds no *.yaml file"),
        (tmp_path / "none", "cannot be read: No such file"),
    ):
        with pytest.raises(BadObjective) as refused:
            load_book([folder], demo_catalogue())
        assert str(refused.value).startswith(f"{folder}: {said}")
        assert refused.value.line == 0


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadObjective, match=r"0\.yaml:1: cannot be read: No such file"):
        read_bytes(tmp_path / "0.yaml")
    (tmp_path / "1.yaml").mkdir()
    with pytest.raises(BadObjective, match=r"1\.yaml: is a folder, not a file"):
        read_bytes(tmp_path / "1.yaml")


@pytest.mark.parametrize(
    "held",
    [
        "root:$6$S3CRET$abc:19000:0:99999:7:::\n",
        "root:$6$S3CRET$abc:19000:0:99999:7:::\ndaemon: x\n",
        "S3CRET\n",
        "S3CRET: x\n",
        "? S3CRET\n: x\n",
        "{S3CRET: 1, S3CRET: 2}\n",
        "S3CRET: [\n",
        "S3CRET: &x 1\n",
        "!S3CRET x\n",
        "-----BEGIN PRIVATE KEY-----\nS3CRET\n-----END PRIVATE KEY-----\n",
        "password=S3CRET\n",
        "kind: SLO\nS3CRET: x\n",
    ],
)
def test_a_link_to_a_file_of_secrets_tells_none_of_them(tmp_path: Path, held: str) -> None:  # I27
    (tmp_path / "secrets").write_text(held)
    folder = tmp_path / "slos"
    folder.mkdir()
    (folder / "a.yaml").symlink_to(tmp_path / "secrets")
    with pytest.raises(BadObjective) as refused:
        load_book([folder], demo_catalogue())
    assert "S3CRET" not in str(refused.value)
    assert "$6$" not in str(refused.value)
