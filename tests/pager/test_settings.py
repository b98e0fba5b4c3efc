"""`[paging]` and the SLO_PAGING_* variables: each bad value is one clear line, and stops no trip."""

from __future__ import annotations

from pathlib import Path

import pytest

from cockpit.config import BadSettings, load_settings
from cockpit.pager.service import receivers_of
from cockpit.paging_settings import PagingSettings

HOOK = "https://hooks.example/services/s3cr3t-token"
HEAD = """evidence_url = "memory:///"
[catalogue]
components = ["execution"]
instruments = []
strategies = []
"""


def read(folder: Path, text: str, **variables: str) -> PagingSettings:
    path = folder / "config.toml"
    path.write_text(f"{HEAD}\n[paging]\n{text}")
    return load_settings(path, env=variables).paging


def test_nothing_is_set(tmp_path: Path) -> None:
    paging = read(tmp_path, "")
    assert (paging.enabled, paging.receivers, paging.severities, paging.fault) == (
        False,
        (),
        ("P0", "P1"),
        "",
    )


def test_everything_is_set(tmp_path: Path) -> None:
    key = tmp_path / "keys" / "routing"
    key.parent.mkdir()
    key.write_text("0123456789abcdef0123456789ABCDEF\n")
    key.chmod(0o600)
    paging = read(
        tmp_path,
        f'enabled = true\nmin_severity = "warning"\nslack_url = "{HOOK}"\n'
        'webhook_url = "http://pages.internal/x"\n'
        'pagerduty_routing_key_file = "keys/routing"\npagerduty_url = "https://events.eu.pagerduty.com/v2/enqueue"\n'
        'alertmanager_url = "http://10.0.0.1:9093/"\n',
    )
    assert paging.receivers == ("pagerduty", "slack", "webhook", "alertmanager")
    assert paging.severities == ("P0", "P1", "P2")
    assert paging.routing_key() == "0123456789abcdef0123456789ABCDEF"
    assert paging.alertmanager_url == "http://10.0.0.1:9093"
    assert [each.name for each in receivers_of(paging, "x")] == list(paging.receivers)
    assert "s3cr3t" not in repr(paging)  # I27


def test_variables_win(tmp_path: Path) -> None:
    paging = read(
        tmp_path,
        'enabled = false\nmin_severity = "critical"\nwebhook_url = "https://a.example/"\n',
        SLO_PAGING_ENABLED="TRUE",
        SLO_PAGING_WEBHOOK_URL=HOOK,
        SLO_PAGING_MIN_SEVERITY="Warning",
    )
    assert (paging.enabled, paging.webhook_url, paging.min_severity) == (True, HOOK, "warning")
    off = read(tmp_path, f'enabled = true\nwebhook_url = "{HOOK}"\n', SLO_PAGING_ENABLED="false")
    assert off.enabled is False
    with pytest.raises(BadSettings, match="so nobody is paged"):
        receivers_of(off, "x")


BAD = [
    ("enabled = 1", {}, "paging.enabled: 1 is neither true nor false"),
    ("", {"SLO_PAGING_ENABLED": "maybe"}, "SLO_PAGING_ENABLED: 'maybe' is neither true nor false"),
    ('min_severity = "P0"', {}, "paging.min_severity: 'P0' is neither critical nor warning"),
    ("", {"SLO_PAGING_MIN_SEVERITY": "all"}, "SLO_PAGING_MIN_SEVERITY: 'all' is neither critical"),
    ("enabled = true", {}, "paging.enabled: true, and nobody to page"),
    ("", {"SLO_PAGING_ENABLED": "1"}, "paging.enabled: true, and nobody to page"),
    ('webhook = "x"', {}, "paging.webhook: no such setting"),
    ('webhook_url = "s3cr3t"', {}, "paging.webhook_url: not an address"),
    ('webhook_url = "ftp://s3cr3t"', {}, "paging.webhook_url: not an address"),
    ('webhook_url = "https://x:s3cr3t/"', {}, "paging.webhook_url: not an address"),
    ('webhook_url = "https://[s3cr3t/"', {}, "paging.webhook_url: not an address"),
    ('webhook_url = "https://x/s3cr3t y"', {}, "paging.webhook_url: not an address"),
    ('webhook_url = "https://x/#s3cr3t"', {}, "paging.webhook_url: not an address"),
    ('slack_url = "http://hooks.example/s3cr3t"', {}, "paging.slack_url: http would show its secret"),
    ('pagerduty_url = "http://x.example/s3cr3t"', {}, "paging.pagerduty_url: http would show its secret"),
    ("", {"SLO_PAGING_WEBHOOK_URL": "s3cr3t"}, "SLO_PAGING_WEBHOOK_URL: not an address"),
]


@pytest.mark.parametrize(("text", "variables", "line"), BAD)
def test_what_is_wrong_is_one_line_and_stops_no_trip(
    tmp_path: Path, text: str, variables: dict[str, str], line: str
) -> None:
    (tmp_path / "config.toml").write_text(f"{HEAD}\n[paging]\n{text}\n")
    settings = load_settings(tmp_path / "config.toml", env=variables)
    assert line in settings.paging.fault
    assert settings.warnings == (settings.paging.fault,)
    assert "s3cr3t" not in settings.paging.fault  # I27
    assert "\n" not in settings.paging.fault
    with pytest.raises(BadSettings):
        receivers_of(settings.paging, "x")


def test_this_machine_needs_no_tls(tmp_path: Path) -> None:
    assert read(tmp_path, 'slack_url = "http://127.0.0.1:9/x"').slack_url == "http://127.0.0.1:9/x"


@pytest.mark.parametrize(
    ("text", "mode", "line"),
    [
        (None, 0o600, "cannot read"),
        ("0123456789abcdef0123456789abcdef", 0o640, "others may read"),
        ("s3cr3t", 0o600, "holds no routing key"),
        ("0123456789abcdef0123456789abcde\xe9", 0o600, "holds no routing key"),
    ],
)
def test_a_routing_key_that_cannot_be_used(tmp_path: Path, text: str | None, mode: int, line: str) -> None:
    path = tmp_path / "key"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(BadSettings, match=line) as caught:
        PagingSettings(pagerduty_routing_key_file=path).routing_key()
    assert "s3cr3t" not in str(caught.value)  # I27


def test_no_file_is_named() -> None:
    with pytest.raises(BadSettings, match="not set"):
        PagingSettings().routing_key()
