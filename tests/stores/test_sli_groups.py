"""Which objectives share a statement: cheap ones all together, costly ones few and by themselves."""

from __future__ import annotations

from decimal import Decimal

from backends.sli_groups import Group, Groups
from cockpit.domain.slos import Op, Slices, Statistic
from tests.stores.test_sli_readings import limit, slo, threshold

CHEAP = [slo("a", name=f"cheap{k}") for k in range(190)]
LIMITS = [slo("a", limit("a", Op.LTE, 1), name=f"limit{k}") for k in range(10)]
LATEST = [threshold("a", Statistic.LATEST)]
SLICED = [slo("a", name=f"sliced{k}", slices=Slices(60, Decimal("0.9"))) for k in range(20)]
COUNTER = [slo("a", name=f"counter{k}", counter=True) for k in range(20)]


def names(groups: list[Group]) -> list[list[str]]:
    return [[each.name for each in group] for group in groups]


def test_the_common_case_is_one_statement() -> None:
    assert names(Groups(5).of([])) == [[]]
    groups = Groups(5).of([*LIMITS, *LATEST, *CHEAP])
    assert len(groups) == 1 and len(groups[0]) == 201


def test_costly_ones_are_few_together_and_last() -> None:
    first, *others = Groups(1).of([*SLICED, *CHEAP[:50], *COUNTER, *LIMITS])
    assert not {each.name for each in first} & {each.name for each in (*SLICED, *COUNTER)}
    assert sum(map(len, others)) == 40 and 4 <= max(map(len, others)) <= 6


def test_what_a_statement_took_is_learnt_and_forgotten_again() -> None:
    groups = Groups(5)
    (group,) = groups.of(LIMITS)
    groups.answered(group, 4.0)
    assert [len(each) for each in groups.of(LIMITS)] == [6, 4]
    for group in groups.of(LIMITS):
        groups.answered(group, 0.01)
    assert len(groups.of(LIMITS)) == 1


def test_after_a_time_out_each_of_the_costliest_is_alone() -> None:
    groups = Groups(5)
    (group,) = groups.of([*CHEAP, *LIMITS])
    assert set(groups.gave_up(group)) == set(CHEAP)
    first, *others = groups.of([*CHEAP, *LIMITS])
    assert set(first) == set(CHEAP) and [len(each) for each in others] == [1] * 10
    assert groups.gave_up(first) == ()
    assert len(groups.of(CHEAP)) in (2, 3)


def test_those_that_were_left_out_come_first_next_time() -> None:
    groups = Groups(5)
    (group,) = groups.of(SLICED)
    groups.gave_up(group)
    for group in groups.of(SLICED)[:2]:
        groups.answered(group, 2.5)
    assert [each[0].name for each in groups.of(SLICED)][-2:] == ["sliced0", "sliced1"]
