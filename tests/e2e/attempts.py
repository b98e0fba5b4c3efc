"""What somebody tries with one of the six people's raw connections, to get a breaker looser than it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

BTC = "instrument:BTC-USD"
Command = Sequence[str | bytes | int | float]


def forged(document: bytes | None, **changes: object) -> bytes:
    """A document as the authority would write it, but for these fields."""
    fields = json.loads(document or b"{}") | changes
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def redis_attempts(
    name: str, open_document: bytes | None, old_grant: bytes | None, counter: int
) -> Iterator[Command]:
    """Commands against a breaker that is OPEN: its bytes now, the bytes of its last grant, its counter."""
    trip, document = f"trip:{name}", f"breaker:{name}"
    closed = forged(open_document or old_grant, state="CLOSED", epoch=counter)
    for value in (old_grant or b"{}", closed, b"CLOSED"):
        yield ("SET", document, value)
        yield ("SETRANGE", document, 0, value)
        yield ("GETSET", document, value)
    yield ("DEL", document)
    yield ("RENAME", "breaker:instrument:SOL-USD", document)
    yield ("COPY", "breaker:instrument:SOL-USD", document, "REPLACE")
    yield ("SET", trip, counter - 1)
    yield ("SET", trip, 1)
    yield ("DECR", trip)
    yield ("DECRBY", trip, 1)
    yield ("INCRBY", trip, -1)
    yield ("INCRBYFLOAT", trip, -1)
    yield ("DEL", trip)
    yield ("UNLINK", trip)
    yield ("GETDEL", trip)
    yield ("EXPIRE", trip, 0)
    yield ("RESTORE", trip, 0, b"x", "REPLACE")
    yield ("SET", "authority:term", 0)
    yield ("DEL", "authority:term")
    yield ("SET", "gate:ack:plant", b"{}")
    yield ("ZADD", "circuit_breaker:history", 1, b"{}")
    yield ("DEL", "circuit_breaker:events")
    yield ("EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", 1, document, closed)
    yield ("FUNCTION", "LOAD", "#!lua name=x\nredis.register_function('x', function() return 1 end)")
    yield ("SCRIPT", "FLUSH")
    yield ("FLUSHALL",)
    yield ("FLUSHDB",)
    yield ("SWAPDB", 0, 1)
    yield ("CONFIG", "SET", "appendonly", "no")
    yield ("DEBUG", "RELOAD")
    yield ("SHUTDOWN", "NOSAVE")
    yield ("REPLICAOF", "NO", "ONE")
    yield ("ACL", "SETUSER", "operator1", "allkeys", "+@all")
    yield ("ACL", "SETUSER", "default", "on", "nopass", "allkeys", "+@all")
    yield ("ACL", "GETUSER", "authority")
    yield ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    yield ("CLIENT", "PAUSE", 60_000)
    yield ("MONITOR",)
    yield ("KEYS", "*")
    yield ("GET", "authority:term")


POSTGRES: tuple[str, ...] = (
    "UPDATE breakers SET state = 'CLOSED', document = NULL",
    "INSERT INTO breakers (breaker_id, ancestors) VALUES ('instrument:X', '{}')",
    "UPDATE probe_runs SET status = 'passed', close_until = now() + interval '1 day'",
    "INSERT INTO commits SELECT * FROM commits",
    "UPDATE commits SET status = 'intent'",
    "DELETE FROM commits",
    "DELETE FROM reset_slots",
    "INSERT INTO approvals SELECT * FROM approvals",
    "UPDATE requests SET status = 'done'",
    "UPDATE requests SET login = 'admin2'",
    "DELETE FROM requests",
    "UPDATE role_grants SET role = 'safety-admin'",
    "INSERT INTO role_grants (login, role) VALUES (session_user, 'safety-admin')",
    "UPDATE operators SET person_id = 'someone'",
    "INSERT INTO signing_keys (key_id, login, public_key) VALUES ('0123456789abcdef', session_user, 'x')",
    "UPDATE signing_keys SET login = session_user",
    "UPDATE authority_lease SET expires_at = now(), term = term + 1",
    "DELETE FROM audit_log",
    "UPDATE audit_log SET user_id = 'nobody'",
    "INSERT INTO audit_log SELECT * FROM audit_log LIMIT 1",
    "UPDATE audit_head SET seq = 0",
    "TRUNCATE audit_log",
    "DELETE FROM audit_anchors",
    "UPDATE genesis SET used_at = NULL",
    "INSERT INTO genesis SELECT * FROM genesis",
    "UPDATE incidents SET status = 'acknowledged'",
    "UPDATE recent_orders SET status = 'filled'",
    "UPDATE positions SET quantity = 0",
    "INSERT INTO sli_samples (sli, good, total) VALUES ('order_success', 1000000, 1000000)",
    "UPDATE sli_samples SET good = total",
    "DELETE FROM sli_samples",
    "UPDATE sli_buckets SET good = total",
    "DELETE FROM sli_buckets",
    "INSERT INTO slo_exclusions SELECT * FROM slo_exclusions",
    "INSERT INTO slo_exclusions (exclusion_id, slo, from_at, until_at, notes, login, person_id, approved_by,"
    " audit_seq) VALUES (gen_random_uuid(), 'order-success', 'epoch', now(), 'x', 'a', 'a', 'b', 1)",
    "UPDATE slo_exclusions SET reverted_at = NULL",
    "DELETE FROM size_limits",
    "UPDATE size_limits SET lifted_at = now()",
    "DELETE FROM guard_lease",
    "UPDATE guard_lease SET term = term + 1",
    "INSERT INTO guard_firings SELECT * FROM guard_firings",
    "DELETE FROM guard_firings",
    "INSERT INTO outbox (dedup_key, severity, title) VALUES ('x', 'P0', 'x')",
    "DELETE FROM outbox",
    "UPDATE outbox SET delivered_at = now()",
    "ALTER TABLE sli_samples DISABLE TRIGGER ALL",
    "ALTER TABLE audit_log DISABLE TRIGGER ALL",
    "DROP TABLE audit_log",
    "CREATE TABLE mine (x int)",
    "CREATE TEMP TABLE mine (x int)",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SET ROLE cockpit_authority",
    "SET SESSION AUTHORIZATION authority",
    "SET session_replication_role = replica",
    "GRANT cockpit_authority TO session_user",
    "ALTER ROLE operator1 SUPERUSER",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'authority'",
    "COPY audit_log TO PROGRAM 'true'",
    "SELECT pg_read_file('postgresql.conf')",
    "SELECT lo_import('/etc/passwd')",
    "LOCK TABLE audit_head IN ACCESS EXCLUSIVE MODE",
    "SELECT * FROM authority_lease FOR UPDATE",
    "INSERT INTO requests (request_id, login, payload, key_id, signature)"
    " VALUES (gen_random_uuid(), 'admin2', '{}', 'k', 's')",
    "INSERT INTO requests (request_id, payload, key_id, signature, status)"
    " VALUES (gen_random_uuid(), '{}', 'k', 's', 'done')",
)
"""Each of these has to fail for every one of the six logins."""


def inbox_rows(login: str, name: str, epoch: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Rows that the inbox takes from anybody, `(request_id, payload)`, none of them signed by whom it
    names: the authority has to refuse every one."""
    for kind in "close half_open approve restore reanchor limit lift exclude include".split():
        for claimed in (login, "admin1"):
            request_id = str(uuid4())
            fields = {
                "v": 1,
                "kind": kind,
                "request_id": request_id,
                "breaker_id": name,
                "epoch": epoch,
                "login": claimed,
                "reason": "",
                "notes": "forged, for whoever reads it in the audit log",
                "checked": ["dashboards", "root-cause"],
                "target": None,
                "ttl_s": None,
                "requested_at": "2026-01-01T00:00:00.000000Z",
            }
            yield request_id, json.dumps(fields, sort_keys=True, separators=(",", ":"))
