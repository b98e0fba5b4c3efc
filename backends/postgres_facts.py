"""What is reachable, permitted and unsafe about Postgres, for `cockpit doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final

from cockpit.domain.facts import Fact, bad, ok, warn

_SQL: Final = files("backends").joinpath("sql")
_SERVER: Final = _SQL.joinpath("facts.sql").read_text()
_DESK: Final = _SQL.joinpath("desk_facts.sql").read_text()
_SKEW_S: Final = 2.0


async def read_facts(connection: Any) -> tuple[Fact, ...]:
    """Facts of the server, then of the cockpit's own tables where they exist, as any login sees them."""
    server = await connection.fetchrow(_SERVER)
    facts = [*_server_facts(server), *_rights_facts(server)]
    if not server["schema_there"]:
        return (
            *facts,
            bad("postgres schema", "the cockpit's tables are missing", "The owner runs `cockpit init`."),
        )
    return (*facts, *_desk_facts(await connection.fetchrow(_DESK)))


def _server_facts(row: Mapping[str, Any]) -> list[Fact]:
    major = row["version"] // 10_000
    facts = [
        ok("postgres", f"PostgreSQL {row['version_text']} answers as {row['login']}")
        if major >= 14
        else bad(
            "postgres", f"PostgreSQL {row['version_text']} is too old", "Upgrade to PostgreSQL 14 or newer."
        )
    ]
    if row["standby"]:
        facts.append(
            bad(
                "postgres role",
                "this is a standby",
                "Point postgres_dsn at the primary (target_session_attrs).",
            )
        )
    for name in ("fsync", "full_page_writes"):
        if row[name] != "on":
            facts.append(
                bad(f"postgres {name}", "off: a crash may lose or tear audit rows", f"Set {name} = on.")
            )
    if row["synchronous_commit"] == "off":
        facts.append(
            bad(
                "postgres synchronous_commit",
                "off: an acknowledged row may be lost",
                "Set it to on or stricter.",
            )
        )
    skew = abs((datetime.now(UTC) - row["now"]).total_seconds())
    if skew > _SKEW_S:
        facts.append(
            warn("postgres clock", f"{skew:.1f} s off this machine's clock", "Let NTP set both clocks.")
        )
    if row["connections"] > 0.8 * row["max_connections"]:
        facts.append(
            warn(
                "postgres connections",
                f"{row['connections']} of {row['max_connections']} are in use",
                "Find who holds them in pg_stat_activity, or raise max_connections.",
            )
        )
    return facts


def _rights_facts(row: Mapping[str, Any]) -> list[Fact]:
    facts = []
    if row["public_temp"] or row["public_create"]:
        facts.append(
            bad("postgres PUBLIC", "every login may create tables here", "The owner repeats `cockpit init`.")
        )
    if row["public_elsewhere"]:
        facts.append(
            warn(
                "postgres other databases",
                "every login may connect to the database postgres and fill its disk",
                "REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC.",
            )
        )
    if row["disabled_triggers"]:
        names = ", ".join(row["disabled_triggers"])
        facts.append(
            bad(
                "postgres triggers",
                f"disabled: {names}",
                "Find out who did it, then verify the chain with --full.",
            )
        )
    if row["overreaching"]:
        names = ", ".join(row["overreaching"])
        facts.append(
            bad(
                "postgres rights",
                f"{names} can write what only the authority may",
                "The owner repeats `cockpit init`.",
            )
        )
    if row["superuser"]:
        facts.append(
            warn(
                "postgres login",
                f"{row['login']} is a superuser",
                "Use it for owner's work only, never day to day.",
            )
        )
    if not facts:
        facts.append(ok("postgres rights", "only the authority and the owner can write audit rows"))
    return facts


def _desk_facts(row: Mapping[str, Any]) -> list[Fact]:
    facts = []
    if (row["last_seq"] or 0) == row["head_seq"]:
        facts.append(ok("audit log", f"{row['head_seq']} entries, head in place"))
    else:
        facts.append(
            bad(
                "audit log",
                f"its head says {row['head_seq']} entries, the last one is {row['last_seq'] or 0}",
                "Run `cockpit audit verify --full`; resuming stays refused.",
            )
        )
    if row["admins"] < 2:
        held = "one person holds" if row["admins"] else "nobody holds"
        facts.append(
            warn(
                "operators",
                f"{held} safety-admin; a global resume needs two",
                "Add one with `cockpit admin add-operator`.",
            )
        )
    else:
        facts.append(ok("operators", f"{row['operators']} logins, {row['admins']} persons hold safety-admin"))
    if row["lease_alive"]:
        facts.append(ok("authority", f"acts, last seen {row['lease_age_s']:.1f} s ago"))
    else:
        seen = "never seen" if row["lease_age_s"] is None else f"last seen {row['lease_age_s']:.0f} s ago"
        facts.append(
            bad("authority", f"none acts ({seen}): trips work, nothing resumes", "Start `cockpit authority`.")
        )
    if row["waiting"]:
        facts.append(
            warn("inbox", f"{row['waiting']} requests wait for over 10 s", "Look at the authority's log.")
        )
    return facts
