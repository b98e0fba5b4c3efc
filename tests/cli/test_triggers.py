"""`cockpit triggers`: what the acting guard published, and never what one that is gone once said."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cockpit.cli.triggers import detail, table, worst_first
from cockpit.domain.trigger_reports import SampleRef, TriggerReport, TriggerState
from tests.cli.commands import inside, moved
from tests.trading_platform import Platform

NOW = datetime(2026, 1, 31, 13, 0, tzinfo=UTC)
CLEAR = TriggerReport(
    rule="drawdown",
    title="Drawdown over 5 %",
    mode="live",
    effect="trip",
    aim="component:execution",
    unit="share",
    threshold=0.05,
    state=TriggerState.CLEAR,
    value=0.01,
    fraction=0.2,
    samples=12,
)
HIT = replace(
    CLEAR,
    rule="rejection",
    state=TriggerState.BREACHED,
    fraction=1.4,
    subject="BTC-USD",
    evidence=(SampleRef("order-7", NOW, 0.7),),
    fired_at=NOW,
    fired_on="component:execution",
)
NEAR = replace(CLEAR, rule="slippage", state=TriggerState.NEAR_75, fraction=0.8, breach_in_s=90.0)


async def publish(
    platform: Platform, *reports: TriggerReport, age_s: float = 0, faults: tuple[str, ...] = ()
):
    status = {"reports": [each.payload() for each in reports], "faults": list(faults)}
    async with platform.connection() as connection:
        await connection.execute("DELETE FROM guard_lease")
        await connection.execute(
            "INSERT INTO guard_lease (holder, login, term, renewed_at, expires_at, status) VALUES ('here',"
            " 'automation1', 3, clock_timestamp() - make_interval(secs => $1),"
            " clock_timestamp() + make_interval(secs => 60 - $1), $2)",
            age_s,
            json.dumps(status),
        )


async def test_no_guard_is_said_and_nothing_is_invented(platform: Platform) -> None:
    done = await inside(platform.config, "triggers", "--json")
    assert done.code == 0, done.err
    assert (done.document["guard"], done.document["triggers"]) == (None, [])
    assert "nothing trips by itself" in done.err


async def test_the_nearest_comes_first_and_one_shows_its_samples(platform: Platform) -> None:
    await publish(platform, CLEAR, NEAR, HIT)
    done = await inside(platform.config, "triggers", "--json")
    assert [each["rule"] for each in done.document["triggers"]] == ["rejection", "slippage", "drawdown"]
    assert done.document["guard"]["alive"] is True
    assert {each["stale"] for each in done.document["triggers"]} == {False}
    lines = (await inside(platform.config, "triggers")).out.splitlines()
    assert "BREACHED" in lines[1] and "140 %" in lines[1] and "NEAR 75%" in lines[2] and "1 min" in lines[2]
    one = (await inside(platform.config, "triggers", "rejection")).out
    assert "order-7" in one and "component:execution" in one
    wrong = await inside(platform.config, "triggers", "rejektion")
    assert (wrong.code, "did you mean rejection?" in wrong.err) == (2, True)


async def test_what_a_dead_guard_said_reads_as_stale(platform: Platform) -> None:  # I25
    await publish(platform, CLEAR, age_s=120)
    done = await inside(platform.config, "triggers", "--json")
    assert (done.document["guard"]["alive"], done.document["triggers"][0]["stale"]) == (False, True)
    people = await inside(platform.config, "triggers")
    assert "? was CLEAR" in people.out and "●" not in people.out
    assert "No guard is running" in people.err
    assert "BAD   guard" in (await inside(platform.config, "doctor")).out


async def test_without_postgres_it_exits_5(platform: Platform) -> None:
    done = await inside(moved(platform.config, "away.toml", postgres=1), "triggers", "--json")
    assert done.code == 5


REPORTS = st.builds(
    lambda state, fraction, value, rule, why, breach, age: replace(
        CLEAR,
        state=state,
        fraction=fraction,
        value=value,
        rule=rule,
        title=why,
        why=why,
        subject=why,
        breach_in_s=breach,
        newest_at=None if age is None else NOW - timedelta(seconds=age),
        evidence=(SampleRef(why, NOW, value or 0.0),),
    ),
    st.sampled_from(TriggerState),
    st.none() | st.floats(),
    st.none() | st.floats(),
    st.text(max_size=30),
    st.text(max_size=400),
    st.none() | st.floats(0, 1e9),
    st.none() | st.integers(-10, 10**9),
)


@given(st.lists(REPORTS, max_size=6), st.booleans())
def test_whatever_a_guard_says_becomes_plain_lines(reports: list[TriggerReport], alive: bool) -> None:  # I26
    lines = [*table(worst_first(reports), alive)]
    for each in reports:
        lines += detail(each, NOW, alive)
    assert all("\n" not in line and "\x1b" not in line for line in lines)
    if not alive:
        assert not any("●" in line for line in lines[:1])


async def test_check_accepts_what_ships_and_names_what_is_wrong(platform: Platform, tmp_path: Path) -> None:
    shipped = await inside(platform.config, "triggers", "check", "--json")
    assert (shipped.code, shipped.document["ok"]) == (0, True), shipped.err
    assert len(shipped.document["rules"]) >= 14
    path = tmp_path / "mine.toml"
    text = Path("runbooks/triggers.toml").read_text()
    for wrong, wanted in (
        (text, None),
        (text + "\n" + text, "slippage-run: name: stands there twice"),
        (text.replace("threshold = 0.5", "threshold = -1", 1), "rule slippage-run: threshold"),
        (text.replace("[[rule]]", "[[rules]]", 1), "rules"),
        (text[: text.index("threshold = 0.5") + 12], "not TOML"),  # saved half-way
        ("", "[[rule]]"),
    ):
        path.write_text(wrong)
        done = await inside(platform.config, "triggers", "check", str(path))
        if wanted is None:
            assert done.code == 0, done.err
        else:
            assert done.code == 2 and str(path) in done.err and wanted in done.err, done.err
            assert len(done.err.splitlines()) == 1
    assert (await inside(platform.config, "triggers", "check", str(tmp_path / "none.toml"))).code == 2


async def test_completion_lists_the_rules(platform: Platform) -> None:
    assert "slippage-run" in (await inside(platform.config, "completion", "rules")).out.split()
