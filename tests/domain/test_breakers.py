"""Names and hierarchy."""

import contextlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.breakers import (
    EXECUTION,
    GLOBAL,
    BreakerId,
    Catalogue,
    InvalidBreakerId,
    Scope,
    UnknownBreaker,
    UnknownInstrument,
    parse_breaker_id,
    scope_of,
)

BTC = BreakerId("instrument:BTC-USD")
CATALOGUE = Catalogue.build(
    ["execution", "ingest"], ["BTC-USD", "ETH-USD"], ["momentum"], {"instrument:ETH-USD": "component:ingest"}
)
NAMES = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)


def test_display_order_and_hierarchy() -> None:
    assert CATALOGUE.ids == (
        "global",
        "component:execution",
        "instrument:BTC-USD",
        "strategy:momentum",
        "component:ingest",
        "instrument:ETH-USD",
    )
    assert CATALOGUE.ancestors(BTC) == (EXECUTION, GLOBAL)
    assert CATALOGUE.ancestors(GLOBAL) == ()
    assert CATALOGUE.descendants(GLOBAL) == CATALOGUE.ids[1:]
    assert CATALOGUE.descendants(EXECUTION) == ("instrument:BTC-USD", "strategy:momentum")
    assert len(CATALOGUE) == 6
    assert BTC in CATALOGUE and "instrument:X" not in CATALOGUE
    assert CATALOGUE.parents[BTC] == EXECUTION
    assert [scope_of(name) for name in CATALOGUE.ids[:4]] == list(Scope)[:4]


@pytest.mark.parametrize(
    "text",
    ["", "Global", "instrument:", "component", "desk:a", "instrument:a b", "instrument:é", "instrument:BTC\n",
     "instrument:" + "x" * 65, "instrument:-x", "strategy:a:b", "global:x"],
)  # fmt: skip
def test_malformed_names_are_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(InvalidBreakerId, match="write global, component:NAME"):
        parse_breaker_id(text)


@given(st.text())
def test_parsing_never_fails_otherwise(text: str) -> None:
    with contextlib.suppress(InvalidBreakerId):
        assert parse_breaker_id(text) == text


def test_unknown_breaker_suggests_a_near_name() -> None:
    with pytest.raises(UnknownBreaker, match=r"did you mean instrument:BTC-USD\?"):
        CATALOGUE.known("instrument:btc")
    with pytest.raises(UnknownBreaker, match="cockpit status"):
        CATALOGUE.known("instrument:DOGE")
    assert CATALOGUE.known("instrument:BTC-USD") == BTC


@pytest.mark.parametrize(
    ("parents", "fault"),
    [
        ({"global": "component:a", "component:a": "global"}, "global has no parent"),
        ({"instrument:A": "component:b"}, "not in the catalogue"),
        ({"component:a": "component:b", "component:b": "global"}, "stands under global"),
        ({"instrument:A": "global"}, "stands under a component"),
        (
            {"component:a": "global", "instrument:A": "component:a", "strategy:s": "instrument:A"},
            "under a component",
        ),
    ],
)
def test_impossible_hierarchies_are_refused(parents: dict[str, str], fault: str) -> None:
    with pytest.raises(InvalidBreakerId, match=fault):
        Catalogue(parents)


def test_parents_must_name_known_breakers() -> None:
    with pytest.raises(InvalidBreakerId, match="not in the catalogue"):
        Catalogue.build(["execution"], [], [], {"instrument:X": "component:execution"})


@given(st.sets(NAMES, max_size=4), st.sets(NAMES, max_size=6), st.sets(NAMES, max_size=3))
def test_every_breaker_descends_from_global(
    components: set[str], instruments: set[str], strategies: set[str]
) -> None:
    catalogue = Catalogue.build({"execution", *components}, instruments, strategies)
    for name in catalogue.ids[1:]:
        assert catalogue.ancestors(name)[-1] == GLOBAL
        assert all(name in catalogue.descendants(above) for above in catalogue.ancestors(name))
    assert len(set(catalogue.ids)) == len(catalogue.ids) == len(catalogue)


MANY = Catalogue.build(["execution"], [f"S{n:02}-USD" for n in range(12)], [])


@pytest.mark.parametrize(
    ("catalogue", "symbol", "said"),
    [
        (Catalogue.build(["execution"], ["BTC-USD", "ETH-USD"], []), "BTC", "'BTC'; did you mean BTC-USD?"),
        (Catalogue.build(["execution"], ["BTC-USD", "ETH-USD"], []), "EHT-USD", "did you mean ETH-USD"),
        (Catalogue.build(["execution"], ["BTC-USD"], []), "ZZZ", "the catalogue has BTC-USD"),
        (Catalogue.build(["execution"], [], []), "BTC-USD", "the catalogue has none"),
        (MANY, "ZZZ", "S00-USD"),
        (MANY, "ZZZ", " more"),
        (MANY, "\x1b[31m", "there is no instrument"),
    ],
)
def test_an_instrument_that_is_none_is_answered_with_those_there_are(
    catalogue: Catalogue, symbol: str, said: str
) -> None:
    with pytest.raises(UnknownInstrument, match=r"^symbol: ") as refused:
        catalogue.instrument(symbol)
    assert said in str(refused.value)
    assert "\x1b" not in str(refused.value)


def test_an_instrument_s_breaker() -> None:
    assert MANY.instrument("S03-USD") == "instrument:S03-USD"
