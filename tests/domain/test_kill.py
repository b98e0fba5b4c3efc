"""What the facts of a kill switch prove (I14, I15, I16, I17, F12)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.domain.documents import Epoch
from cockpit.domain.kill import (
    Ack,
    Acknowledged,
    Acted,
    Fact,
    Held,
    OpenOrder,
    Read,
    Step,
    StepOutcome,
    Tripped,
    Verdict,
    kill_key,
)
from cockpit.domain.kill_proof import KillState
from cockpit.domain.kill_records import (
    MOST_REFUSED,
    BadKillRecord,
    StepRecord,
    details_of,
    fact_of,
    facts_of,
    finished,
    parse_kill_id,
    parse_step,
    standing,
    step_of,
)

ID = "6f1b6c1e-6a0f-4f0e-9a43-1d1b7c9d5f11"
E = Epoch("run", 7)
ORDER = OpenOrder("o1", "BTC-USD", "buy", Decimal("0.5"))
HELD = Held("ETH-USD", Decimal("-1.5"))
ZERO = Held("BTC-USD", Decimal(0))


def state(*facts: Fact, gateways: tuple[str, ...] = ("plant",)) -> KillState:
    made = KillState(ID, gateways)
    for fact in facts:
        made = made.adding(fact)
    return made


def acks(counter: int | None = 7, run_id: str = "run", name: str = "plant") -> Acknowledged:
    return Acknowledged({name: Ack(run_id, counter)})


def empty(after: int) -> Read:
    return Read(after, (), (ZERO,), open_at=E)


def outcomes(made: KillState) -> list[StepOutcome | None]:
    return [each.outcome for each in made.report().steps]


CANCEL, FLATTEN = Acted(Step.CANCEL, 1, True), Acted(Step.FLATTEN, 1, True)
PROOF: tuple[Fact, ...] = (Tripped(E), acks(), CANCEL, FLATTEN, empty(4))


def test_flat_with_every_proof() -> None:  # I14, I15
    report = state(*PROOF).report()
    assert (report.verdict, report.flat, report.unproved, report.residuals) == (Verdict.FLAT, True, (), ())
    assert report.epoch == E
    assert [each.outcome for each in report.steps] == [StepOutcome.DONE] * 4 + [StepOutcome.FLAT]
    assert report.line.startswith("FLAT")
    assert report.state(Step.CANCEL).round == 1


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ((), "Redis has not confirmed"),
        ((Tripped(None, "PENDING"), acks(), CANCEL, FLATTEN, empty(4)), "Redis has not confirmed"),
        ((Tripped(Epoch("", 7)), acks(), CANCEL, FLATTEN, empty(4)), "Redis has not confirmed"),
        ((Tripped(E), CANCEL, FLATTEN, empty(3)), "not acknowledged by plant"),
        ((Tripped(E), acks(6), CANCEL, FLATTEN, empty(4)), "not acknowledged by plant"),
        ((Tripped(E), acks(None), CANCEL, FLATTEN, empty(4)), "not acknowledged by plant"),
        ((Tripped(E), acks(9, "other"), CANCEL, FLATTEN, empty(4)), "not acknowledged by plant"),
        ((Tripped(E), acks(9, name="stranger"), CANCEL, FLATTEN, empty(4)), "not acknowledged by plant"),
        ((Tripped(E), Acknowledged({}, "no answer"), CANCEL, empty(3)), "not acknowledged by plant"),
        ((Tripped(E), acks(), CANCEL, FLATTEN), "the venue has not been read"),
        ((Tripped(E), acks(), Read(2, None, (ZERO,), "timeout")), "open orders could not be read (timeout)"),
        ((Tripped(E), acks(), Read(2, (), None)), "positions could not be read (no answer)"),
        ((Tripped(E), empty(1), acks()), "before the halt was acknowledged"),
        ((Tripped(E), Read(1, (), (ZERO,)), acks()), "before the halt was acknowledged"),
        ((acks(), empty(1), Tripped(E)), "before the halt was acknowledged"),
        ((Tripped(E), acks(), empty(1)), "before the halt was acknowledged"),  # it began before the word came
        ((*PROOF, Tripped(Epoch("run", 8))), "not acknowledged by plant"),
        ((*PROOF, Read(5, (), (ZERO,))), "global could not be read as OPEN"),
        ((*PROOF, Read(5, (), (ZERO,), open_at=Epoch("run", 6))), "global could not be read as OPEN"),
        ((*PROOF, Read(5, (), (ZERO,), open_at=Epoch("other", 9))), "global could not be read as OPEN"),
        ((*PROOF, Read(5, (), (ZERO,), loosened=True)), "global was no longer OPEN"),
    ],
)
def test_never_flat_without_each_proof(facts: tuple[Fact, ...], said: str) -> None:  # I14, I15
    report = state(*facts).report()
    assert report.verdict is Verdict.UNPROVED
    assert any(said in why for why in report.unproved), report.unproved
    assert report.line.startswith("NOT FLAT") and said in report.line
    assert report.state(Step.VERIFY).outcome is not StepOutcome.FLAT


def test_a_later_epoch_is_acknowledged_too() -> None:
    assert state(Tripped(E), acks(8), empty(2)).report().flat


def test_none_registered_cannot_be_proved() -> None:  # I14
    report = state(*PROOF, gateways=()).report()
    assert report.verdict is Verdict.UNPROVED
    assert report.state(Step.ACKNOWLEDGED).outcome is StepOutcome.FAILED
    assert "no gateway is registered" in report.line


def test_every_registered_gateway_counts() -> None:  # I14
    two = ("plant", "other")
    assert not state(*PROOF, gateways=two).report().flat
    later = (*PROOF, acks(name="other"))
    assert not state(*later, gateways=two).report().flat  # read before it
    assert state(*later, empty(6), gateways=two).report().flat


def test_what_kept_something_at_an_earlier_attempt_is_not_said_of_now() -> None:  # I25, F12
    """Whoever goes on reads the venue before anything is sent again: the reasons are the former ones."""
    cancel = Acted(Step.CANCEL, 1, True, {"o1": "HARD_HALT: no cancel passes"})
    flatten = Acted(Step.FLATTEN, 1, False, why="no answer in time")
    read = Read(4, (ORDER,), (HELD, ZERO), open_at=E)
    made = KillState(ID, ("plant",), (Tripped(E), cancel, flatten, acks(), read), earlier=3)
    assert [each.why for each in made.report().residuals] == [
        "HARD_HALT: no cancel passes (as of the earlier attempt)",
        "no answer in time (as of the earlier attempt)",
    ]
    assert made.report().state(Step.FLATTEN).line == "no answer in time (as of the earlier attempt)"
    assert "verify: buy order o1 of 0.5 BTC-USD: HARD_HALT: no cancel passes (as of the earlier" in (
        made.report().told(Step.VERIFY)
    )
    again = made.adding(Acted(Step.CANCEL, 2, True, {"o1": "the venue refused the cancel"}))
    again = again.adding(Acted(Step.FLATTEN, 1, True)).adding(Read(7, (ORDER,), (HELD,), open_at=E))
    assert [each.why for each in again.report().residuals] == [
        "the venue refused the cancel",
        "still there after it was answered",
    ]


def test_residuals_name_the_reason() -> None:  # F12
    read = Read(4, (ORDER,), (HELD, ZERO))
    cancel = Acted(Step.CANCEL, 1, True, {"o1": "the venue refused the cancel"})
    flatten = Acted(Step.FLATTEN, 1, True, {"ETH-USD": "market closed"})
    report = state(Tripped(E), acks(), cancel, flatten, read).report()
    assert report.verdict is Verdict.RESIDUAL
    assert [(r.symbol, r.quantity, r.why) for r in report.residuals] == [
        ("BTC-USD", Decimal("0.5"), "the venue refused the cancel"),
        ("ETH-USD", Decimal("-1.5"), "market closed"),
    ]
    assert outcomes(state(Tripped(E), acks(), cancel, flatten, read))[2:] == [StepOutcome.RESIDUAL] * 3
    assert "buy order o1 of 0.5 BTC-USD" in report.line and "position of -1.5 ETH-USD" in report.line
    assert report.epoch == E  # I17: whatever failed, the trip stands


@pytest.mark.parametrize(
    ("acted", "said"),
    [
        (None, "nothing was sent yet"),
        (Acted(Step.CANCEL, 1, False, why="no answer in time"), "no answer in time"),
        (Acted(Step.CANCEL, 1, False), "has not answered yet"),
        (Acted(Step.CANCEL, 1, True), "still there after it was answered"),
        (Acted(Step.CANCEL, 1, True, why="cancel not permitted"), "cancel not permitted"),
    ],
)
def test_the_reason_of_what_is_left(acted: Acted | None, said: str) -> None:  # F12
    facts = (acted,) if acted else ()
    (residual,) = state(*facts, Read(9, (ORDER,), ())).report().residuals
    assert said in residual.why


def test_steps_before_and_while_they_run() -> None:
    assert outcomes(state())[:5] == [None] * 5
    waiting = state(Tripped(None, "PENDING"), Acknowledged({}, "no answer"))
    assert outcomes(waiting)[:2] == [StepOutcome.WAITING] * 2
    assert waiting.report().steps[0].line == "PENDING"
    assert "(no answer)" in waiting.report().steps[1].line
    assert state(Tripped(None)).report().steps[0].line == "not confirmed by Redis yet"
    assert "by plant" in state(Tripped(E), acks()).report().steps[1].line
    sent = state(Acted(Step.CANCEL, 1, False)).report().state(Step.CANCEL)
    assert (sent.outcome, sent.line) == (StepOutcome.FAILED, "sent, no answer yet")
    for facts in ((CANCEL,), (empty(0), CANCEL), (CANCEL, Read(1, None, (), "x"))):
        assert state(*facts).report().state(Step.CANCEL).outcome is StepOutcome.WAITING
    assert state(FLATTEN, Read(1, None, (ZERO,))).report().state(Step.FLATTEN).outcome is StepOutcome.DONE
    unread = state(Tripped(E), acks(), Read(2, None, None))
    assert unread.report().state(Step.VERIFY).outcome is StepOutcome.FAILED
    early = state(Tripped(E), empty(1))
    assert early.report().state(Step.VERIFY).outcome is StepOutcome.WAITING


def test_which_key_comes_next() -> None:  # I16
    step = Step.FLATTEN
    assert state().next_round(step) == 1
    lost = state(Acted(step, 1, False))
    assert lost.next_round(step) == 1  # the same key, until its answer is known
    assert state(Acted(step, 1, True)).next_round(step) is None  # not before the venue is read again
    assert state(Read(0, (), (HELD,)), Acted(step, 1, True)).next_round(step) is None
    assert state(Acted(step, 1, True), Read(1, (), (HELD,))).next_round(step) == 2
    assert state(Acted(step, 1, True), Read(0, (), (HELD,))).next_round(step) is None  # it began before
    assert state(Acted(step, 1, True), Read(1, (ORDER,), (ZERO,))).next_round(step) is None
    assert state(Acted(step, 1, True), Read(1, (), None)).next_round(step) is None
    assert state(Acted(Step.CANCEL, 3, True), Read(1, (ORDER,), ())).next_round(Step.CANCEL) == 4
    assert kill_key(ID, step, 2) == f"kill:{ID}:flatten:2"


def test_another_server_must_be_tripped_again() -> None:
    assert not state(acks(1, "new")).other_server  # nothing was tripped yet
    assert state(Tripped(E), acks(1, "new")).other_server
    assert not state(Tripped(E), acks(1, "new"), Tripped(Epoch("new", 2))).other_server
    assert not state(Tripped(E), acks(1, "new", "stranger")).other_server
    assert state().missing == ("plant",)


# -- FLAT against a judge that knows nothing of the code ----------------------------------------------

EPOCHS = st.sampled_from([None, Epoch("a", 1), Epoch("a", 2), Epoch("b", 2), Epoch("", 2)])
NAMES = ("g1", "g2")
ACKS = st.dictionaries(
    st.sampled_from([*NAMES, "stranger"]),
    st.builds(Ack, st.sampled_from(["a", "b"]), st.sampled_from([None, 1, 2, 3])),
)
ORDERS = st.sampled_from([None, (), (ORDER,)])
POSITIONS = st.sampled_from([None, (), (ZERO,), (HELD,)])


@st.composite
def histories(draw: st.DrawFn) -> tuple[tuple[str, ...], list[Fact]]:
    facts: list[Fact] = []
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from("taacfrr"))
        if kind == "t":
            facts.append(Tripped(draw(EPOCHS)))
        elif kind == "a":
            facts.append(Acknowledged(draw(ACKS)))
        elif kind in "cf":
            step = Step.CANCEL if kind == "c" else Step.FLATTEN
            facts.append(Acted(step, draw(st.integers(1, 3)), draw(st.booleans())))
        else:
            began = draw(st.integers(max(0, len(facts) - 2), len(facts)))
            facts.append(Read(began, draw(ORDERS), draw(POSITIONS), open_at=draw(EPOCHS)))
    return draw(st.sampled_from([(), NAMES[:1], NAMES])), facts


def proved_flat(gateways: tuple[str, ...], facts: list[Fact]) -> bool:
    """The newest reading shows nothing, and all of the rest was known before it began."""
    reads = [index for index, fact in enumerate(facts) if isinstance(fact, Read)]
    if not reads or not gateways:
        return False
    read: Any = facts[reads[-1]]
    if read.orders != () or read.positions is None or any(each.quantity for each in read.positions):
        return False
    trips = [
        (index, fact.epoch)
        for index, fact in enumerate(facts)
        if isinstance(fact, Tripped) and fact.epoch is not None and fact.epoch.run_id
    ]
    if not trips or trips[-1][0] >= read.after:
        return False
    epoch = trips[-1][1]
    if read.open_at is None or read.open_at.run_id != epoch.run_id or read.open_at.counter < epoch.counter:
        return False
    for name in gateways:
        said = [
            fact.acks[name]
            for fact in facts[: read.after]
            if isinstance(fact, Acknowledged) and name in fact.acks
        ]
        if not any(a.run_id == epoch.run_id and (a.counter or 0) >= epoch.counter for a in said):
            return False
    return True


@settings(max_examples=200)
@given(histories())
def test_flat_is_claimed_exactly_where_it_is_proved(made: tuple[tuple[str, ...], list[Fact]]) -> None:
    """I14, I15: never without each proof, and not withheld where all are there."""
    gateways, facts = made
    report = state(*facts, gateways=gateways).report()
    assert report.flat == proved_flat(gateways, facts)
    assert report.flat == (report.state(Step.VERIFY).outcome is StepOutcome.FLAT)
    assert bool(report.residuals) == (report.verdict is Verdict.RESIDUAL)


# -- written down and read again --------------------------------------------------------------------


@given(histories())
def test_what_is_written_down_is_enough_to_go_on(made: tuple[tuple[str, ...], list[Fact]]) -> None:  # F7
    _, facts = made
    written = [(step_of(fact).value, json.loads(json.dumps(details_of(fact)))) for fact in facts]
    kept = facts_of(written)
    wanted = [fact for fact in facts if isinstance(fact, Tripped | Acted)]
    wanted = [
        fact for fact in wanted if not isinstance(fact, Tripped) or fact.epoch is None or fact.epoch.counter
    ]
    assert list(kept) == wanted


def test_a_target_is_read_as_it_was_written() -> None:
    record = StepRecord(ID, Step.CANCEL, StepOutcome.RESIDUAL, {"round": 2})
    assert parse_step(record.target()) == record


@pytest.mark.parametrize(
    "target",
    [
        None,
        "{",
        "[]",
        "{}",
        json.dumps({"kill_id": ID, "step": "cancel", "outcome": "done", "details": []}),
        json.dumps({"kill_id": ID, "step": "dance", "outcome": "done", "details": {}}),
        json.dumps({"kill_id": ID, "step": "cancel", "outcome": "perhaps", "details": {}}),
        json.dumps({"kill_id": ID.upper(), "step": "cancel", "outcome": "done", "details": {}}),
        json.dumps({"kill_id": 7, "step": "cancel", "outcome": "done", "details": {}}),
        json.dumps({"kill_id": "x", "step": "cancel", "outcome": "done", "details": {}}),
    ],
)
def test_what_is_no_step(target: str | None) -> None:
    with pytest.raises(BadKillRecord):
        parse_step(target)


def test_a_kill_switch_s_id() -> None:
    assert parse_kill_id(ID) == ID
    with pytest.raises(BadKillRecord):
        parse_kill_id(None)


@pytest.mark.parametrize(
    ("step", "details"),
    [
        (Step.TRIP, {"run_id": 1, "counter": 1}),
        (Step.TRIP, {"run_id": "a", "counter": True}),
        (Step.TRIP, {"run_id": "a", "counter": None}),
        (Step.TRIP, {"run_id": "a", "counter": 0}),
        (Step.CANCEL, {"round": 0, "answered": True, "refused": {}}),
        (Step.CANCEL, {"round": True, "answered": True, "refused": {}}),
        (Step.CANCEL, {"round": "1", "answered": True, "refused": {}}),
        (Step.CANCEL, {"round": 1, "answered": 1, "refused": {}}),
        (Step.FLATTEN, {"round": 1, "answered": True, "refused": None}),
    ],
)
def test_details_that_say_nothing(step: Step, details: dict[str, object]) -> None:
    with pytest.raises(BadKillRecord):
        fact_of(step, details)
    assert facts_of([(step.value, details), ("dance", {}), ("verify", {}), ("trip", {})]) == (Tripped(None),)


def test_long_answers_are_written_down_in_part() -> None:
    many = {f"o{n}": "refused" for n in range(MOST_REFUSED + 1)}
    details = details_of(Acted(Step.CANCEL, 1, True, many))
    assert (len(details["refused"]), details["refused_in_all"]) == (MOST_REFUSED, MOST_REFUSED + 1)  # type: ignore[arg-type]
    read = details_of(Read(1, (ORDER,), (HELD, ZERO)))
    assert (read["orders_in_all"], read["positions"]) == (1, {"ETH-USD": "-1.5"})
    assert details_of(Read(1, None, None, "x"))["orders"] is None


def test_no_answer_of_a_venue_is_too_long_to_be_recorded() -> None:
    """A record has 16 KiB; what does not fit is counted."""
    long = {f"{n:0>36}": "\N{CJK UNIFIED IDEOGRAPH-4E00}" * 300 for n in range(100)}
    acted = details_of(Acted(Step.CANCEL, 1, True, long))
    orders = (OpenOrder("\N{SNOWMAN}" * 500, "BTC-USD", "buy", Decimal(1)),) * 100
    read = details_of(Read(1, orders, ()))
    for details in (acted, read):
        assert len(json.dumps(details, ensure_ascii=False).encode()) < 8_000
    assert acted["refused"] and acted["refused_in_all"] == 100
    assert read["orders"] and read["orders_in_all"] == 100


def test_what_stands_was_confirmed_the_first_time() -> None:
    """Going on reports it anew, and before that that it waits; another epoch is another confirmation."""

    def report(outcome: str, counter: int = 1, step: str = "trip") -> Any:
        return type("Row", (), {"step": step, "outcome": outcome, "details": {"counter": counter}})()

    earlier, first, waits, again = report("done"), report("done", 2), report("waiting", 2), report("done", 2)
    other = report("done", 2, "verify")
    assert standing([], Step.TRIP) is None
    assert standing([other], Step.TRIP) is None
    assert standing([first], Step.TRIP) == (first, first)
    assert standing([earlier, first, other, waits, again], Step.TRIP) == (first, again)
    assert standing([earlier, report("residual", 2), again], Step.TRIP) == (again, again)


def test_finished_by_its_newest_verification() -> None:
    def step(name: str, outcome: str) -> Any:
        return type("Row", (), {"step": name, "outcome": outcome, "details": {}})()

    assert not finished([])
    assert not finished([step("trip", "done")])
    assert finished([step("verify", "residual"), step("verify", "flat"), step("cancel", "done")])
    assert not finished([step("verify", "flat"), step("verify", "residual")])


def test_a_global_that_was_loosened_meanwhile_is_seen() -> None:  # I14, I15
    loosened = Read(2, (), (), loosened=True)
    assert not state().loosened
    assert not state(Tripped(E), acks(), empty(2)).loosened
    assert state(Tripped(E), acks(), loosened).loosened
    assert not state(Tripped(E), acks(), loosened).report().flat
    assert not state(Tripped(E), acks(), loosened, Tripped(E)).loosened, "it has been tripped again"
