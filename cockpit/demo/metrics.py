"""The plant's metrics, for `GET /metrics` of its gateway. Names by Prometheus' conventions, in a registry of
their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cockpit.demo.accounts import Fill
from cockpit.demo.bars import KINDS, Quality
from cockpit.demo.market import LISTINGS, Tick
from cockpit.demo.orders import Order, OrderStatus
from cockpit.demo.venue import Outcome

_ENDED: Final = (OrderStatus.FILLED, OrderStatus.REJECTED, OrderStatus.CANCELLED)
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
_SHORT_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure that is read when it is asked for; its rows are `(label value, number)`, `""` without a
    label."""

    name: str
    help: str
    label: str
    rows: Iterable[tuple[str, float]]


class _Gauges(Collector):
    def __init__(self, read: Callable[[], Iterable[Gauge]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        return ()  # registering reads nothing: the plant is not complete yet

    def collect(self) -> Iterable[Metric]:
        for gauge in self._read():
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=[gauge.label] if gauge.label else None)
            for label, number in gauge.rows:
                family.add_metric([label] if gauge.label else [], number)
            yield family


class Metrics:
    """Counters and histograms, told of by whoever acts; `gauges` are read at each scrape."""

    def __init__(self, gauges: Callable[[], Iterable[Gauge]]) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def histogram(name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, text, labels, buckets=bounds, registry=registry)

        self._orders = counter("orders", "Orders that ended, but for probe orders", "symbol", "status")
        self._paper = counter("paper_orders", "Probe orders that ended", "status")
        self._latency = histogram(
            "order_latency_seconds", "From sending an order to the venue's answer", _SECONDS, "symbol"
        )
        self._signals = histogram(
            "signal_latency_seconds", "From a look at the market to the venue's answer", _SECONDS, "strategy"
        )
        self._exchanges = counter("venue_requests", "Exchanges with the venue", "outcome")
        self._exchange_s = histogram("venue_request_seconds", "How long exchanges took", _SECONDS)
        self._requests = counter("gateway_requests", "HTTP requests", "method", "route", "code")
        self._request_s = histogram("gateway_request_seconds", "How long they took", _SECONDS, "route")
        self._ticks = counter("ticks", "Ticks of the feed", "symbol")
        self._errors = counter("data_quality_errors", "Faults found in ticks and bars", "kind")
        self._loop_lag = histogram("event_loop_lag_seconds", "How late the plant wakes", _SHORT_SECONDS)
        self._writes = counter("book_writes", "Transactions to Postgres", "outcome")
        self._write_s = histogram("book_write_seconds", "How long they took", _SHORT_SECONDS)
        self._fills = counter("engine_fills", "Fills that moved a position", "symbol")
        self._violations = counter("invariant_violation", "Differences found between ledger and positions")
        self._runs = counter("reconciliation_runs", "Reconciliations with the venue", "status")
        self._begin()
        ProcessCollector(registry=registry)
        registry.register(_Gauges(gauges))

    def _begin(self) -> None:
        """Every series from the first scrape on: one that is missing is not one that is zero."""
        for symbol in LISTINGS:
            for status in _ENDED:
                self._orders.labels(symbol, status.value)
            for metric in (self._latency, self._ticks, self._fills):
                metric.labels(symbol)
        for status in _ENDED:
            self._paper.labels(status.value)
        for metric, names in (
            (self._exchanges, tuple(each.value for each in Outcome)),
            (self._errors, KINDS),
            (self._writes, ("ok", "failed")),
            (self._runs, ("clean", "mismatch", "unknown")),
        ):
            for name in names:
                metric.labels(name)

    def order(self, order: Order) -> None:
        if order.status in _ENDED:
            if order.paper:
                self._paper.labels(order.status.value).inc()
            else:
                self._orders.labels(order.symbol, order.status.value).inc()
        executed = order.status in (OrderStatus.FILLED, OrderStatus.REJECTED)
        if executed and order.latency_ms is not None and not order.paper:
            self._latency.labels(order.symbol).observe(order.latency_ms / 1_000)

    def fill(self, fill: Fill) -> None:
        if fill.quantity:
            self._fills.labels(fill.symbol).inc()

    def exchange(self, outcome: Outcome, seconds: float) -> None:
        self._exchanges.labels(outcome.value).inc()
        self._exchange_s.observe(seconds)

    def signal(self, strategy: str, seconds: float) -> None:
        self._signals.labels(strategy).observe(seconds)

    def request(self, method: str, route: str, code: int, seconds: float) -> None:
        self._requests.labels(method, route, str(code)).inc()
        self._request_s.labels(route).observe(seconds)

    def ticks(self, ticks: Iterable[Tick]) -> None:
        for tick in ticks:
            self._ticks.labels(tick.symbol).inc()

    def quality(self, quality: Quality) -> None:
        for kind, errors in quality.errors.items():
            self._errors.labels(kind).inc(errors)

    def loop_lag(self, seconds: float) -> None:
        self._loop_lag.observe(max(0.0, seconds))

    def write(self, ok: bool, seconds: float) -> None:
        self._writes.labels("ok" if ok else "failed").inc()
        self._write_s.observe(seconds)

    def violations(self, new: int) -> None:
        self._violations.inc(new)

    def healed(self) -> None:
        """The ledger is corrected: its violations count from 0 again."""
        self._violations.reset()

    def reconciled(self, status: str) -> None:
        self._runs.labels(status).inc()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The text of one scrape and its content type: OpenMetrics where `accept` asks for it."""
        try:
            encoder, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encoder, content_type = choose_encoder("")
        return encoder(self.registry), content_type


def by_symbol(name: str, text: str, figures: Mapping[str, float]) -> Gauge:
    return Gauge(name, text, "symbol", figures.items())


def single(name: str, text: str, figure: float) -> Gauge:
    return Gauge(name, text, "", (("", figure),))
