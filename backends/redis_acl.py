"""Who may do what in Redis: the ACL rules of each role and service, and what they must allow and deny.

Selectors (in brackets) tie a command to its keys; a flat rule would cross every command with every key.
`INCRBY` would permit to lower a counter, `+@connection` to kill other clients; nobody gets either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cockpit.domain.permissions import Role, Service

_SETINFO: Final = "+client|setinfo"  # not known to Redis 7.0; only clients' own names hang on it
_CONNECTION: Final = "+hello +auth +select +ping +multi +exec +time +role +info +acl|whoami " + _SETINFO
_READS: Final = (
    "%R~trip:* %R~breaker:* %R~circuit_breaker:* %R~gate:ack:* "
    "+get +mget +xread +xrange +xrevrange +zrevrange " + _CONNECTION
)
_EVENT: Final = "(+xadd ~circuit_breaker:events)"
_RULES: Final[dict[Role | Service, str]] = {
    Role.MONITORING_READ: _READS,
    Role.OPERATOR_ACT: (
        f"{_READS} (+incr ~trip:component:* ~trip:instrument:* ~trip:strategy:*"
        f" ~trip:cancel_only:* ~trip:soft_halt:* ~trip:hard_halt:* ~trip:latch:*) {_EVENT}"
    ),
    Role.AUTOMATION_ROLE: (
        f"{_READS} (+incr ~trip:component:execution ~trip:instrument:* ~trip:strategy:* ~trip:latch:*)"
        f" {_EVENT}"
    ),
    Role.SAFETY_ADMIN: f"{_READS} (+incr ~trip:*) {_EVENT} (+set ~circuit_breaker:state)",
    Service.GATEWAY: f"{_READS} (+set ~gate:ack:*)",
    Service.PAGER: _CONNECTION,  # its work lies in Postgres alone
    # A script's commands are checked one by one, its declared keys all together: hence the wide selector
    # that holds nothing but EVALSHA. DEL is for a stream that takes no entry any more.
    Service.AUTHORITY: (
        f"{_READS} %R~authority:term +script|load +config|get +xinfo|stream +xlen"
        " (+evalsha ~trip:* ~breaker:* ~circuit_breaker:* ~authority:term)"
        " (+incr +incrby ~trip:*) (+set ~breaker:* ~circuit_breaker:state ~authority:term)"
        " (+zadd ~circuit_breaker:history) (+xadd +del ~circuit_breaker:events)"
    ),
}


def acl_rules(kind: Role | Service, *, setinfo: bool = True) -> tuple[str, ...]:
    """The words for `ACL SETUSER`, without password. `setinfo` False for a server that does not know
    `CLIENT SETINFO`."""
    words: list[str] = ["reset", "on", "-@all"]
    inside = ""
    for word in _RULES[kind].split():
        inside = f"{inside} {word}".strip() if inside or word.startswith("(") else word
        if inside.startswith("(") and not inside.endswith(")"):
            continue
        words.append(inside)
        inside = ""
    return tuple(word for word in words if setinfo or word != _SETINFO)


Check = tuple[tuple[str, ...], frozenset[Role | Service]]
_A: Final = Role.SAFETY_ADMIN
_O: Final = Role.OPERATOR_ACT
_U: Final = Role.AUTOMATION_ROLE
_S: Final = Service.AUTHORITY
_G: Final = Service.GATEWAY
_ALL: Final = frozenset((*Role, *Service))
_READERS: Final = _ALL - {Service.PAGER}

CHECKS: Final[Sequence[Check]] = tuple(
    (tuple(command.split()), frozenset(allowed))
    for command, allowed in (
        ("INCR trip:global", (_A, _S)),
        ("INCR trip:component:execution", (_A, _O, _U, _S)),
        ("INCR trip:component:ingest", (_A, _O, _S)),
        ("INCR trip:instrument:BTC-USD", (_A, _O, _U, _S)),
        ("INCR trip:strategy:meanrev", (_A, _O, _U, _S)),
        ("INCR trip:cancel_only:BTC-USD", (_A, _O, _S)),
        ("INCR trip:soft_halt:BTC-USD", (_A, _O, _S)),
        ("INCR trip:hard_halt:BTC-USD", (_A, _O, _S)),
        ("INCR trip:latch:BTC-USD", (_A, _O, _U, _S)),
        ("INCR trip:withdrawals", (_A, _S)),
        ("INCR trip:withdrawals:BTC-USD", (_A, _S)),
        ("SET trip:withdrawals 1", ()),
        ("DECR trip:withdrawals", ()),
        ("DEL trip:latch:BTC-USD", ()),
        ("SET breaker:withdrawals x", (_S,)),
        ("SET breaker:hard_halt:BTC-USD x", (_S,)),
        ("INCR breaker:global", ()),
        ("INCR authority:term", ()),
        ("INCRBY trip:instrument:BTC-USD 5", (_S,)),
        ("DECR trip:instrument:BTC-USD", ()),
        ("DECRBY trip:instrument:BTC-USD 1", ()),
        ("INCRBYFLOAT trip:instrument:BTC-USD 1", ()),
        ("SET trip:instrument:BTC-USD 1", ()),
        ("SET breaker:instrument:BTC-USD x", (_S,)),
        ("SET circuit_breaker:state x", (_A, _S)),
        ("SET authority:term 1", (_S,)),
        ("SET gate:ack:plant x", (_G,)),
        ("SET other x", ()),
        ("GETSET breaker:global x", ()),
        ("GETDEL breaker:global", ()),
        ("GETEX breaker:global PERSIST", ()),
        ("APPEND breaker:global x", ()),
        ("SETRANGE breaker:global 0 x", ()),
        ("MSET breaker:global x", ()),
        ("DEL breaker:global", ()),
        ("DEL trip:global", ()),
        ("DEL circuit_breaker:state", ()),
        ("DEL circuit_breaker:events", (_S,)),
        ("UNLINK trip:global", ()),
        ("EXPIRE trip:global 1", ()),
        ("RENAME trip:global other", ()),
        ("COPY trip:global other", ()),
        ("RESTORE trip:global 0 x", ()),
        ("MOVE trip:global 1", ()),
        ("XADD circuit_breaker:events * a b", (_A, _O, _U, _S)),
        ("XADD other * a b", ()),
        ("XTRIM circuit_breaker:events MAXLEN 0", ()),
        ("XDEL circuit_breaker:events 1-1", ()),
        ("XSETID circuit_breaker:events 1-1", ()),
        ("XGROUP CREATE circuit_breaker:events g 0", ()),
        ("ZADD circuit_breaker:history 1 x", (_S,)),
        ("ZREM circuit_breaker:history x", ()),
        ("EVAL return(1) 0", ()),
        ("EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 1 trip:global", (_S,)),
        ("SCRIPT FLUSH", ()),
        ("FUNCTION FLUSH", ()),
        ("FLUSHALL", ()),
        ("FLUSHDB", ()),
        ("SWAPDB 0 1", ()),
        ("CONFIG SET appendfsync no", ()),
        ("CONFIG GET appendfsync", (_S,)),
        ("CLIENT KILL ID 1", ()),
        ("CLIENT PAUSE 1", ()),
        ("CLIENT LIST", ()),
        ("ACL SETUSER x", ()),
        ("ACL LIST", ()),
        ("ACL WHOAMI", _ALL),
        ("SHUTDOWN NOSAVE", ()),
        ("SLOWLOG RESET", ()),
        ("REPLICAOF NO ONE", ()),
        ("FAILOVER", ()),
        ("MONITOR", ()),
        ("KEYS *", ()),
        ("PUBLISH c x", ()),
        ("WAIT 1 1", ()),
        ("GET trip:global", _READERS),
        ("GET circuit_breaker:state", _READERS),
        ("GET gate:ack:plant", _READERS),
        ("GET authority:term", (_S,)),
        ("GET other", ()),
        ("XREVRANGE circuit_breaker:events + - COUNT 1", _READERS),
        ("ZREVRANGE circuit_breaker:history 0 1", _READERS),
        ("INFO server", _ALL),
        ("TIME", _ALL),
        ("ROLE", _ALL),
    )
)
"""Commands with those who may run them, for `cockpit doctor` (by ACL DRYRUN) and the tests (for real)."""
