"""Roles and what each may do. Source: the pause and resume runbook's RBAC matrix, with the runbooks'
permission names. The stores enforce the same matrix by their own rights; this one speaks first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from cockpit.domain.breakers import EXECUTION, GLOBAL, BreakerId, Scope, scope_of
from cockpit.domain.refusals import Code, Refusal


class Role(StrEnum):
    SAFETY_ADMIN = "safety-admin"
    OPERATOR_ACT = "operator-act"
    AUTOMATION_ROLE = "automation-role"
    MONITORING_READ = "monitoring-read"


class Service(StrEnum):
    """Logins that are no person's."""

    AUTHORITY = "authority"
    GATEWAY = "gateway"
    PAGER = "pager"


class Permission(StrEnum):
    TRIP_CIRCUIT = "TRIP_CIRCUIT"
    RESET_CIRCUIT = "RESET_CIRCUIT"  # half-open, probe run, close, approve
    ACK_INCIDENT = "ACK_INCIDENT"
    RESTORE = "RESTORE"
    REANCHOR = "REANCHOR"
    ADJUST_BUDGET = "ADJUST_BUDGET"  # agreed exclusions from an error budget
    KILL_SWITCH = "KILL_SWITCH"  # trip global, cancel all, flatten; and review it
    OVERRIDE = "admin:override"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who acts, as the stores say: never a name typed into a flag."""

    login: str
    person_id: str
    role: Role


@dataclass(frozen=True, slots=True)
class Grant:
    """One row of `role_grants`; valid from `granted_at` until the earlier of expiry and revocation."""

    login: str
    role: Role
    granted_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def valid(self, now: datetime) -> bool:
        ends = [moment for moment in (self.expires_at, self.revoked_at) if moment is not None]
        return self.granted_at <= now and all(now < end for end in ends)


_EVERY: Final = frozenset(Scope)
_BELOW_GLOBAL: Final = _EVERY - {Scope.GLOBAL, Scope.WITHDRAWALS}
_MACHINE: Final = frozenset({Scope.COMPONENT, Scope.INSTRUMENT, Scope.STRATEGY, Scope.LATCH})
_SCOPES: Final[dict[tuple[Role, Permission], frozenset[Scope]]] = {
    (Role.SAFETY_ADMIN, Permission.TRIP_CIRCUIT): _EVERY,
    (Role.SAFETY_ADMIN, Permission.RESET_CIRCUIT): _EVERY,
    (Role.SAFETY_ADMIN, Permission.RESTORE): _EVERY,
    (Role.SAFETY_ADMIN, Permission.OVERRIDE): _EVERY,
    (Role.SAFETY_ADMIN, Permission.ACK_INCIDENT): _EVERY,
    (Role.SAFETY_ADMIN, Permission.REANCHOR): _EVERY,
    (Role.SAFETY_ADMIN, Permission.ADJUST_BUDGET): _EVERY,
    (Role.SAFETY_ADMIN, Permission.KILL_SWITCH): frozenset({Scope.GLOBAL}),
    (Role.OPERATOR_ACT, Permission.TRIP_CIRCUIT): _BELOW_GLOBAL,
    (Role.OPERATOR_ACT, Permission.RESET_CIRCUIT): _BELOW_GLOBAL,
    (Role.OPERATOR_ACT, Permission.ACK_INCIDENT): _EVERY,
    (Role.AUTOMATION_ROLE, Permission.TRIP_CIRCUIT): _MACHINE,
}


def permitted(role: Role, permission: Permission, breaker_id: BreakerId) -> bool:
    """Whether `role` may do `permission` on this breaker."""
    if scope_of(breaker_id) not in _SCOPES.get((role, permission), frozenset()):
        return False
    if role is Role.AUTOMATION_ROLE and scope_of(breaker_id) is Scope.COMPONENT:
        return breaker_id == EXECUTION
    return True


def handles_incidents(roles: Iterable[str]) -> bool:
    """Whether a login that holds these roles may acknowledge an incident, and so have one given to it."""
    known = [role for role in Role if role.value in set(roles)]
    return any(permitted(role, Permission.ACK_INCIDENT, GLOBAL) for role in known)


def denial(identity: Identity, permission: Permission, breaker_id: BreakerId) -> Refusal | None:
    """None where permitted, else the refusal, which names the permission that is missing."""
    if permitted(identity.role, permission, breaker_id):
        return None
    people = set(Role) - {Role.AUTOMATION_ROLE}  # nobody can ask a machine
    able = sorted(role.value for role in people if permitted(role, permission, breaker_id))
    return Refusal(
        Code.DENIED,
        f"{identity.login} ({identity.role.value}) lacks {permission.value} on {breaker_id}.",
        f"{_who_may(able) if able else _where(permission)}; the attempt is recorded.",
    )


def _who_may(able: Sequence[str]) -> str:
    article = "an" if able[0][0] in "aeiou" else "a"
    return f"Ask {article} {' or '.join(able)}, or use a login of your own with that role"


def _where(permission: Permission) -> str:
    """Nobody may do it there: where somebody may."""
    scopes = {scope for (_, each), found in _SCOPES.items() if each is permission for scope in found}
    return f"No role has {permission.value} there, only on {', '.join(sorted(scopes)) or 'nothing'}"
