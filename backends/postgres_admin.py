"""The owner's work in Postgres: schema, rights, logins, keys, the genesis grant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

from backends.audit_log import NewEntry, Recorder, append, recorded
from backends.postgres_facts import read_facts
from backends.postgres_logins import (
    TERMS,
    check_login_name,
    end_grants,
    make_login,
    may_take,
    register_key,
)
from backends.postgres_session import Session
from cockpit.domain.audit import Action, Entry
from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.facts import Fact
from cockpit.domain.permissions import Role, Service
from cockpit.domain.refusals import Code, Refused

_SQL: Final = files("backends").joinpath("sql")
_STEPS: Final = (
    *("schema.sql", "platform.sql", "incidents.sql", "reconciliation.sql", "triggers.sql", "sli.sql"),
    *("guard.sql", "pager.sql", "pager_claims.sql", "paging.sql"),
    *("roles.sql", "database_rights.sql", "rights.sql"),
)
_GENESIS: Final = _SQL.joinpath("genesis.sql").read_text()
_PEOPLE: Final = """
SELECT g.login, g.role FROM role_grants g JOIN operators o USING (login)
 WHERE o.revoked_at IS NULL AND g.revoked_at IS NULL
   AND (g.expires_at IS NULL OR g.expires_at > clock_timestamp())
"""
_UPGRADE_LOCK: Final = 0x636F636B706974  # taken only while a schema changes, by owners


class PostgresAdmin:
    """Postgres through its owner's login. Each method is one transaction and safe to repeat."""

    def __init__(self, owner_dsn: str) -> None:
        self._session = Session(owner_dsn, command_timeout_s=30, application_name="cockpit owner")

    async def close(self) -> None:
        await self._session.close()

    async def upgrade(self, catalogue: Catalogue) -> None:
        """Create or upgrade schema, triggers, groups and rights, and add the catalogue's breakers (OPEN)
        and switches (set).

        Raises:
            Refused: the server is older than PostgreSQL 14, or the login does not own the database.
        """
        async with self._transaction() as connection:
            if connection.get_server_version().major < 14:
                raise Refused(Code.STORE, "PostgreSQL 14 or newer is needed.", "Upgrade the server.")
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _UPGRADE_LOCK)
            for name in _STEPS:
                await connection.execute(_SQL.joinpath(name).read_text())
            await connection.executemany(
                "INSERT INTO breakers (breaker_id, ancestors) VALUES ($1, $2)"
                " ON CONFLICT (breaker_id) DO UPDATE SET ancestors = excluded.ancestors",
                [(name, list(catalogue.ancestors(name))) for name in catalogue.everything],
            )

    async def note_counters(self, run_id: str, counters: Mapping[BreakerId, int]) -> None:
        """Tell breakers that are new here the counter that they were born with, so that it is no surprise."""
        async with self._transaction() as connection:
            await connection.executemany(
                "UPDATE breakers SET counter = $2, redis_run_id = $3"
                " WHERE breaker_id = $1 AND counter = 0 AND redis_run_id IS NULL",
                [(name, counter, run_id) for name, counter in counters.items()],
            )

    async def set_service_login(self, service: Service, password: str | None) -> None:
        """Make or renew a service's login, which bears its name. None keeps an existing login's password.

        Raises:
            Refused: a person has that login, from when there was no such service.
        """
        async with self._transaction() as connection:
            if await connection.fetchval("SELECT count(*) FROM operators WHERE login = $1", service.value):
                raise Refused(
                    Code.DENIED,
                    f"The login {service.value} is a person's, and a service's from now on.",
                    "Give that person a login of another name; the owner ends this one in the database.",
                )
            await make_login(connection, service.value, password, TERMS[service])

    async def has_login(self, name: str) -> bool:
        async with self._session.use() as connection:
            return bool(await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", name))

    async def people(self) -> Mapping[str, Role]:
        """Everybody with a grant that holds now."""
        async with self._session.use() as connection:
            rows = await connection.fetch(_PEOPLE)
        return {row["login"]: Role(row["role"]) for row in rows}

    async def register_key(self, login: str, key_id: str, public_b64: str) -> None:
        """Register the public half of a service's or the owner's key. A person's goes with `add_operator`."""
        async with self._transaction() as connection:
            await register_key(connection, login, key_id, public_b64)

    async def grant_genesis(self, run_id: str, payload: str) -> bool:
        """Give the one genesis grant if the audit log is empty and none was ever given. True: given now."""
        async with self._transaction() as connection:
            await connection.execute("LOCK TABLE audit_head IN SHARE ROW EXCLUSIVE MODE")
            return bool(await connection.fetchval(_GENESIS, run_id, payload))

    async def add_operator(
        self,
        recorder: Recorder,
        *,
        login: str,
        person_id: str,
        role: Role,
        key_id: str,
        public_b64: str,
        password: str,
        expires_at: datetime | None = None,
        event_id: str,
    ) -> Entry:
        """Make a person's login with one role and one key, and audit it. A known login gets this role, key
        and password instead of its former ones.

        Raises:
            Refused: MALFORMED name or person; DENIED, where the login is another person's, or a role of the
                server that the cockpit did not make.
        """
        check_login_name(login)
        if not 0 < len(person_id) <= 128 or not person_id.isprintable():
            raise Refused(
                Code.MALFORMED, "The person's id is empty, too long or unprintable.", "Use person:NAME."
            )
        async with self._transaction() as connection:
            await may_take(connection, login, person_id)
            await make_login(connection, login, password, TERMS[role])
            await connection.execute(
                "INSERT INTO operators (login, person_id) VALUES ($1, $2)"
                " ON CONFLICT (login) DO UPDATE SET revoked_at = NULL",
                login,
                person_id,
            )
            await end_grants(connection, login)
            await connection.execute(
                "INSERT INTO role_grants (login, role, expires_at) VALUES ($1, $2, $3)",
                login,
                role.value,
                expires_at,
            )
            await connection.execute(
                "UPDATE signing_keys SET revoked_at = clock_timestamp()"
                " WHERE login = $1 AND key_id <> $2 AND revoked_at IS NULL",
                login,
                key_id,
            )
            await register_key(connection, login, key_id, public_b64)
            details = {
                "login": login,
                "person_id": person_id,
                "role": role.value,
                "key_id": key_id,
                "public_key": public_b64,
                "expires_at": expires_at,
            }
            return await _audit(connection, recorder, event_id, Action.OPERATOR_ADDED, login, details)

    async def revoke(self, recorder: Recorder, *, login: str, event_id: str) -> Entry:
        """End a person's login at once: grants, keys, sessions, and the right to connect. Its rows stay.

        Raises:
            Refused: UNKNOWN, no operator has this login.
        """
        async with self._transaction() as connection:
            done = await connection.execute(
                "UPDATE operators SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE login = $1",
                login,
            )
            if done == "UPDATE 0":
                raise Refused(
                    Code.UNKNOWN, f"No operator has the login {login[:40]!r}.", "See `cockpit doctor`."
                )
            await end_grants(connection, login)
            await connection.execute(
                "UPDATE signing_keys SET revoked_at = clock_timestamp()"
                " WHERE login = $1 AND revoked_at IS NULL",
                login,
            )
            statement = await connection.fetchval(
                "SELECT format('ALTER ROLE %I NOLOGIN PASSWORD NULL', rolname)"
                " FROM pg_roles WHERE rolname = $1",
                login,
            )
            if statement is not None:
                await connection.execute(statement)
            entry = await _audit(
                connection, recorder, event_id, Action.OPERATOR_REVOKED, login, {"login": login}
            )
        async with self._session.use() as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", login
            )
        return entry

    async def record(self, entry: NewEntry) -> Entry:
        async with self._transaction() as connection:
            return await append(connection, entry)

    async def facts(self) -> Sequence[Fact]:
        async with self._session.use() as connection:
            return await read_facts(connection)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        async with self._session.use() as connection, connection.transaction():
            yield connection


async def _audit(
    connection: Any,
    recorder: Recorder,
    event_id: str,
    action: Action,
    target: str,
    details: Mapping[str, object],
) -> Entry:
    return await append(
        connection,
        recorded(
            recorder,
            event_id=event_id,
            action=action,
            user_id="owner",
            role="owner",
            target=f"login:{target}",
            details=details,
        ),
    )
