"""What `[paging]` says: whether incidents page anybody, from which severity on, and through whom.

Addresses of webhooks and the routing key are secrets: they stay out of any repr, log and error.
Source of the `SLO_PAGING_*` variables: operations runbook, alert sources.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cockpit.config_fields import BadSettings, Table, shown

PAGERDUTY: Final = "https://events.pagerduty.com/v2/enqueue"
MINIMA: Final[Mapping[str, tuple[str, ...]]] = {"critical": ("P0", "P1"), "warning": ("P0", "P1", "P2")}
_KNOWN: Final = (
    "enabled min_severity webhook_url slack_url pagerduty_routing_key_file pagerduty_url alertmanager_url"
)
_ROUTING_KEY: Final = re.compile(r"[0-9A-Za-z]{32}", re.ASCII)
_FLAGS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_HOME: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class PagingSettings:
    """`min_severity`: critical pages P0 and P1, warning P2 too. A receiver without an address is not used.
    `alertmanager_url` also serves `cockpit silence`, whether or not paging is enabled. With a `fault` nothing
    here can be used: it stops the pager, and no trip."""

    enabled: bool = False
    min_severity: str = "critical"
    webhook_url: str | None = field(default=None, repr=False)
    slack_url: str | None = field(default=None, repr=False)
    pagerduty_routing_key_file: Path | None = None
    pagerduty_url: str = PAGERDUTY
    alertmanager_url: str | None = field(default=None, repr=False)
    fault: str = ""

    def usable(self) -> PagingSettings:
        """
        Raises:
            BadSettings: one of these settings cannot be used.
        """
        if self.fault:
            raise BadSettings(self.fault)
        return self

    @property
    def severities(self) -> tuple[str, ...]:
        """Those that are paged."""
        return MINIMA[self.min_severity]

    @property
    def receivers(self) -> tuple[str, ...]:
        """Names of the receivers that are set."""
        wanted = {
            "pagerduty": self.pagerduty_routing_key_file,
            "slack": self.slack_url,
            "webhook": self.webhook_url,
            "alertmanager": self.alertmanager_url,
        }
        return tuple(name for name, setting in wanted.items() if setting is not None)

    def routing_key(self) -> str:
        """PagerDuty's, out of its file: 32 letters and digits.

        Raises:
            BadSettings: the file cannot be read, others may read it, or it holds something else.
        """
        path, name = self.pagerduty_routing_key_file, "paging.pagerduty_routing_key_file"
        if path is None:
            raise BadSettings(f"{name}: not set; name the file that holds the key")
        try:
            if path.stat().st_mode & 0o077:
                raise BadSettings(f"{name}: others may read {path}; chmod 600 it")
            text = path.read_bytes()[:1_000].decode("ascii", "replace").strip()
        except OSError as error:
            raise BadSettings(f"{name}: cannot read {path}: {error.strerror}; write the key there") from None
        if not _ROUTING_KEY.fullmatch(text):
            raise BadSettings(f"{name}: {path} holds no routing key; it has 32 letters and digits")
        return text


def read_paging(top: Table, environ: Mapping[str, str], folder: Path) -> PagingSettings:
    """`[paging]` of the settings, overridden by SLO_PAGING_ENABLED, SLO_PAGING_WEBHOOK_URL and
    SLO_PAGING_MIN_SEVERITY. Paths are relative to `folder`. What is wrong with it is its `fault`, one line
    that repeats no address: a variable from somewhere else must stand in no trip's way."""
    try:
        return _read(top.table("paging"), environ, folder)
    except BadSettings as error:
        return PagingSettings(fault=str(error))


def _read(table: Table, environ: Mapping[str, str], folder: Path) -> PagingSettings:
    table.only(_KNOWN.split())
    key_file = table.optional("pagerduty_routing_key_file")
    minimum = environ.get("SLO_PAGING_MIN_SEVERITY") or table.optional("min_severity") or "critical"
    named = "SLO_PAGING_MIN_SEVERITY" if environ.get("SLO_PAGING_MIN_SEVERITY") else table.at("min_severity")
    if minimum.strip().lower() not in MINIMA:
        raise BadSettings(f"{named}: {shown(minimum)} is neither critical nor warning; write one of them")
    paging = PagingSettings(
        enabled=_enabled(table, environ),
        min_severity=minimum.strip().lower(),
        webhook_url=_address(table, "webhook_url", environ.get("SLO_PAGING_WEBHOOK_URL"), plain=True),
        slack_url=_address(table, "slack_url"),
        pagerduty_routing_key_file=folder / Path(key_file).expanduser() if key_file else None,
        pagerduty_url=_address(table, "pagerduty_url") or PAGERDUTY,
        alertmanager_url=_address(table, "alertmanager_url", plain=True),
    )
    if paging.enabled and not paging.receivers:
        raise BadSettings(
            "paging.enabled: true, and nobody to page; set webhook_url (or SLO_PAGING_WEBHOOK_URL), "
            "slack_url, pagerduty_routing_key_file or alertmanager_url"
        )
    return paging


def _enabled(table: Table, environ: Mapping[str, str]) -> bool:
    text = environ.get("SLO_PAGING_ENABLED")
    if not text:
        return table.flag("enabled", False)
    if text.strip().lower() not in _FLAGS:
        raise BadSettings(f"SLO_PAGING_ENABLED: {shown(text)} is neither true nor false; write one of them")
    return _FLAGS[text.strip().lower()]


def _address(table: Table, key: str, override: str | None = None, plain: bool = False) -> str | None:
    """`plain`: http is fine too. Elsewhere the address or the body holds a secret, so only this machine may
    be spoken to without TLS."""
    name = "SLO_PAGING_WEBHOOK_URL" if override else table.at(key)
    value = override or table.optional(key)
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    sound = value.isascii() and value.isprintable() and " " not in value and port != 0
    if not sound or not host or parts.scheme not in ("http", "https") or parts.fragment:
        raise BadSettings(f"{name}: not an address of this kind; write https://…")
    if parts.scheme == "http" and not plain and host not in _HOME:
        raise BadSettings(f"{name}: http would show its secret on the network; write https://…")
    return value.rstrip("/") if key == "alertmanager_url" else value
