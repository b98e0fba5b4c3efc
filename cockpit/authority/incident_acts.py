"""One change of an incident while it is made: what it knows, and what it leaves to be recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cockpit.authority.decisions import Asked
from cockpit.authority.incident_book import Held
from cockpit.authority.incident_recovery import UNASKED
from cockpit.authority.means import Means
from cockpit.authority.pages import Event
from cockpit.domain.commands import Command
from cockpit.domain.incident_requests import IncidentRequest
from cockpit.domain.incidents import Severity
from cockpit.domain.permissions import Identity, Role
from cockpit.domain.recovery import Broker
from cockpit.domain.refusals import Code, Refused

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Act:
    """One change under way, inside its transaction. `broker`: what the gateway said, for what may take
    recovery conditions away."""

    means: Means
    connection: Any
    asked: Asked
    command: Command
    identity: Identity
    request: IncidentRequest
    held: Held
    broker: Broker = UNASKED


@dataclass(frozen=True, slots=True)
class Said:
    """What is to be recorded. `elsewhere` are lines of other incidents' stories: id, kind, details. `role`:
    by which it was allowed, where that is not the one that handles incidents."""

    message: str
    kind: str
    details: Mapping[str, object]
    pages: Event | None = None
    severity: Severity | None = None
    role: Role | None = None
    elsewhere: tuple[tuple[str, str, Mapping[str, object]], ...] = field(default=())


def needed(value: T | None) -> T:
    """A field without which `parse_request` lets nothing pass."""
    if value is None:
        raise AssertionError("parse_request has let a request pass that lacks a field")
    return value


def no(fault: str | None, remedy: str) -> None:
    """
    Raises:
        Refused: there is a fault.
    """
    if fault is not None:
        raise Refused(Code.WRONG_STATE, f"{fault[0].upper()}{fault[1:]}.", remedy)
