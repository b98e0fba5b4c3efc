"""Arguments of every kind: one line, the right exit code, one JSON document, never a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cockpit.cli import main
from cockpit.cli.arguments import COMMANDS, parser_of
from tests.cli.commands import NOTES, OUTCOME, cockpit
from tests.trading_platform import Platform


def run(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings anywhere, so that nothing can be reached whatever the arguments say."""
    for name in ("COCKPIT_CONFIG", "COCKPIT_REDIS_URL", "COCKPIT_POSTGRES_DSN", "COCKPIT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


WORDS = st.one_of(
    st.sampled_from([word for words in COMMANDS for word in words.split()]),
    st.sampled_from(
        ["--json", "--yes", "--config", "--login", "--profile", "--notes", "--reason", "--", "-", "-h"]
    ),
    st.sampled_from(
        ["global", "instrument:BTC-USD", "latency", NOTES, "", "-1", "--notes=", "\x1b[31m", "[/foo]"]
    ),
    st.text(max_size=20),
)


@pytest.mark.usefixtures("nowhere")
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WORDS.filter(lambda word: word not in ("demo", "authority", "keygen")), max_size=8))
@example(["trip", "global", "--config", "\0", "--reason", "drill", "--notes", NOTES])
@example(["trip", "--notes", "\udcff", "global"])
@example(["completion", "bash", "--json"])
def test_any_arguments_end_in_a_known_way(arguments: list[str]) -> None:  # I26
    code, out, err = run(*arguments)
    assert code in {0, 2}, (out, err)
    assert "Traceback" not in out + err
    assert "\x1b" not in err
    if code:
        assert len(err.splitlines()) == 1
        asked = arguments[: arguments.index("--")] if "--" in arguments else arguments
        if "--json" in asked:
            json.loads(out)


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("words", [words for words in COMMANDS if words])
def test_every_command_has_help(words: str) -> None:
    code, out, _ = run(*words.split(), "--help")
    assert code == 0
    assert out.startswith(f"usage: cockpit {words}")


@pytest.mark.usefixtures("nowhere")
def test_mutating_commands_print_the_outcome_object_even_for_wrong_usage() -> None:
    for words in (words for words, spec in COMMANDS.items() if spec.changes):
        code, out, _ = run(*words.split(), "--json")
        assert code == 2
        assert set(json.loads(out)) == OUTCOME


@pytest.mark.usefixtures("nowhere")
def test_abbreviated_options_are_not_guessed() -> None:
    code, _, err = run("trip", "global", "--reas", "drill", "--notes", NOTES, "--yes")
    assert (code, "--reason" in err) == (2, True)


@pytest.mark.usefixtures("nowhere")
def test_a_misspelt_command_is_suggested() -> None:
    assert "did you mean trip?" in run("tripp")[2]
    assert "did you mean incident list?" in run("incidents")[2]
    assert "audit verify" in run("audit")[2]


@pytest.mark.usefixtures("nowhere")
def test_a_group_that_is_a_command_too() -> None:
    """`slo` lists, `slo NAME` shows one, `slo check` is another command; `--` ends the commands."""
    for words in ((), ("order-success",), ("--", "check")):
        code, _, err = run("slo", *words)
        assert (code, "config" in err) == (2, True), err  # parsed, and only the settings are missing
    assert "See also: cockpit slo exclude" in run("slo", "--help")[1]
    assert "--from" in run("slo", "exclude", "--help")[1]
    assert "unrecognized" in run("slo", "order-success", "exclude")[2]


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"TERM": "xterm"}])
async def test_the_screen_without_a_terminal_exits_2_and_names_the_commands(
    env: dict[str, str],
) -> None:  # F22
    done = await cockpit(None, env=env)
    assert done.code == 2
    assert "`cockpit status`" in done.err
    assert "`cockpit trip" in done.err


def test_the_trip_path_imports_nothing_heavy() -> None:
    """What `make bench` measures, pinned by name."""
    script = (
        "import sys; import cockpit.cli.run, cockpit.cli.tripping, cockpit.operations.trip;"
        "import backends.fast_trip, backends.signing; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"asyncio", "asyncpg", "httpx", "textual", "obstore", "redis", "rich"}
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command_and_option(shell: str) -> None:
    code, script, _ = run("completion", shell)
    assert code == 0
    for words in filter(None, COMMANDS):
        assert all(word in script for word in words.split())
        for action in parser_of(words)._actions:
            assert all(name.lstrip("-") in script for name in action.option_strings)
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_bash_completes(tmp_path: Path) -> None:
    script = run("completion", "bash")[1]
    probe = script + (
        "\nCOMP_WORDS=(cockpit audit ver); COMP_CWORD=2; _cockpit; echo ${COMPREPLY[@]}"
        "\nCOMP_WORDS=(cockpit trip --reason dri); COMP_CWORD=3; _cockpit; echo ${COMPREPLY[@]}"
        "\nCOMP_WORDS=(cockpit half-open --ch); COMP_CWORD=2; _cockpit; echo ${COMPREPLY[@]}"
        "\ncockpit() { [ $1 = completion ] && echo $2-one check-two; }"
        "\nCOMP_WORDS=(cockpit slo ch); COMP_CWORD=2; _cockpit; echo ${COMPREPLY[@]}"
        "\nCOMP_WORDS=(cockpit slo exclude --fr); COMP_CWORD=3; _cockpit; echo ${COMPREPLY[@]}"
        "\nCOMP_WORDS=(cockpit slo exclude obj); COMP_CWORD=3; _cockpit; echo ${COMPREPLY[@]}"
        "\nCOMP_WORDS=(cockpit triggers ru); COMP_CWORD=2; _cockpit; echo ${COMPREPLY[@]}\n"
    )
    done = subprocess.run(["bash", "-c", probe], capture_output=True, text=True, check=True, cwd=tmp_path)
    wanted = ["verify", "drill", "--checked", "check", "check-two", "--from", "objectives-one", "rules-one"]
    assert done.stdout.split() == wanted


async def test_status_without_redis_never_says_halted(platform: Platform) -> None:  # I25
    from tests.cli.commands import moved

    config = moved(platform.config, "away.toml", redis=1)
    for more in ((), ("--json",)):
        done = await cockpit(config, "status", *more)
        assert done.code == 5
        assert "TRADING MAY CONTINUE" in done.out
        assert "HALTED" not in done.out


async def test_status_lists_every_breaker_in_the_contracts_fields(platform: Platform) -> None:
    await platform.open_for_trading()
    document = (await cockpit(platform.config, "status", "--json")).document
    assert [each["breaker_id"] for each in document["breakers"]] == list(platform.catalogue.ids)
    fields = (
        "breaker_id state effective_state halted_by epoch size_share since actor reason notes quiet_until"
    )
    assert set(document["breakers"][0]) == set(fields.split())
    assert {each["size_share"] for each in document["breakers"]} == {"1"}
    assert (document["size_limits"], document["approvals"], document["incidents"]) == ([], [], [])
    human = await cockpit(platform.config, "status")
    assert "CLOSED · TRADING" in human.out and "SIZE" not in human.out


async def test_status_without_postgres_knows_no_limits_rather_than_none(platform: Platform) -> None:  # I25
    from tests.cli.commands import moved

    await platform.open_for_trading()
    document = (await cockpit(moved(platform.config, "half.toml", postgres=1), "status", "--json")).document
    assert [document[name] for name in ("size_limits", "approvals", "incidents")] == [None] * 3
    assert document["breakers"][0]["state"] == "CLOSED"


async def test_an_internal_error_is_one_line_and_a_log(platform: Platform, tmp_path: Path) -> None:  # I27
    """An unforeseen fault: a `json` that fails under the history's feet."""
    (tmp_path / "sitecustomize.py").write_text(
        "import cockpit.cli.reading as r\n"
        "def broken(*_): secret = 'hunter2'; raise RuntimeError('unforeseen')\n"
        "r.history = broken\n"
    )
    path = f"{tmp_path}:{Path(__file__).resolve().parents[2]}"
    done = await cockpit(platform.config, "history", "--json", env={"PYTHONPATH": path})
    assert done.code == 1
    [log] = platform.config.parent.glob("state/**/cockpit.log")
    assert str(log) in done.document["error"]["message"]
    assert "RuntimeError" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0
