"""Settings: what each field accepts, and what a person is told where it is wrong."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cockpit.config import BadSettings, default_path, load_settings
from cockpit.domain.breakers import BreakerId

GOOD = """
profile = "test"
default_login = "operator1"
evidence_url = "file:///tmp/evidence"
[catalogue]
components = ["execution", "ingest"]
instruments = ["BTC-USD"]
strategies = ["meanrev"]
[catalogue.parents]
"instrument:BTC-USD" = "component:ingest"
[logins.operator1]
redis_url = "redis://operator1:secret@127.0.0.1:1/0"
postgres_dsn = "postgresql://operator1:secret@127.0.0.1:1/cockpit"
signing_key = "keys/operator1.pem"
[profiles.night]
default_login = "operator2"
[profiles.night.limits]
quiet_period_s = 7
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.touch(0o600)
    path.write_text(GOOD)
    return path


def changed(config: Path, text: str, instead: str = "") -> Path:
    config.write_text(GOOD.replace(text, instead) if text else GOOD + instead)
    return config


def test_paths_are_relative_to_the_file(config: Path) -> None:
    found = load_settings(config, env={})
    assert found.spool_dir == config.parent / "spool"
    assert found.credentials().signing_key == config.parent / "keys" / "operator1.pem"
    assert found.catalogue.ancestors(BreakerId("instrument:BTC-USD"))[0] == "component:ingest"


def test_the_environment_overrides_the_file_and_flags_override_both(config: Path, tmp_path: Path) -> None:
    env = {
        "COCKPIT_CONFIG": str(config),
        "COCKPIT_REDIS_URL": "redis://env:1",
        "COCKPIT_POSTGRES_DSN": "postgresql://env",
        "COCKPIT_PROMETHEUS_URL": "http://env:9090/",
        "COCKPIT_EVIDENCE_URL": "s3://env",
        "COCKPIT_PROFILE": "night",
    }
    found = load_settings(env=env)
    assert (found.profile, found.default_login, found.limits.quiet_period_s) == ("night", "operator2", 7)
    assert (found.prometheus_url, found.evidence_url) == ("http://env:9090", "s3://env")
    used = found.credentials("operator1")
    assert (used.redis_url, used.postgres_dsn) == ("redis://env:1", "postgresql://env")
    assert load_settings(config, "test", env=env).profile == "test"
    with pytest.raises(BadSettings, match="no file at"):
        load_settings(tmp_path / "other.toml", env=env)


def test_the_default_place_is_that_of_xdg() -> None:
    assert default_path({"XDG_CONFIG_HOME": "/x"}) == Path("/x/cockpit/config.toml")
    assert default_path({"HOME": "/h", "XDG_CONFIG_HOME": "relative"}) == Path(
        "/h/.config/cockpit/config.toml"
    )


def test_no_repr_shows_an_address(config: Path) -> None:  # I27
    found = load_settings(config, env={"COCKPIT_REDIS_URL": "redis://u:secret@h"})
    assert "secret" not in repr(found) + repr(found.credentials()) + str(found)


def test_a_file_that_others_may_read_is_a_warning(config: Path) -> None:
    assert load_settings(config, env={}).warnings == ()
    config.chmod(0o644)
    assert "chmod 600" in load_settings(config, env={}).warnings[0]


def test_a_login_may_have_a_file_of_its_own(config: Path) -> None:
    folder = config.parent / "credentials"
    folder.mkdir()
    (folder / "operator2.toml").write_text('redis_url = "redis://o2"\nsigning_key = "o2.pem"\n')
    found = load_settings(config, env={}).credentials("operator2")
    assert (found.redis_url, found.signing_key) == ("redis://o2", folder / "o2.pem")
    with pytest.raises(BadSettings, match="operator1"):
        load_settings(config, env={}).credentials("../../etc/passwd")


def test_probes_default_to_the_five_and_can_be_set_for_a_breaker(config: Path) -> None:
    text = '[probes]\n"instrument:BTC-USD" = ["latency", "latency", "latency", "latency", "gateway-health"]\n'
    found = load_settings(changed(config, "", text), env={})
    assert found.probes_for(BreakerId("instrument:BTC-USD"))[:2] == ("latency", "latency")
    assert len(set(found.probes_for(BreakerId("global")))) == 5


def test_limits_take_their_types(config: Path) -> None:
    text = '[limits]\nsize_share = "0.1"\nprobes = 7\nprobes_required = 6\napproval_scopes = ["global"]\n'
    limits = load_settings(changed(config, "", text), env={}).limits
    assert (limits.size_share, limits.probes) == (Decimal("0.1"), 7)


@pytest.mark.parametrize(
    ("text", "instead", "expected"),
    [
        ("", "\n[limits]\nquiet_period_s = -1", "limits.quiet_period_s"),
        ("", "\n[limits]\nquiet_period_s = nan", "limits.quiet_period_s"),
        ("", "\n[limits]\nquiet_period_s = true", "limits.quiet_period_s"),
        ("", "\n[limits]\nquiet_periods = 3", "limits.quiet_periods"),
        ("", "\n[limits]\nprobes = 2.5", "limits.probes"),
        ("", "\n[limits]\nprobes = 99", "limits.probes"),
        ("", "\n[limits]\nprobes_required = 6", "limits.probes_required"),
        ("", "\n[limits]\nsize_share = 2", "limits.size_share"),
        ("", '\n[limits]\nsize_share = "nan"', "limits.size_share"),
        ("", "\n[limits]\ncommit_deadline_s = 31", "limits.commit_deadline_s"),
        ("", '\n[limits]\napproval_scopes = ["component:x"]', "limits.approval_scopes"),
        ("", '\n[limits]\napproval_scopes = "global"', "limits.approval_scopes"),
        ("", '\n[probes]\ndefault = ["latency"]', "probes.default"),
        ("", '\n[probes]\n"instrument:X" = []', "probes.instrument:X"),
        ("", '\n[probes]\ndefault = ["a", "b", "c", "d", "e"]', "probes.default"),
        ("", '\n[authority_keys]\nk = "AAAA"', "authority_keys.k"),
        ("", "\n[keymap]\ntrip = 3", "keymap.trip"),
        ('profile = "test"', 'profil = "test"', "profil"),
        ('"file:///tmp/evidence"', '"ftp://x"', "evidence_url"),
        ('evidence_url = "file:///tmp/evidence"', "", "evidence_url: missing"),
        ('"redis://operator1:secret@127.0.0.1:1/0"', '"http://secret"', "logins.operator1.redis_url"),
        ('"instrument:BTC-USD" =', '"instrument:X" =', "catalogue"),
        ('["BTC-USD"]', '["BTC USD"]', "catalogue"),
        ('["BTC-USD"]', '["BTC-USD", "BTC-USD"]', "catalogue.instruments"),
        ('["BTC-USD"]', "[3]", "catalogue.instruments"),
        ("[logins.operator1]", "[logins]\noperator1 = 3\n[x]", "x: no such"),
        ("[catalogue]", "[catalogue", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(config: Path, text: str, instead: str, expected: str) -> None:
    with pytest.raises(BadSettings) as raised:
        load_settings(changed(config, text, instead), env={})
    line = str(raised.value)
    assert expected in line
    assert "\n" not in line
    assert "secret" not in line


def test_an_unknown_profile_names_the_known_ones(config: Path) -> None:
    with pytest.raises(BadSettings, match="night"):
        load_settings(config, "day", env={})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_settings_or_one_line(config: Path, raw: bytes) -> None:
    config.write_bytes(raw)
    with pytest.raises(BadSettings) as raised:
        load_settings(config, env={})
    assert str(raised.value).isprintable()


_KEYS = st.sampled_from(
    [
        "catalogue",
        "limits",
        "probes",
        "gateways",
        "logins",
        "keymap",
        "authority_keys",
        "profiles",
        "spool_dir",
    ]
)
_LEAVES = st.one_of(
    st.just("3"),
    st.just("nan"),
    st.just("true"),
    st.just('"\\u202e"'),
    st.just("[1, [2]]"),
    st.just("{ a = {} }"),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(_KEYS, _LEAVES, min_size=1))
def test_any_kind_of_value_is_settings_or_one_line(config: Path, values: dict[str, str]) -> None:
    head = 'evidence_url = "file:///x"\n'
    config.write_text(head + "".join(f"{key} = {value}\n" for key, value in values.items()))
    try:
        load_settings(config, env={})
    except BadSettings as fault:
        assert str(fault).isprintable()


def test_run_folders(config: Path) -> None:
    nothing = load_settings(config, env={})
    assert (nothing.run_results, nothing.audit_logs) == (None, None)
    given = '[runs]\nresults = "results/runs"\naudit_logs = "/var/log/trading"\n'
    found = load_settings(changed(config, "", given), env={})
    assert found.run_results == config.parent / "results/runs"
    assert found.audit_logs == Path("/var/log/trading")
    bad = (('results = ["x"]', "runs.results"), ('folder = "x"', "runs.folder: no such setting"))
    for text, words in bad:
        with pytest.raises(BadSettings, match=words):
            load_settings(changed(config, "", f"[runs]\n{text}\n"), env={})
