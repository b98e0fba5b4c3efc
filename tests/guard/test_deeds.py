"""The words of a trip by a rule: they name samples that exist."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.text import MAX_NOTES
from cockpit.domain.trigger_reports import SampleRef
from cockpit.domain.trigger_watch import Firing
from cockpit.guard.deeds import notes_of
from cockpit.guard.rule_file import read_rules, shipped_rules

NOW = datetime(2026, 11, 21, 3, 12, tzinfo=UTC)
RULE = read_rules(shipped_rules(), Catalogue.build(["execution"], ["BTC-USD"], []))[0]


def notes(*ids: str) -> str:
    evidence = tuple(SampleRef(each, NOW, 31.2) for each in ids)
    return notes_of(Firing(RULE, "BTC-USD", BreakerId("instrument:BTC-USD"), 31.2, evidence, NOW))


@pytest.mark.parametrize(
    ("sample_id", "told"),
    [
        (f"{17:020}", "Samples: 17"),
        ("0" * 20, "Samples: 0"),
        ("00a1f8c2-0000-4000-8000-000000000000", "Samples: 00a1f8c2-0000-4000-8000-000000000000"),
        ("00-BTC", "Samples: 00-BTC"),
    ],
)
def test_only_numbers_lose_the_zeros_before_them(sample_id: str, told: str) -> None:
    assert notes(sample_id).endswith(told)


def test_no_sample_is_named_by_half_of_its_name() -> None:
    ids = [str(UUID(int=number)) for number in range(10)]
    said = notes(*ids)
    names, _, more = said.partition("Samples: ")[2].partition(" and ")
    assert len(said) <= MAX_NOTES and more.endswith(" more")
    assert names.split(", ") == ids[: len(names.split(", "))]
    assert len(names.split(", ")) + int(more.split()[0]) == len(ids)
    assert notes().endswith("Samples: none by name")
