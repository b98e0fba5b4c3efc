"""The owner's work in Redis: ACL users that survive a restart, and what `cockpit doctor` asks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit, urlunsplit

from redis.exceptions import RedisError, ResponseError

from backends.redis_acl import CHECKS, acl_rules
from backends.redis_connection import Line
from backends.redis_facts import StoreFacts, read_facts
from backends.redis_replies import (
    LEGACY_KEY,
    Reply,
    checked,
    counter_key,
    document_key,
    explained,
    info_fields,
    server_run_id,
)
from cockpit.domain.breakers import BreakerId
from cockpit.domain.permissions import Role, Service
from cockpit.domain.refusals import Code, Refused, StoreUnreachable
from cockpit.domain.text import clean

UserFound = Literal["kept", "mended", "missing"]
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_RESERVED: Final = frozenset({"default", "owner"})
_REPLICA: Final = re.compile(r"slave\d+")

# github.com/redis/redis/issues/14541, github.com/valkey-io/valkey/issues/3983. Trips use no transaction; the
# documents that a script writes are in one.
_TRANSACTIONS_KEPT_SINCE: Final = ("valkey", (9, 1, 2))
_LOST_TRANSACTIONS: Final = (
    "this server may drop transactions from its append-only file at a restart while the user default has no "
    "rights, and with them the last states: give it all rights and keep it off "
    "(ACL SETUSER default off resetpass ~* &* +@all, then ACL SAVE)"
)


@dataclass(frozen=True, slots=True)
class ReplicaFacts:
    """A replica as seen from here. `acl_equal` is None where it could not be asked; `why` then says why."""

    address: str
    acl_equal: bool | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class DoctorFacts:
    """`aclfile` is the server's path of it, "" where there is none. `faults` are lines for people: what is
    unsafe, each with its cause; empty where nothing is."""

    run_id: str
    store: StoreFacts
    aclfile: str
    default_off: bool
    users: tuple[str, ...]
    replicas: tuple[ReplicaFacts, ...]
    faults: tuple[str, ...]


class RedisAdmin:
    """Redis with the owner's login. Methods may raise `StoreUnreachable` and `Refused` (not the owner)."""

    def __init__(self, owner_url: str) -> None:
        self._line = Line(owner_url)
        self._owner_url = owner_url

    async def close(self) -> None:
        await self._line.close()

    async def set_user(self, name: str, kind: Role | Service, password: str) -> None:
        """Create or replace a user with exactly the rights of `kind`, and save it to the ACL file. Only the
        password's SHA-256 is sent.

        Raises:
            Refused: the name cannot be a login's, or the server keeps no ACL file (the user would be lost at
                its next restart).
        """
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise Refused(
                Code.MALFORMED,
                f"{clean(name, 40)!r} cannot be a login's name.",
                "Use 1 to 32 of a-z, 0-9, _ and -, beginning with a letter; not `owner` or `default`.",
            )
        known = await self._line.command("COMMAND", "INFO", "client|setinfo")
        digest = hashlib.sha256(password.encode()).hexdigest()
        rules = acl_rules(kind, setinfo=bool(known and known[0]))
        await self._line.command("ACL", "SETUSER", name, *rules, f"#{digest}")
        await self.save_users()

    async def mend_user(self, name: str, kind: Role | Service, password: str | None) -> UserFound:
        """Give a user the rights of `kind` again where they differ; its passwords stay. One that is gone is
        made again with `password`, where that is known (None: it is not)."""
        reply = await self._line.command("ACL", "GETUSER", name)
        if reply is None:
            if not password:
                return "missing"
            await self.set_user(name, kind, password)
            return "mended"
        if not await self.rights_faults(name, kind):
            return "kept"
        fields = dict(zip(reply[::2], reply[1::2], strict=False))
        digests = [f"#{digest.decode()}" for digest in fields.get(b"passwords", [])]
        known = await self._line.command("COMMAND", "INFO", "client|setinfo")
        rules = acl_rules(kind, setinfo=bool(known and known[0]))
        await self._line.command("ACL", "SETUSER", name, *rules, *digests)
        await self.save_users()
        return "mended"

    async def remove_user(self, name: str) -> bool:
        """Delete a user, which also ends its connections, and save. False where there was none.

        Raises:
            Refused: `owner` and `default` stay.
        """
        if name in _RESERVED:
            raise Refused(Code.MALFORMED, f"{name!r} is not a login of the cockpit.")
        removed = await self._line.command("ACL", "DELUSER", name)
        await self.save_users()
        return bool(removed)

    async def save_users(self) -> None:
        """
        Raises:
            Refused: the server has no ACL file, or cannot write it.
        """
        reply = (await self._line.exchange(("ACL", "SAVE")))[0]
        if isinstance(reply, ResponseError):
            raise Refused(
                Code.STORE,
                f"Redis cannot keep its users ({clean(str(reply), 120)}).",
                "Start it with `aclfile PATH` on a disk that it may write.",
            )
        checked(reply)

    async def users(self) -> Mapping[str, str]:
        """Every user's rules as `ACL LIST` prints them, password hashes left out."""
        return _users(await self._line.command("ACL", "LIST"))

    async def seed_counters(self, breaker_ids: Iterable[BreakerId]) -> tuple[BreakerId, ...]:
        """Give each breaker that has no counter its first epoch; returns those. It halts, like a missing one,
        until a document of that epoch says otherwise."""
        names = tuple(breaker_ids)
        replies = await self._line.exchange(*(("SET", counter_key(name), 1, "NX") for name in names))
        return tuple(name for name, reply in zip(names, replies, strict=True) if checked(reply) is not None)

    async def untouched(self, breaker_ids: Iterable[BreakerId]) -> bool:
        """Whether none of these breakers ever had a counter or a document here."""
        keys = [LEGACY_KEY]
        for name in breaker_ids:
            keys += (counter_key(name), document_key(name))
        return bool(await self._line.command("EXISTS", *keys) == 0)

    async def run_id(self) -> str:
        """The server's `run_id`, half of every epoch."""
        return server_run_id(await self._line.command("INFO", "server"))

    async def rights_faults(self, name: str, kind: Role | Service) -> tuple[str, ...]:
        """Where a user's rights differ from those of `kind`, one line for each command."""
        replies = await self._line.exchange(
            *(("ACL", "DRYRUN", name, *command) for command, _allowed in CHECKS)
        )
        lines = []
        for (command, allowed), reply in zip(CHECKS, replies, strict=True):
            if isinstance(reply, RedisError):
                if "not found" in str(reply):
                    return (f"Redis has no user {name}: run `cockpit init`, which mends that",)
                continue  # a command that this server does not know cannot be run by anyone
            if (reply == b"OK") != (kind in allowed):
                verb = "may not" if kind in allowed else "may"
                lines.append(f"{name} ({kind.value}) {verb} run {' '.join(command)}")
        return tuple(lines)

    async def doctor(self, expected: Mapping[str, Role | Service]) -> DoctorFacts:
        """What is unsafe about the server. `expected` are the logins that should exist, with their kinds."""
        replies = await self._line.exchange(
            ("INFO", "server", "persistence", "replication", "memory"),
            ("CONFIG", "GET", "appendfsync"),
            ("CONFIG", "GET", "aclfile"),
            ("ACL", "LIST"),
        )
        info = info_fields(checked(replies[0]))
        store = read_facts(info, checked(replies[1]))
        users = _users(checked(replies[3]))
        aclfile = _setting(checked(replies[2]))
        default_off = " off " in f" {users.get('default', '')} "
        replicas = [await self._replica(info[name], users) for name in info if _REPLICA.fullmatch(name)]
        faults = [*store.faults]
        if not aclfile:
            faults.append("aclfile is not set: users are lost at the next restart")
        if not default_off:
            faults.append("user default is on: anyone who reaches the port is let in")
        elif store.appendonly and not _keeps_transactions(store.version, users["default"]):
            faults.append(_LOST_TRANSACTIONS)
        faults += [f"user {name} is unknown to the cockpit" for name in sorted(_unknown(users, expected))]
        for name, kind in expected.items():
            faults += await self.rights_faults(name, kind)
        faults += [f"replica {item.address}: {item.why}" for item in replicas if not item.acl_equal]
        run_id = server_run_id(replies[0])
        return DoctorFacts(run_id, store, aclfile, default_off, tuple(users), tuple(replicas), tuple(faults))

    async def _replica(self, described: str, users: Mapping[str, str]) -> ReplicaFacts:
        """Ask a replica, with the same login, whether its users are the same: ACLs are not replicated."""
        fields = dict(part.partition("=")[::2] for part in described.split(","))
        address = clean(f"{fields.get('ip', '?')}:{fields.get('port', '?')}", 80)
        line = Line(_moved(self._owner_url, fields.get("ip", ""), fields.get("port", "")))
        try:
            theirs = _users(await line.command("ACL", "LIST"))
        except (Refused, StoreUnreachable) as error:
            return ReplicaFacts(address, None, f"its users could not be read ({error.refusal.message})")
        finally:
            await line.close()
        differing = sorted(name for name in {*users, *theirs} if users.get(name) != theirs.get(name))
        why = f"its ACL users differ: {', '.join(differing)}" if differing else ""
        return ReplicaFacts(address, not differing, why)


def _users(reply: Reply) -> dict[str, str]:
    """`ACL LIST` by user. A password is replaced by a digest of its digest: it can be compared, not used."""
    if not isinstance(reply, list):
        raise explained(ResponseError("ACL LIST answered nonsense"))
    users = {}
    for line in reply:
        words = line.decode("utf-8", "replace").split(" ")
        rules = [_blurred(word) for word in words[2:]]
        users[words[1]] = " ".join(rules)
    return users


def _blurred(word: str) -> str:
    return "#" + hashlib.sha256(word.encode()).hexdigest()[:12] if word.startswith("#") else word


def _keeps_transactions(version: str, default_rules: str) -> bool:
    """Whether the append-only file is read back whole: by a server without the fault, or because its user
    `default` (as which it is read) may do everything, which harms nothing while that user is off."""
    words = default_rules.split()
    if "~*" in words and "+@all" in words and not any(word.startswith("-") for word in words):
        return True
    name, _, number = version.partition(" ")
    kept_by, since = _TRANSACTIONS_KEPT_SINCE
    parts = tuple(int(part) for part in number.split(".") if part.isdigit())
    return name == kept_by and parts >= since


def _setting(reply: Reply) -> str:
    return clean(reply[1].decode("utf-8", "replace"), 200) if reply else ""


def _unknown(users: Mapping[str, str], expected: Mapping[str, object]) -> set[str]:
    return set(users) - set(expected) - _RESERVED


def _moved(url: str, host: str, port: str) -> str:
    """The same login and options on another host."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return urlunsplit(parts._replace(netloc=f"{login}@{where}" if login else where))
