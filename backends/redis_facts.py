"""What a Redis server says about itself, as far as safety hangs on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from backends.redis_replies import Reply
from cockpit.domain.text import clean


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """`durable`: every write is on disk before it is acknowledged. `promoted`: this server was a replica once
    and may lack what its primary had acknowledged. `version` is `valkey 9.1.0` or `redis 7.0.15`."""

    version: str
    role: str
    appendonly: bool
    appendfsync: str
    aof_healthy: bool
    loading: bool
    promoted: bool
    replication_id: str
    replicas: int
    maxmemory_policy: str
    maxmemory_bytes: int
    used_memory_bytes: int
    uptime_s: int

    @property
    def durable(self) -> bool:
        return self.appendonly and self.appendfsync == "always" and self.aof_healthy

    @property
    def faults(self) -> tuple[str, ...]:
        """What is unsafe about it, one line each."""
        checks = (
            (self.role == "master", f"role is {self.role}: trips need the primary"),
            (self.appendonly, "appendonly is off: a restart loses every state"),
            (self.appendfsync == "always", f"appendfsync is {self.appendfsync}: a crash may lose trips"),
            (self.aof_healthy, "the last write of the append-only file failed: look at its disk"),
            (
                self.maxmemory_policy == "noeviction",
                f"maxmemory-policy is {self.maxmemory_policy}: keys may be evicted",
            ),
            (
                not self.maxmemory_bytes or self.used_memory_bytes < self.maxmemory_bytes,
                "its memory is full: trips are refused",
            ),
        )
        return tuple(line for holds, line in checks if not holds)


def read_facts(info: Mapping[str, str], appendfsync: Reply) -> StoreFacts:
    """From `INFO server persistence replication memory` and `CONFIG GET appendfsync`; what is missing or odd
    counts as unsafe."""
    name = "valkey" if "valkey_version" in info else "redis"
    configured = dict(zip(appendfsync[::2], appendfsync[1::2], strict=False)) if appendfsync else {}
    return StoreFacts(
        version=clean(f"{name} {info.get(f'{name}_version', '?')}", 40),
        role=clean(info.get("role", "unknown"), 20),
        appendonly=info.get("aof_enabled") == "1",
        appendfsync=clean(configured.get(b"appendfsync", b"unknown").decode("utf-8", "replace"), 20),
        aof_healthy=info.get("aof_last_write_status", "?") == "ok",
        loading=info.get("loading", "1") != "0",
        promoted=info.get("second_repl_offset", "?") != "-1",
        replication_id=clean(info.get("master_replid", ""), 64),
        replicas=_number(info.get("connected_slaves")),
        maxmemory_policy=clean(info.get("maxmemory_policy", "unknown"), 40),
        maxmemory_bytes=_number(info.get("maxmemory")),
        used_memory_bytes=_number(info.get("used_memory")),
        uptime_s=_number(info.get("uptime_in_seconds")),
    )


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdigit() else 0
