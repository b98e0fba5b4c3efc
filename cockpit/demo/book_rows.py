"""The statements with which the plant's books are written, and their columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from cockpit.demo.market import LISTINGS
from cockpit.demo.orders import Order, Position
from cockpit.demo.reconciling import Run

ORDERS: Final = """
INSERT INTO recent_orders (order_id, symbol, strategy, side, quantity, price, status, reject_reason,
latency_ms,
                           slippage, paper, reduce_only, placed_at, updated_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::numeric[], $6::numeric[], $7::text[],
                     $8::text[], $9::float8[], $10::numeric[], $11::bool[], $12::bool[], $13::timestamptz[],
                     $14::timestamptz[])
ON CONFLICT (order_id) DO UPDATE
SET status = excluded.status, quantity = excluded.quantity, price = excluded.price,
    reject_reason = excluded.reject_reason, latency_ms = excluded.latency_ms, slippage = excluded.slippage,
    updated_at = excluded.updated_at
"""
POSITIONS: Final = """
INSERT INTO positions (symbol, quantity, avg_price, mark_price, max_quantity, updated_at)
SELECT *, clock_timestamp() FROM unnest($1::text[], $2::numeric[], $3::numeric[], $4::numeric[],
$5::numeric[]) ON CONFLICT (symbol) DO UPDATE SET quantity = excluded.quantity, avg_price =
excluded.avg_price, mark_price = excluded.mark_price,
    max_quantity = excluded.max_quantity, updated_at = excluded.updated_at
"""
AUTOMATIONS: Final = """
INSERT INTO automations (name, breaker_id, status, reason)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
ON CONFLICT (name) DO UPDATE
SET breaker_id = excluded.breaker_id, status = excluded.status, reason = excluded.reason,
    updated_at = clock_timestamp()
"""
SAMPLES: Final = """
INSERT INTO sli_samples (sli, good, total, value, observed_at)
SELECT * FROM unnest($1::text[], $2::numeric[], $3::numeric[], $4::float8[], $5::timestamptz[])
"""
RECONCILIATIONS: Final = """
INSERT INTO reconciliation_runs
       (kind, symbol, status, started_at, finished_at, mismatches, engine_seq, ledger_seq)
SELECT kind, symbol, status, started_at, clock_timestamp(), mismatches::jsonb, engine_seq, ledger_seq
  FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::bigint[], $7::bigint[])
    AS r (kind, symbol, status, started_at, mismatches, engine_seq, ledger_seq)
"""
QUALITY: Final = """
INSERT INTO quality_cycles (started_at, status, errors, stale_warnings, details)
VALUES ($1, $2, $3, $4, $5::jsonb)
"""
PRUNE: Final = """
DELETE FROM recent_orders WHERE order_id IN (
    SELECT order_id FROM recent_orders WHERE placed_at < clock_timestamp() - interval '2 hours'
       AND status NOT IN ('new', 'open') LIMIT 5000)
"""
LEFT_OVER: Final = """
UPDATE recent_orders SET status = 'cancelled', reject_reason = 'the plant restarted', updated_at =
clock_timestamp() WHERE status IN ('new', 'open')
"""


def columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


def run_row(run: Run) -> tuple[object, ...]:
    listed = json.dumps([each.fields() for each in run.items])
    verdict = run.verdict.value
    return run.kind.value, run.symbol, verdict, run.started_at, listed, run.engine_seq, run.ledger_seq


def order_columns(orders: Sequence[Order]) -> list[list[object]]:
    names = (
        "order_id symbol strategy side quantity price status reject_reason latency_ms slippage paper "
        "reduce_only placed_at updated_at"
    ).split()
    return columns([tuple(getattr(order, name) for name in names) for order in orders])


def position_columns(positions: Mapping[str, Position], marks: Mapping[str, Decimal]) -> list[list[object]]:
    return columns(
        [
            (
                position.symbol,
                position.quantity,
                position.avg_price,
                marks.get(position.symbol),
                LISTINGS[position.symbol].max_position,
            )
            for position in positions.values()
        ]
    )
