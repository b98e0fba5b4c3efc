"""Logins of Postgres: what each kind may take of the server, and how one is made or ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import asyncpg

from backends.scram import scram_verifier
from cockpit.domain.permissions import Role, Service
from cockpit.domain.refusals import Code, Refused

_SQL: Final = files("backends").joinpath("sql")
_LOGIN: Final = _SQL.joinpath("login.sql").read_text()
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)
_RESERVED: Final = frozenset("owner authority gateway pager postgres public none default".split())


@dataclass(frozen=True, slots=True)
class Terms:
    """What a login may take of the server: groups, connections, and how long it may hold anything."""

    groups: tuple[str, ...]
    connections: int
    statement: str
    lock: str
    idle: str


_READER: Final = Terms(("cockpit_people",), 12, "10s", "2s", "10s")
_PROBER: Final = Terms(("cockpit_people", "cockpit_prober"), 12, "10s", "2s", "10s")
TERMS: Final[Mapping[Role | Service, Terms]] = {
    Role.SAFETY_ADMIN: _PROBER,
    Role.OPERATOR_ACT: _PROBER,
    Role.AUTOMATION_ROLE: Terms(("cockpit_people", "cockpit_guard"), 12, "10s", "2s", "10s"),
    Role.MONITORING_READ: _READER,
    Service.AUTHORITY: Terms(("cockpit_authority",), 20, "15s", "2s", "15s"),
    Service.GATEWAY: Terms(("cockpit_gateway",), 10, "10s", "2s", "10s"),
    Service.PAGER: Terms(("cockpit_pager",), 6, "10s", "2s", "10s"),
}


def check_login_name(name: str) -> str:
    """
    Raises:
        Refused: MALFORMED, not a name that both stores take, or one that is spoken for.
    """
    if not _NAME.fullmatch(name) or name in _RESERVED or name.startswith(("pg_", "cockpit_")):
        raise Refused(
            Code.MALFORMED,
            f"{name[:40]!r} cannot be a login.",
            "Use 1 to 40 of a-z, 0-9, _ and -, beginning with a letter; owner, authority, gateway, pg_… and "
            "cockpit_… are taken.",
        )
    return name


async def make_login(connection: Any, name: str, password: str | None, terms: Terms) -> None:
    verifier = None if password is None else scram_verifier(password)
    rows = await connection.fetch(
        _LOGIN, name, verifier, list(terms.groups), terms.connections, terms.statement, terms.lock, terms.idle
    )
    for row in rows:
        await connection.execute(row["statement"])


async def may_take(connection: Any, login: str, person_id: str) -> None:
    owner = await connection.fetchval("SELECT person_id FROM operators WHERE login = $1", login)
    if owner is not None and owner != person_id:
        raise Refused(
            Code.DENIED,
            f"The login {login} belongs to {owner}.",
            "A login stays one person's; choose another name.",
        )
    foreign = await connection.fetchval(
        "SELECT count(*) FROM pg_roles r WHERE rolname = $1 AND NOT EXISTS (SELECT FROM pg_auth_members m"
        " JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid AND g.rolname = 'cockpit_people')",
        login,
    )
    if foreign:
        raise Refused(
            Code.DENIED, f"The server has a role {login} that is not the cockpit's.", "Choose another name."
        )


async def end_grants(connection: Any, login: str) -> None:
    await connection.execute(
        "UPDATE role_grants SET revoked_at = clock_timestamp() WHERE login = $1 AND revoked_at IS NULL", login
    )


async def register_key(connection: Any, login: str, key_id: str, public_b64: str) -> None:
    try:
        known = await connection.fetchrow(
            "INSERT INTO signing_keys (key_id, login, public_key) VALUES ($1, $2, $3)"
            " ON CONFLICT (key_id) DO UPDATE SET key_id = excluded.key_id"
            " RETURNING login, public_key, revoked_at",
            key_id,
            login,
            public_b64,
        )
    except asyncpg.CheckViolationError as error:
        raise Refused(Code.MALFORMED, "That is no public key.", "Give the file that keygen wrote.") from error
    if (known["login"], known["public_key"]) != (login, public_b64):
        raise Refused(
            Code.DENIED, f"Key {key_id} is registered for {known['login']}.", "Run keygen for a new one."
        )
    if known["revoked_at"] is not None:
        raise Refused(Code.DENIED, f"Key {key_id} was revoked.", "Run keygen for a new one.")
