"""Objectives as people write them, for tests that then write something else."""

from pathlib import Path

from backends.openslo import load_book
from cockpit.domain.slos import SloBook
from tests.trading_platform import demo_catalogue

RATIO = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: order-success
  displayName: Order success
  annotations:
    cockpit/breaker: component:execution
    cockpit/fresh: 90s
    cockpit/consecutive-over: 5 orders
spec:
  description: Orders that went well.
  service: orders
  indicator:
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource:
            type: Prometheus
            spec:
              query: orders_total{result="ok"}
        total:
          metricSource:
            type: Prometheus
            spec:
              query: orders_total
  timeWindow:
    - duration: 30d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - target: 0.995
"""
LIMIT = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: bar-staleness
  annotations:
    cockpit/breaker: component:ingest
spec:
  indicator:
    spec:
      thresholdMetric:
        metricSource:
          type: Postgres
          spec:
            sli: bar_staleness
  timeWindow:
    - duration: 4w
      isRolling: true
  budgetingMethod: Timeslices
  objectives:
    - op: lte
      value: 120
      targetPercent: 99.5
      timeSliceTarget: 1.0
      timeSliceWindow: 5m
"""
THRESHOLD = """\
apiVersion: ops-cockpit/v1
kind: Threshold
metadata:
  name: error-rate
  annotations:
    cockpit/breaker: component:execution
spec:
  metricSource:
    type: Postgres
    spec:
      sli: operations
  statistic: failure-ratio
  window: 1h
  op: lte
  value: 0.02
  unit: share
"""
REFERENCE = (
    RATIO[: RATIO.index("  indicator:")] + "  indicatorRef: orders\n" + RATIO[RATIO.index("  timeW") :]
)
SLI = """\
apiVersion: openslo/v1
kind: SLI
metadata:
  name: orders
spec:
  ratioMetric:
    counter: false
    good:
      metricSource: {type: Postgres, spec: {sli: order_success}}
    total:
      metricSource: {type: Postgres, spec: {sli: order_success}}
"""


def load(folder: Path, *texts: str | bytes) -> SloBook:
    """The book of one file for each text: 0.yaml, 1.yaml, …"""
    for place, text in enumerate(texts):
        data = text if isinstance(text, bytes) else text.encode()
        (folder / f"{place}.yaml").write_bytes(data)
    return load_book([folder], demo_catalogue())


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1
