"""The quorum of a probe run."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.breakers import BreakerId
from cockpit.domain.documents import Epoch
from cockpit.domain.probes import ProbeName, ProbeResult, ProbeRun, RunStatus, judge

START = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = Epoch("a" * 40, 4)
RUN = ProbeRun(
    run_id="run-1",
    breaker_id=BreakerId("instrument:BTC-USD"),
    epoch=EPOCH,
    login="operator1",
    probes=tuple(ProbeName),
    required=4,
    started_at=START,
    deadline=START + timedelta(seconds=60),
)
BEFORE, AFTER = START + timedelta(seconds=30), START + timedelta(seconds=60)


def result(at: int, passed: bool = True, **changes: object) -> ProbeResult:
    made = ProbeResult("run-1", at, RUN.probes[at], EPOCH, "operator1", passed, 12.5, "read 12 ms", BEFORE)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@given(st.lists(st.booleans(), min_size=5, max_size=5), st.permutations(range(5)))
def test_four_of_five_pass_in_any_order(passes: list[bool], order: list[int]) -> None:  # I9, F11
    verdict = judge(RUN, [result(at, passes[at]) for at in order], BEFORE)
    assert verdict.status is (RunStatus.PASSED if sum(passes) >= 4 else RunStatus.FAILED)
    assert verdict.passed == sum(passes)


@given(st.sets(st.integers(0, 4), max_size=4), st.booleans())
def test_absent_results_wait_until_the_deadline_and_then_fail(
    present: set[int], late: bool
) -> None:  # I9, I10
    verdict = judge(RUN, [result(at) for at in sorted(present)], AFTER if late else BEFORE)
    assert verdict.status is (RunStatus.FAILED if late else RunStatus.RUNNING)


def test_two_failures_end_the_run_at_once() -> None:
    assert judge(RUN, [result(0, passed=False), result(1, passed=False)], BEFORE).status is RunStatus.FAILED
    assert judge(RUN, [result(0, passed=False)], BEFORE).status is RunStatus.RUNNING


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (result(3), "reported twice"),
        (result(4, received_at=AFTER), "after the deadline"),
        (result(4, epoch=Epoch("a" * 40, 5)), "another run or epoch"),
        (result(4, epoch=Epoch("b" * 40, 4)), "another run or epoch"),
        (result(4, run_id="run-2"), "another run or epoch"),
        (result(4, login="operator2"), "not by operator1"),
        (result(4, name="redis-round-trip"), "not a probe of this run"),
        (result(4, ordinal=5), "not a probe of this run"),
        (result(4, ordinal=-1), "not a probe of this run"),
    ],
)
def test_duplicate_late_and_foreign_results_fail_a_run_that_had_its_passes(
    bad: ProbeResult, why: str
) -> None:  # I9, F11
    verdict = judge(RUN, [*(result(at) for at in range(4)), bad], BEFORE)
    assert verdict.status is RunStatus.FAILED
    assert why in verdict.reason


def test_what_is_signed_names_run_epoch_and_reading() -> None:
    assert result(2).payload() == {
        "run_id": "run-1",
        "ordinal": 2,
        "name": "latency",
        "epoch": {"run_id": "a" * 40, "counter": 4},
        "login": "operator1",
        "passed": True,
        "latency_ms": "12.500",
        "detail": "read 12 ms",
    }


@pytest.mark.parametrize("latency", [float("nan"), float("inf"), -1.0])
def test_a_latency_that_cannot_be_fails_the_run(latency: float) -> None:  # I9
    assert judge(RUN, [result(0, latency_ms=latency)], BEFORE).status is RunStatus.FAILED
