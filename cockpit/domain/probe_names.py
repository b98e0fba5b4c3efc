"""The probes there are. By themselves, since the settings name them on every command's way."""

from __future__ import annotations

from enum import StrEnum


class ProbeName(StrEnum):
    PAPER_ORDER = "paper-order"
    GATEWAY_HEALTH = "gateway-health"
    LATENCY = "latency"
    REDIS = "redis-round-trip"
    POSTGRES = "postgres-round-trip"
