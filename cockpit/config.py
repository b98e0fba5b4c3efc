"""Settings: one TOML file, overridden by the environment, then by flags.

Everything wrong with it is one `BadSettings` line that names the field, the fault and what would be right.
Only the standard library is imported: `cockpit trip` reads this on its way.
"""

from __future__ import annotations

import binascii
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cockpit.breaker_settings import check_scopes, read_catalogue, read_limits, read_probes
from cockpit.config_fields import BadSettings, Table, read_toml, shown
from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.limits import Limits
from cockpit.domain.text import clean
from cockpit.paging_settings import PagingSettings, read_paging

__all__ = ["BadSettings", "Credentials", "Settings", "default_path", "load_settings"]

_TOP: Final = frozenset(
    "profile default_login evidence_url evidence_options gateway_url prometheus_url spool_dir catalogue "
    "limits gateways probes authority_keys keymap logins profiles metrics_port "
    "slos guard exporter paging runs".split()
)
KEY_BYTES: Final = 32
_LOGIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Credentials:
    """One login's ways in. Addresses hold passwords, so they stay out of any repr."""

    name: str
    redis_url: str = field(repr=False)
    postgres_dsn: str = field(repr=False)
    signing_key: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the file, the environment and the flags say. `path` is the file itself.

    `overrides` are the store addresses from the environment: they win for whichever login is used.
    `warnings` are lines for people about what works but is unsafe. `shipped_slos` adds the objectives that
    come with the cockpit to those of `slo_folders`; samples before `simulated_before` were never measured (a
    demo's past), which is said wherever they count; `triggers_file` stands in for the rules that come with
    it; `guard_login` and `exporter_login` are who these services are, unless `--login` says;
    `exporter_host` is where metrics are served: to this machine alone, unless it names another address.
    `run_results` holds the run folders of the trading side, `audit_logs` its log files, None where there are
    none.
    """

    path: Path
    profile: str
    default_login: str | None
    evidence_url: str
    evidence_options: Mapping[str, str] = field(repr=False)
    gateway_url: str | None
    prometheus_url: str | None
    spool_dir: Path
    catalogue: Catalogue
    limits: Limits
    gateways: tuple[str, ...]
    probes: Mapping[str, tuple[str, ...]]
    authority_keys: Mapping[str, bytes]
    keymap: Mapping[str, str]
    logins: Mapping[str, Credentials]
    overrides: Mapping[str, str] = field(default_factory=dict, repr=False)
    metrics_port: int = 8503
    shipped_slos: bool = True
    slo_folders: tuple[Path, ...] = ()
    simulated_before: datetime | None = None
    triggers_file: Path | None = None
    guard_login: str | None = None
    exporter_login: str | None = None
    exporter_host: str = "127.0.0.1"
    run_results: Path | None = None
    audit_logs: Path | None = None
    paging: PagingSettings = field(default_factory=PagingSettings)
    warnings: tuple[str, ...] = ()

    def probes_for(self, breaker_id: BreakerId) -> tuple[str, ...]:
        """The probes of a run on this breaker, in their order."""
        return self.probes.get(breaker_id, self.probes["default"])

    def credentials(self, login: str | None = None) -> Credentials:
        """The login to act with: `login`, or the default one.

        A login that the file does not hold is looked for in `credentials/NAME.toml` beside it, which is
        where `cockpit admin add-operator` leaves one.

        Raises:
            BadSettings: no login was chosen, or there is none of that name.
        """
        name = login or self.default_login
        if name is None:
            raise BadSettings(f"default_login: not set in {self.path}; set it, or give --login NAME")
        found = self.logins.get(name) or _credentials_file(self.path.parent, name)
        if found is None:
            known = ", ".join(sorted(self.logins)) or "none"
            raise BadSettings(f"login: no [logins.{name[:64]}] in {self.path}; the logins are {known}")
        return Credentials(
            name,
            self.overrides.get("redis_url", found.redis_url),
            self.overrides.get("postgres_dsn", found.postgres_dsn),
            found.signing_key,
        )


def default_path(env: Mapping[str, str]) -> Path:
    """Where the settings lie unless `--config` or `COCKPIT_CONFIG` says otherwise."""
    home = env.get("XDG_CONFIG_HOME") or ""
    folder = Path(home) if home.startswith("/") else Path(env.get("HOME") or "~").expanduser() / ".config"
    return folder / "cockpit" / "config.toml"


def load_settings(
    config: Path | None = None, profile: str | None = None, env: Mapping[str, str] | None = None
) -> Settings:
    """Read the settings. `config` and `profile` are the flags' values.

    Raises:
        BadSettings: the file cannot be read, or a field in it cannot be used.
    """
    environ = os.environ if env is None else env
    named = environ.get("COCKPIT_CONFIG")
    path = (config or (Path(named) if named else default_path(environ))).expanduser().absolute()
    wanted = profile or environ.get("COCKPIT_PROFILE") or None
    top = Table("", _with_profile(read_toml(path, "config"), wanted, path))
    top.only(_TOP)
    limits = read_limits(top.table("limits"))
    catalogue = read_catalogue(top.table("catalogue"))
    check_scopes(limits, catalogue)
    listed = top.table("logins")
    logins = {name: _credentials(name, listed.table(name), path.parent) for name in listed.values}
    paging = read_paging(top, environ, path.parent)
    override = environ.get("COCKPIT_EVIDENCE_URL")
    evidence_url, evidence_name = (
        (override, "COCKPIT_EVIDENCE_URL") if override else (top.text("evidence_url"), "evidence_url")
    )
    return Settings(
        path=path,
        profile=wanted or top.text("profile", "default"),
        default_login=top.optional("default_login"),
        evidence_url=_url(evidence_name, evidence_url, ("file", "s3", "gs", "az", "memory")),
        evidence_options=top.table("evidence_options").texts(),
        gateway_url=_web(top.optional("gateway_url"), "gateway_url"),
        prometheus_url=_web(
            environ.get("COCKPIT_PROMETHEUS_URL") or top.optional("prometheus_url"), "prometheus_url"
        ),
        spool_dir=path.parent / Path(top.text("spool_dir", "spool")).expanduser(),
        catalogue=catalogue,
        limits=limits,
        gateways=top.table("gateways").names("names", ()),
        probes=read_probes(top.table("probes"), catalogue, limits.probes),
        authority_keys=_keys(top.table("authority_keys")),
        keymap=top.table("keymap").texts(),
        logins=logins,
        overrides=_overrides(environ),
        metrics_port=int(top.number("metrics_port", 8503, whole=True)),
        **_services(top, path.parent),
        paging=paging,
        warnings=(*_warnings(path, logins), *filter(None, (paging.fault,))),
    )


def _with_profile(values: dict[str, object], wanted: str | None, path: Path) -> dict[str, object]:
    """The file's own values, overlaid key by key with those of `[profiles.NAME]`."""
    profiles = Table("", values).table("profiles")
    if wanted is None or (wanted == values.get("profile") and wanted not in profiles.values):
        return values
    if wanted not in profiles.values:
        known = ", ".join(sorted({*profiles.values, str(values.get("profile", "default"))}))
        raise BadSettings(f"profile: no [profiles.{clean(wanted, 64)}] in {path}; known are {clean(known)}")
    merged = dict(values)
    for key, value in profiles.table(wanted).values.items():
        before = merged.get(key)
        merged[key] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def _moment(name: str, text: str) -> datetime:
    from cockpit.domain.documents import parse_rfc3339

    try:
        return parse_rfc3339(text)
    except ValueError:
        raise BadSettings(
            f"{name}: {shown(text)} is no time; write it like 2026-01-31T12:00:00Z in quotes"
        ) from None


def _services(top: Table, folder: Path) -> dict[str, Any]:
    """What `[slos]`, `[guard]`, `[exporter]` and `[runs]` say. Paths are relative to the settings."""
    slos, guard, exporter = top.table("slos"), top.table("guard"), top.table("exporter")
    slos.only(("shipped", "folders", "simulated_before"))
    guard.only(("triggers", "login"))
    exporter.only(("login", "host"))
    runs = top.table("runs")
    runs.only(("results", "audit_logs"))
    results, logs = runs.optional("results"), runs.optional("audit_logs")
    triggers, simulated = guard.optional("triggers"), slos.optional("simulated_before")
    return {
        "shipped_slos": slos.flag("shipped", True),
        "slo_folders": tuple(folder / Path(name).expanduser() for name in slos.names("folders", ())),
        "simulated_before": _moment(slos.at("simulated_before"), simulated) if simulated else None,
        "triggers_file": folder / Path(triggers).expanduser() if triggers else None,
        "guard_login": guard.optional("login"),
        "exporter_login": exporter.optional("login"),
        "exporter_host": exporter.text("host", "127.0.0.1"),
        "run_results": folder / Path(results).expanduser() if results else None,
        "audit_logs": folder / Path(logs).expanduser() if logs else None,
    }


def _keys(table: Table) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for key_id, text in table.texts().items():
        try:
            keys[key_id] = binascii.a2b_base64(text, strict_mode=True)
        except ValueError:
            keys[key_id] = b""
        if len(keys[key_id]) != KEY_BYTES:
            raise BadSettings(f"{table.at(key_id)}: not an Ed25519 public key; write its 32 bytes in base64")
    return keys


def _credentials(name: str, table: Table, folder: Path) -> Credentials:
    table.only(("redis_url", "postgres_dsn", "signing_key"))
    key = table.optional("signing_key")
    redis_url, dsn = table.optional("redis_url") or "", table.optional("postgres_dsn") or ""
    return Credentials(
        name,
        _url(table.at("redis_url"), redis_url, ("redis", "rediss", "unix")) if redis_url else "",
        _url(table.at("postgres_dsn"), dsn, ("postgres", "postgresql")) if dsn else "",
        folder / Path(key).expanduser() if key else None,
    )


def _credentials_file(folder: Path, name: str) -> Credentials | None:
    """The fields of `[logins.NAME]` in a file of their own; paths in it are relative to it."""
    path = folder / "credentials" / f"{name}.toml"
    if not _LOGIN.fullmatch(name) or not path.is_file():
        return None
    return _credentials(name, Table("", read_toml(path, "login")), path.parent)


def _url(name: str, value: str, schemes: Sequence[str]) -> str:
    """Never repeats the value: it may hold a password."""
    if value.partition("://")[0] not in schemes or "://" not in value:
        raise BadSettings(
            f"{name}: not an address of this kind; write {' or '.join(f'{s}://…' for s in schemes)}"
        )
    return value


def _web(value: str | None, name: str) -> str | None:
    return None if value is None else _url(name, value, ("http", "https")).rstrip("/")


def _overrides(environ: Mapping[str, str]) -> dict[str, str]:
    kinds = {"COCKPIT_REDIS_URL": "redis_url", "COCKPIT_POSTGRES_DSN": "postgres_dsn"}
    schemes = {"redis_url": ("redis", "rediss", "unix"), "postgres_dsn": ("postgres", "postgresql")}
    return {
        name: _url(variable, environ[variable], schemes[name])
        for variable, name in kinds.items()
        if environ.get(variable)
    }


def _warnings(path: Path, logins: Mapping[str, Credentials]) -> tuple[str, ...]:
    if logins and path.stat().st_mode & 0o077:
        return (f"config: {path} holds passwords and others may read it; chmod 600 it",)
    return ()
