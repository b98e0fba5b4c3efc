"""Postgres as a cockpit's login sees it: the inbox, the desk's snapshot, the audit tables.

Three connections, opened at first use: one for reading, one for putting requests in (never behind a slow
read), one that only listens. Every method raises `StoreUnreachable` where Postgres gives no answer, and
`Refused` where it refuses the login.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final, Protocol
from uuid import UUID

from backends.audit_log import load_entries
from backends.desk_rows import DeskReader, anchor_of, order_filter, request_of, run_of
from backends.incident_store import IncidentStore
from backends.postgres_notices import Notices, heard_within
from backends.postgres_session import Session
from backends.triage_store import TriageStore
from cockpit.domain.audit import Entry
from cockpit.domain.breakers import BreakerId
from cockpit.domain.desk import AnchorRow, DeskSnapshot, RequestRow, RunRow
from cockpit.domain.documents import Epoch
from cockpit.domain.permissions import Identity, Role
from cockpit.domain.refusals import Code, Refused
from cockpit.domain.trading import OrderFigures, OverLimit

_SQL: Final = files("backends").joinpath("sql")
_DESK: Final = _SQL.joinpath("desk.sql").read_text()
_IDENTITY: Final = _SQL.joinpath("identity.sql").read_text()
_ORDER_FIGURES: Final = _SQL.joinpath("order_figures.sql").read_text()
_PROBE_RUN: Final = _SQL.joinpath("probe_run.sql").read_text()
POLL_S: Final = 0.1


class SignedBytes(Protocol):
    """Canonical bytes and the base64 signature over them: a signed command or probe result."""

    @property
    def payload(self) -> bytes: ...
    @property
    def key_id(self) -> str: ...
    @property
    def signature(self) -> str: ...


class PostgresStore(IncidentStore, TriageStore):
    """One login's view of Postgres. Safe to share between tasks."""

    def __init__(self, dsn: str, command_timeout_s: float = 5.0) -> None:
        self._reader = Session(dsn, command_timeout_s=command_timeout_s, application_name="cockpit read")
        self._writer = Session(dsn, command_timeout_s=command_timeout_s, application_name="cockpit write")
        self._notices = Notices(dsn, command_timeout_s=command_timeout_s)
        self._desk = DeskReader()

    async def connect(self) -> None:
        """Open the reading connection, so that a wrong login or address shows at once."""
        await self._reader.open()

    async def close(self) -> None:
        for connected in (self._notices, self._writer, self._reader):
            await connected.close()

    async def identity(self) -> Identity:
        """Who this login is and which role it holds at this moment, by the database's clock.

        Raises:
            Refused: REVOKED, where the login has no operator row or no grant that is valid now.
        """
        row = await self._row(_IDENTITY)
        if row["person_id"] is None:
            login = row["login"]
            remedy = "The owner registers logins with `cockpit admin add-operator`."
            raise Refused(Code.REVOKED, f"{login} holds no valid role: revoked, expired or unknown.", remedy)
        return Identity(row["login"], row["person_id"], Role(row["role"]))

    async def ping(self) -> float:
        """One round trip, in milliseconds."""
        async with self._reader.use() as connection:
            begin = time.perf_counter()
            await connection.fetchval("SELECT 1")
            return (time.perf_counter() - begin) * 1_000

    async def server_time(self) -> datetime:
        row = await self._row("SELECT clock_timestamp() AS now")
        now: datetime = row["now"]
        return now

    async def submit(self, signed: SignedBytes, request_id: str) -> None:
        """Put a signed request into the inbox. Safe to repeat with the same request.

        Raises:
            Refused: the login may not, its share of the inbox is full, or another request has this id.
        """
        text = signed.payload.decode()
        async with self._writer.use() as connection:
            done = await connection.execute(
                "INSERT INTO requests (request_id, payload, key_id, signature) VALUES ($1, $2, $3, $4)"
                " ON CONFLICT DO NOTHING",
                UUID(request_id),
                text,
                signed.key_id,
                signed.signature,
            )
            if done != "INSERT 0 0":
                return
            known = await connection.fetchval(
                "SELECT payload FROM requests WHERE request_id = $1", UUID(request_id)
            )
        if known != text:
            raise Refused(
                Code.MALFORMED, f"Another request has the id {request_id}.", "Ask again with a fresh id."
            )

    async def outcome(self, request_id: str) -> RequestRow:
        """The request as it stands.

        Raises:
            Refused: UNKNOWN, where the inbox holds none of that id.
        """
        async with self._reader.use() as connection:
            row = await connection.fetchrow("SELECT * FROM requests WHERE request_id = $1", UUID(request_id))
        if row is None:
            raise Refused(
                Code.UNKNOWN, f"The inbox holds no request {request_id}.", "It did not arrive; ask again."
            )
        return request_of(row)

    async def await_outcome(self, request_id: str, timeout_s: float) -> RequestRow:
        """Wait until the request is decided (or needs an approval); at `timeout_s` the row as it stands.

        Woken by a notice; looks by itself every 100 ms, since notices can be missed.
        """
        deadline = time.monotonic() + timeout_s
        with self._notices.decision(request_id) as woken:
            await self._notices.try_listening()
            while True:
                woken.clear()
                row = await self.outcome(request_id)
                left = deadline - time.monotonic()
                if row.status not in ("new", "committing") or left <= 0:
                    return row
                await heard_within(woken, min(POLL_S, left))

    async def wait_notice(self, timeout_s: float) -> bool:
        """True as soon as the authority says that something changed, or has said so since the last call;
        False after `timeout_s`, also while nobody can be heard."""
        return await self._notices.change(timeout_s)

    async def snapshot(self, audit_rows: int = 50) -> DeskSnapshot:
        """Everything that the screen shows from Postgres, in one round trip."""
        async with self._reader.use() as connection:
            begin = time.perf_counter()
            row = await connection.fetchrow(_DESK, audit_rows)
            latency_ms = (time.perf_counter() - begin) * 1_000
        return self._desk.snapshot(
            row, observed_at=datetime.now(UTC), monotonic=time.monotonic(), latency_ms=latency_ms
        )

    async def record_probe_result(
        self,
        run_id: str,
        ordinal: int,
        name: str,
        passed: bool,
        latency_ms: float,
        detail: str,
        signed: SignedBytes,
    ) -> None:
        """Add one attested result. Not repeated after an error: a duplicate would fail the run."""
        async with self._writer.use() as connection:
            await connection.execute(
                "INSERT INTO probe_results"
                " (run_id, ordinal, name, passed, latency_ms, detail, payload, key_id, signature)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                UUID(run_id),
                ordinal,
                name,
                passed,
                latency_ms,
                detail,
                signed.payload.decode(),
                signed.key_id,
                signed.signature,
            )

    async def probe_run(self, breaker_id: BreakerId, epoch: Epoch) -> RunRow | None:
        """The one run of this epoch, with its results so far; None where there is none."""
        async with self._reader.use() as connection:
            row = await connection.fetchrow(_PROBE_RUN, breaker_id, epoch.run_id, epoch.counter)
            if row is None:
                return None
            results = await connection.fetch(
                "SELECT * FROM probe_results WHERE run_id = $1 ORDER BY result_id LIMIT 100", row["run_id"]
            )
        return run_of({**row, "results": results})

    async def kill_reviewed(self, kill_id: str) -> bool:
        """Whether a kill switch is recorded and its review approved."""
        row = await self._row(
            "SELECT EXISTS (SELECT FROM kill_switches WHERE kill_id = $1 AND reviewed_at IS NOT NULL) AS yes",
            UUID(kill_id),
        )
        return bool(row["yes"])

    async def order_figures(self, breakers: Sequence[BreakerId], window_s: float) -> OrderFigures:
        """Orders placed in the last `window_s` seconds on these breakers; all, where one is global or a
        component (whatever stands below it may be concerned) or none is given."""
        symbols, strategies = order_filter(breakers)
        row = await self._row(_ORDER_FIGURES, window_s, symbols, strategies)
        return OrderFigures(row["orders"], row["rejected"], row["p95_ms"])

    async def open_criticals(self, window_s: float) -> Sequence[str]:
        """Titles of unacknowledged P0 and P1 incidents whose clock began in the last `window_s` seconds; a
        person's own trip is none."""
        rows = await self._rows(
            "SELECT title FROM incidents"
            " WHERE severity IN ('P0', 'P1') AND status = 'open' AND source NOT IN ('trip', 'override')"
            " AND alarm_at > statement_timestamp() - make_interval(secs => $1) ORDER BY alarm_at "
            "DESC LIMIT 20",
            window_s,
        )
        return [row["title"] for row in rows]

    async def positions_over(self) -> Sequence[OverLimit]:
        rows = await self._rows(
            "SELECT symbol, quantity, max_quantity FROM positions"
            " WHERE abs(quantity) > max_quantity OR max_quantity >= 'Infinity' ORDER BY symbol"
        )
        return [OverLimit(row["symbol"], row["quantity"], row["max_quantity"]) for row in rows]

    async def queue_length(self) -> int:
        """Requests that the authority has not decided and that wait for nobody else."""
        row = await self._row("SELECT count(*) AS n FROM requests WHERE status IN ('new', 'committing')")
        return int(row["n"])

    async def audit_entries(self, after_seq: int, limit: int) -> Sequence[Entry]:
        async with self._reader.use() as connection:
            return await load_entries(connection, after_seq, limit)

    async def audit_anchors(self) -> Sequence[AnchorRow]:
        return [anchor_of(row) for row in await self._rows("SELECT * FROM audit_anchors ORDER BY seq")]

    async def signing_keys(self) -> Mapping[str, bytes]:
        """Raw public keys by id, revoked ones too: what they signed before stays signed."""
        keys: dict[str, bytes] = {}
        for row in await self._rows("SELECT key_id, public_key FROM signing_keys"):
            try:
                keys[row["key_id"]] = base64.b64decode(row["public_key"], validate=True)
            except binascii.Error:
                continue  # a damaged row is no key; what it should verify then fails, and says so
        return keys

    async def _rows(self, query: str, *args: object) -> list[Any]:
        async with self._reader.use() as connection:
            rows: list[Any] = await connection.fetch(query, *args)
            return rows

    async def _row(self, query: str, *args: object) -> Any:
        return (await self._rows(query, *args))[0]
