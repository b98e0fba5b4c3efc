"""What Prometheus can do to us: no series, many, NaN, refusals, silence. # F14, # I25"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from backends.prometheus import PrometheusSource
from cockpit.domain.breakers import EXECUTION
from cockpit.domain.budgets import BudgetState
from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.slo_reports import judge_slo, judge_threshold
from cockpit.domain.slos import Consecutive, Limit, Op, Ratio, Source, SourceKind, Statistic, Threshold
from tests.prometheus.server import Prometheus, Series, free_port, needs_prometheus
from tests.prometheus.worlds import moment, slo

P = SourceKind.PROMETHEUS
AT = round(time.time(), 3)  # what is asked is asked of this moment, however late


def ratio(good: str, total: str, counter: bool = True) -> Ratio:
    return Ratio(Source(P, total), Source(P, good), None, counter)


def bad_ratio(bad: str, total: str) -> Ratio:
    return Ratio(Source(P, total), None, Source(P, bad), True)


def latest(query: str, bound: float = 10) -> Threshold:
    return Threshold(query, "", "", Source(P, query), Statistic.LATEST, 0, Op.LTE, bound, "", EXECUTION)


def limit(query: str, bound: float = 10) -> Limit:
    return Limit(Source(P, query), Op.LTE, bound)


def series(now: float) -> list[Series]:
    def up(name: str, step: float, count: int = 200, end: float = 0, **labels: str) -> Series:
        return Series(name, labels, [(now - end - 15 * (count - 1 - k), step * k) for k in range(count)])

    return [
        up("req_total", 10, code="200"),
        up("req_total", 1, code="500"),
        up("flat_total", 0),
        up("gone_total", 5, end=3_600),
        Series("nan_total", {}, [(now - 15 * k, math.nan) for k in reversed(range(40))]),
        Series("lat", {"a": "1"}, [(now - 15 * k, 5.0) for k in reversed(range(40))]),
        Series("lat", {"a": "2"}, [(now - 15 * k, 15.0) for k in reversed(range(40))]),
        Series("odd", {"a": 'x"\\\n'}, [(now - 15 * k, 3.0) for k in reversed(range(40))]),
        Series("bars", {}, [(now - 60 * k, 15.0 if k < 7 else 5.0) for k in reversed(range(100))]),
        Series("nan_now", {}, [(now - 15 * k, math.nan if k < 3 else 1.0) for k in reversed(range(40))]),
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    with Prometheus(folder, series(AT), flags=["--query.max-samples=30000"]) as running:
        yield running


@pytest.fixture
async def source(server: Prometheus) -> AsyncIterator[PrometheusSource]:
    made = PrometheusSource(server.url, timeout_s=60, whole_s=120)
    yield made
    await made.close()


HEALTHY = slo("healthy", ratio('req_total{code="200"}', "req_total"), objective="0.5")


@needs_prometheus
async def test_each_fault_is_told_of_its_own_objective_alone(source: PrometheusSource) -> None:
    asked = [
        HEALTHY,
        slo("absent", ratio("req_total", "no_such_total")),
        slo(
            "misspelt",
            ratio('req_total{code="200"}', "req_total").__class__(
                Source(P, "req_total"), Source(P, 'req_total{cod="200"}'), None, True
            ),
        ),
        slo("misspelt-bad", bad_ratio('req_total{cod="500"}', "req_total")),
        slo("idle", ratio("flat_total", "flat_total")),
        slo("gone", ratio("gone_total", "gone_total"), fresh_s=60),
        slo("nan", ratio("nan_total", "req_total")),
        slo("swapped", ratio("req_total", 'req_total{code="200"}')),
        slo("many", limit("lat"), window_s=3_600),
        slo("broken", ratio("req_total{", "req_total")),
        slo("wrong", limit("sum(lat) by (a", 1)),
    ]
    readings = await source.read(asked, [], moment(AT))
    reports = {each.name: judge_slo(each, readings[each.name]) for each in asked}
    said = {name: (report.state, report.why) for name, report in reports.items()}
    assert said["healthy"][0] is BudgetState.GREEN
    assert said["absent"] == (
        BudgetState.NO_DATA,
        "the query for total gives no series in the last 3 days; is it spelt right?",
    )
    assert said["misspelt"][0] is said["misspelt-bad"][0] is BudgetState.NO_DATA  # F14: missing is not zero
    assert "the query for good gives no series" in said["misspelt"][1]
    assert "the query for bad gives no series" in said["misspelt-bad"][1]
    assert said["idle"][0] is BudgetState.NO_TRAFFIC
    assert said["gone"][0] is BudgetState.STALE
    assert "(at most 60 s)" in said["gone"][1]
    assert said["nan"][0] is BudgetState.CONTRADICTION
    assert said["swapped"][0] is BudgetState.CONTRADICTION
    assert "gives 2 series where one is needed" in said["many"][1] and "max(" in said["many"][1]
    assert said["broken"][1].startswith("not PromQL") and said["wrong"][1].startswith("not PromQL")


@needs_prometheus
async def test_values(source: PrometheusSource) -> None:
    queries = [
        "max(lat)",
        'odd{a="x\\"\\\\\\n"}',
        "lat",
        "nan_now",
        "no_such",
        "vector(1)",
        "sum(gone_total)",
    ]
    asked = [latest(query) for query in queries]
    readings = await source.read(asked, [], moment(AT))
    said = [judge_threshold(each, readings[each.name]) for each in asked]
    assert [each.state for each in said] == [
        BudgetState.RED,
        BudgetState.GREEN,
        BudgetState.NO_DATA,
        BudgetState.CONTRADICTION,
        BudgetState.NO_DATA,
        BudgetState.NO_DATA,  # a number that no series stands behind measures nothing
        BudgetState.STALE,
    ]
    assert (said[0].value, said[1].value) == (15.0, 3.0)


@needs_prometheus
async def test_consecutive_bad_minutes(source: PrometheusSource) -> None:
    one = slo("one", ratio('req_total{code="200"}', "req_total"), consecutive=Consecutive(5, "orders"))
    good = slo("good", HEALTHY.indicator, objective="0.5", consecutive=Consecutive(5, "orders"))
    bars = slo("bars", limit("bars"), window_s=3_600, consecutive=Consecutive(3, "bars"))
    readings = await source.read([one, good, bars], [], moment(AT))
    assert readings["one"].streak == pytest.approx(
        11 * (200 - 1), rel=0.06
    )  # all there was, from its first minute
    assert readings["good"].streak == 0
    assert readings["bars"].streak in (6, 7)  # the newest minute may have no step yet
    assert judge_slo(bars, readings["bars"]).breached
    trend = [share for share in readings["one"].trend if share is not None]
    assert trend == pytest.approx([10 / 11] * len(trend)) and len(trend) >= 8


@needs_prometheus
async def test_a_query_that_reads_too_many_samples_spoils_no_other(source: PrometheusSource) -> None:
    heavy = slo(
        "heavy", limit("max(bars or vector(1))")
    )  # 43,200 minutes in 30 days; the server bears 30,000
    asked = [*(slo(f"s{k}", HEALTHY.indicator, objective="0.5") for k in range(6)), heavy]
    readings = await source.read(asked, [], moment(AT))
    assert "too many samples" in readings["heavy"].fault
    assert [judge_slo(each, readings[each.name]).state for each in asked[:6]] == [BudgetState.GREEN] * 6
    before = source.queries
    again = await source.read(asked, [], moment(AT))
    assert again["heavy"].fault == readings["heavy"].fault
    assert source.queries - before == 2  # the others, and it alone: it is not sought again


@needs_prometheus
async def test_the_server_dies_and_comes_back(server: Prometheus, source: PrometheusSource) -> None:
    await source.read([HEALTHY], [])
    server.kill()
    try:
        begin = time.monotonic()
        with pytest.raises(StoreUnreachable, match=r"Prometheus is unreachable: .*127\.0\.0\.1"):
            await source.read([HEALTHY], [])
        assert time.monotonic() - begin < 30  # refused, and not waited for
    finally:
        server.start()
    assert not (await source.read([HEALTHY], []))["healthy"].fault


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[str]:
    """A real TCP server that does to its clients what `answer` does."""
    clients: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        clients.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await answer(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://user:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.wait(clients or [asyncio.ensure_future(asyncio.sleep(0))], timeout=10)


async def asked(reader: asyncio.StreamReader) -> bytes:
    """The next whole request on a connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
    return head + await reader.readexactly(length)


def reply(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def with_body(status: str, body: bytes, requests: list[bytes] | None = None) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await asked(reader)
            if requests is not None:
                requests.append(request)
            writer.write(reply(status, body))
            await writer.drain()

    return answer


async def test_a_server_that_never_answers(tmp_path: Path) -> None:
    hung = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await hung.wait()

    async with answering(silent) as url:
        source = PrometheusSource(url, timeout_s=0.3)
        begin = time.monotonic()
        with pytest.raises(StoreUnreachable, match=r"gave no answer within 0\.3 s") as caught:
            await source.read([HEALTHY], [])
        assert time.monotonic() - begin < 30
        assert "secret" not in str(caught.value)  # I27
        hung.set()
        await source.close()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            "503 Service Unavailable",
            b"Service \x1b[31mUnavailable",
            "it answers 503 Service \ufffd[31mUnavailable",
        ),
        ("401 Unauthorized", b"", "it answers 401"),
        ("302 Found\r\nLocation: http://127.0.0.1:1/", b"", "it answers 302"),
        ("200 OK", b"<html>", "sends no JSON"),
        ("200 OK", b"{}", "is no Prometheus"),
        ("200 OK", b'{"status":"success","data":{"result":[]}}', "cannot be read"),
        ("200 OK", b'{"status":"success","data":{"result":[{"value":[1,"x"]}]}}', "cannot be read"),
        ("200 OK", b'{"status":"success","data":{"result":null}}', "no list of series"),
        ("200 OK", b'"' + b"x" * 5_000_000 + b'"', "over 4,000,000 bytes"),
        ("200 OK", b"[" * 1_500_000, "no "),  # deeper than a parser goes
    ],
    ids=lambda value: str(value)[:20],
)
async def test_what_is_no_answer_is_a_server_that_is_away(status: str, body: bytes, said: str) -> None:
    requests: list[bytes] = []
    async with answering(with_body(status, body, requests)) as url:
        source = PrometheusSource(url, timeout_s=60, whole_s=120)
        begin = time.monotonic()
        with pytest.raises(StoreUnreachable) as caught:
            await source.read([HEALTHY], [])
        await source.close()
    assert said in str(caught.value) and "secret" not in str(caught.value)  # I26, I27
    assert time.monotonic() - begin < 30
    assert len(requests) == 1  # asked once, no retries
    assert requests[0].startswith(
        b"POST /api/v1/query HTTP/1.1"
    )  # the query is in the body, not in the address
    assert b"count_over_time" in requests[0].partition(b"\r\n\r\n")[2]


async def test_a_body_that_breaks_off() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(reply("200 OK", b'{"status":"success"}')[:-5])
        await writer.drain()

    async with answering(answer) as url:
        source = PrometheusSource(url, timeout_s=60)
        with pytest.raises(StoreUnreachable, match="broke off"):
            await source.read([HEALTHY], [])
        await source.close()


async def test_a_connection_that_is_cut_is_not_made_again() -> None:
    asked_for = 0

    async def answer(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal asked_for
        asked_for += 1

    async with answering(answer) as url:
        source = PrometheusSource(url, timeout_s=60)
        with pytest.raises(StoreUnreachable):
            await source.read([HEALTHY], [])
        await source.close()
    assert asked_for == 1


async def test_an_answer_that_may_lack_something_is_a_fault() -> None:
    def result(value: str) -> bytes:
        return json.dumps({"metric": {"cockpit_part": "0"}, "value": [1_000, value]}).encode()

    requests = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while await asked(reader):
            requests += 1
            warnings = b',"warnings":["store 2 did not answer"]' if requests > 2 else b""
            body = b'{"status":"success"' + warnings + b',"data":{"result":[' + result("3") + b"]}}"
            writer.write(reply("200 OK", body))

    async with answering(answer) as url:
        source = PrometheusSource(url, timeout_s=60)
        reading = (await source.read([HEALTHY], []))["healthy"]
        await source.close()
    assert "store 2 did not answer" in reading.fault


async def test_nobody_listens() -> None:
    source = PrometheusSource(f"http://127.0.0.1:{free_port()}", timeout_s=60)
    with pytest.raises(StoreUnreachable, match="Connection refused"):
        await source.read([HEALTHY], [])
    await source.close()


async def test_a_ratio_of_events_is_no_question_for_prometheus() -> None:
    objective = Threshold("r", "", "", Source(P, "x"), Statistic.RATIO, 60, Op.GTE, 1, "", EXECUTION)
    body = b'{"status":"success","data":{"result":[{"metric":{},"value":[1,"3"]}]}}'
    async with answering(with_body("200 OK", body)) as url:
        source = PrometheusSource(url, timeout_s=60)
        assert "statistic latest" in (await source.read([objective], []))["r"].fault
        await source.close()
