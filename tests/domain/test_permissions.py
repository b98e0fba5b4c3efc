"""Who may do what: the whole matrix, cell by cell."""

from datetime import UTC, datetime, timedelta

import pytest

from cockpit.domain.breakers import BreakerId
from cockpit.domain.permissions import (
    Grant,
    Identity,
    Permission,
    Role,
    denial,
    handles_incidents,
    permitted,
)
from cockpit.domain.refusals import Code, Refusal, Refused

BREAKERS = ["global", "component:execution", "component:risk", "instrument:BTC-USD", "strategy:momentum"]
SWITCHES = ["cancel_only:BTC-USD", "soft_halt:BTC-USD", "hard_halt:BTC-USD", "latch:BTC-USD", "withdrawals"]
TRIP = {
    Role.SAFETY_ADMIN: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    Role.OPERATOR_ACT: [0, 1, 1, 1, 1, 1, 1, 1, 1, 0],
    Role.AUTOMATION_ROLE: [0, 1, 0, 1, 1, 0, 0, 0, 1, 0],
    Role.MONITORING_READ: [0] * 10,
}
RESET = {**TRIP, Role.AUTOMATION_ROLE: [0] * 10}
ADMIN_ONLY = {role: [int(role is Role.SAFETY_ADMIN)] * 10 for role in Role}
ACKNOWLEDGE = {role: [int(role in (Role.SAFETY_ADMIN, Role.OPERATOR_ACT))] * 10 for role in Role}
KILL = {role: [int(role is Role.SAFETY_ADMIN), *[0] * 9] for role in Role}
MATRIX = {
    Permission.TRIP_CIRCUIT: TRIP,
    Permission.RESET_CIRCUIT: RESET,
    Permission.RESTORE: ADMIN_ONLY,
    Permission.REANCHOR: ADMIN_ONLY,
    Permission.OVERRIDE: ADMIN_ONLY,
    Permission.ADJUST_BUDGET: ADMIN_ONLY,
    Permission.ACK_INCIDENT: ACKNOWLEDGE,
    Permission.KILL_SWITCH: KILL,
}


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("permission", list(Permission))
def test_the_matrix(role: Role, permission: Permission) -> None:  # I22
    found = [int(permitted(role, permission, BreakerId(name))) for name in (*BREAKERS, *SWITCHES)]
    assert found == MATRIX[permission][role]


def test_a_denial_names_the_permission_and_who_has_it() -> None:
    operator = Identity("operator1", "person:1", Role.OPERATOR_ACT)
    refusal = denial(operator, Permission.RESET_CIRCUIT, BreakerId("global"))
    assert refusal is not None
    assert refusal.exit_code == 3
    assert "operator1 (operator-act) lacks RESET_CIRCUIT on global" in str(refusal)
    assert "Ask a safety-admin" in refusal.remedy
    assert denial(operator, Permission.TRIP_CIRCUIT, BreakerId("component:risk")) is None


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("permission", list(Permission))
@pytest.mark.parametrize("name", [*BREAKERS, *SWITCHES])
def test_every_denial_names_somebody_or_says_where(role: Role, permission: Permission, name: str) -> None:
    refusal = denial(Identity("someone", "person:1", role), permission, BreakerId(name))
    if refusal is None:
        return
    assert " a ," not in refusal.remedy and "  " not in refusal.remedy
    if permission is Permission.KILL_SWITCH and name != "global":
        assert refusal.remedy == "No role has KILL_SWITCH there, only on global; the attempt is recorded."
    else:
        assert refusal.remedy.startswith("Ask a")


def test_a_grant_ends_at_the_earlier_of_expiry_and_revocation() -> None:  # I21
    now = datetime(2026, 1, 1, tzinfo=UTC)
    hour = timedelta(hours=1)
    assert Grant("a", Role.OPERATOR_ACT, now).valid(now)
    assert not Grant("a", Role.OPERATOR_ACT, now + hour).valid(now)
    assert not Grant("a", Role.OPERATOR_ACT, now - hour, expires_at=now).valid(now)
    assert not Grant("a", Role.OPERATOR_ACT, now - hour, revoked_at=now, expires_at=now + hour).valid(now)
    assert Grant("a", Role.OPERATOR_ACT, now - hour, now + hour, now + hour).valid(now)


@pytest.mark.parametrize("code", list(Code))
def test_every_refusal_has_an_exit_code_that_is_not_success(code: Code) -> None:
    expected = {
        "denied": 3,
        "revoked": 3,
        "bad-signature": 3,
        "malformed": 2,
        "unknown": 2,
        "store-unreachable": 5,
        "audit-broken": 6,
    }
    assert Refusal(code, "x", "y").exit_code == expected.get(code.value, 4)
    assert Refused(code, "No.", "Wait.").refusal.message == "No."
    assert str(Refused(code, "No.", "Wait.")) == "No. Wait."
    assert str(Refused(code, "No.")) == "No."


@pytest.mark.parametrize(
    ("roles", "may"),
    [
        (("safety-admin",), True),
        (("monitoring-read", "operator-act"), True),
        (("monitoring-read",), False),
        (("automation-role", "no such role"), False),
        ((), False),
    ],
)
def test_who_may_have_an_incident_given_to_them(roles: tuple[str, ...], may: bool) -> None:
    assert handles_incidents(roles) is may
