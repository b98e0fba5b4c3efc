"""`cockpit recon`: what differs, with both sides; what is not known is never clean."""

from __future__ import annotations

import json

from cockpit.cli.reconciling import _clean_words
from cockpit.domain.reconciliation import MOST_COUNTED
from tests.cli.commands import inside
from tests.stores.test_reconciliation_store import add, raw
from tests.trading_platform import Platform


async def test_nothing_recorded_is_unknown(platform: Platform) -> None:
    done = await inside(platform.config, "--login", "monitor1", "recon")
    assert (done.code, done.out.strip()) == (0, "UNKNOWN: no reconciliation run is recorded.")


async def test_the_worst_line_first_and_both_sides_of_what_differs(platform: Platform) -> None:
    await add(platform, "cc", "position", "ETH-USD")
    await add(platform, "cm", "position")
    await add(platform, "mmmu", "order")
    gap = '[{"id": "gap:7-9", "venue": "3", "books": "0"}]'
    await add(platform, "m", "ledger", mismatches=gap)
    done = await inside(platform.config, "--login", "monitor1", "recon")
    rows = [line.split()[:3] for line in done.out.splitlines()[1:]]
    assert rows[0] == ["BREACHED", "BTC-USD", "order"] and rows[-1] == ["CLEAN", "ETH-USD", "position"]
    assert "3 fills missing" in done.out and "3 of 3" in done.out
    done = await inside(platform.config, "--login", "monitor1", "recon", "BTC-USD")
    assert "ETH-USD" not in done.out and "+0.1" in done.out and "o-1" in done.out
    done = await inside(platform.config, "--login", "monitor1", "recon", "BTC-USD", "--json")
    document = json.loads(done.out)
    order = next(each for each in document["lines"] if each["kind"] == "order")
    assert (order["state"], order["mismatches_in_a_row"], order["clean_cycles"]) == ("breached", 3, 0)
    assert order["last"]["status"] == "unknown" and order["pass_rate"] == "0.000000"
    assert order["last_known"]["mismatches"] == [{"id": "o-1", "venue": "1.5", "books": "1.4"}]
    ledger = next(each for each in document["lines"] if each["kind"] == "ledger")
    assert ledger["gaps"] == [{"first": 7, "last": 9}] and ledger["lag"] == 2


async def test_a_wrong_symbol_is_named_and_what_is_malformed_too(platform: Platform) -> None:  # I26
    await add(platform, "c")
    await raw(platform, "'order', E'X\\x1b[31m', 'mismatch', clock_timestamp(), NULL, '7'")
    done = await inside(platform.config, "--login", "monitor1", "recon", "BTC-USDX")
    assert done.code == 2 and "did you mean BTC-USD?" in done.err
    done = await inside(platform.config, "--login", "monitor1", "recon")
    assert done.code == 0 and "\x1b" not in done.out + done.err and "cannot be read" in done.err
    done = await inside(platform.config, "--login", "monitor1", "recon", "SOL-USD")
    assert "UNKNOWN" in done.out  # known to the catalogue, without a run


def test_more_clean_cycles_than_are_wanted() -> None:
    said = [_clean_words(cycles) for cycles in (0, 2, 27, MOST_COUNTED)]
    assert said == ["0 of 2", "2 of 2", "27 (2 wanted)", f"{MOST_COUNTED}+ (2 wanted)"]


async def test_a_store_that_cannot_be_read_is_no_answer(platform: Platform) -> None:  # I4
    async with platform.connection() as owner:
        await owner.execute("DROP VIEW reconciliation_judged")
    done = await inside(platform.config, "--login", "monitor1", "recon", "--json")
    assert done.code == 5 and "lines" not in json.loads(done.out or "{}")
