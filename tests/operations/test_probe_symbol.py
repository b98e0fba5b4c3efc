"""Which instrument a probe run sends its paper orders in."""

from __future__ import annotations

import pytest

from cockpit.domain.breakers import GLOBAL, BreakerId, Catalogue
from cockpit.domain.documents import Reading, effective
from cockpit.domain.states import State
from cockpit.operations.probes import symbol_for

CATALOGUE = Catalogue.build(
    ("execution", "ingest"), ("BTC-USD", "ETH-USD"), ("momentum",), {"instrument:ETH-USD": "component:ingest"}
)
EXECUTION, INGEST = BreakerId("component:execution"), BreakerId("component:ingest")
BTC, ETH = BreakerId("instrument:BTC-USD"), BreakerId("instrument:ETH-USD")
MOMENTUM = BreakerId("strategy:momentum")
OF_ETH = ("cancel_only:ETH-USD", "soft_halt:ETH-USD", "hard_halt:ETH-USD", "latch:ETH-USD")
OF_BTC = tuple(name.replace("ETH", "BTC") for name in OF_ETH)


def symbol(breaker_id: BreakerId, *shut: str, missing: tuple[str, ...] = ()) -> str | None:
    """With `shut` OPEN and `breaker_id` HALF_OPEN."""
    readings = {
        name: Reading(name, State.OPEN if name in shut else State.CLOSED, None)
        for name in CATALOGUE.everything
        if name not in missing
    }
    readings[breaker_id] = Reading(breaker_id, State.HALF_OPEN, None)
    return symbol_for(
        breaker_id, CATALOGUE, {name: effective(name, readings, CATALOGUE) for name in CATALOGUE.ids}
    )


@pytest.mark.parametrize("switch", OF_BTC)
@pytest.mark.parametrize("breaker_id", [GLOBAL, EXECUTION, MOMENTUM])
def test_not_one_whose_switch_is_set(breaker_id: BreakerId, switch: str) -> None:
    assert symbol(breaker_id) == "BTC-USD"
    assert symbol(breaker_id, switch) == "ETH-USD"
    assert symbol(breaker_id, missing=(switch,)) == "ETH-USD"  # I4: in doubt it is set
    assert symbol(breaker_id, "withdrawals") == "BTC-USD"


def test_of_the_own_scope_first() -> None:
    assert symbol(INGEST) == "ETH-USD"
    assert symbol(INGEST, OF_ETH[3]) == "BTC-USD"
    assert symbol(INGEST, ETH) == "BTC-USD"


def test_none_where_every_instrument_is_held() -> None:
    assert symbol(GLOBAL, OF_ETH[0], OF_BTC[3]) is None
    assert symbol(GLOBAL, ETH, OF_BTC[3]) is None


def test_nothing_but_itself_proves_an_instrument() -> None:
    assert symbol(ETH) == "ETH-USD"
    assert symbol(ETH, OF_ETH[2]) == "ETH-USD"  # whose gate refuses the order
