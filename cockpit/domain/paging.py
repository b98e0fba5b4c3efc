"""How pages of incidents stand on their way to the receivers. Times are the database's, aware UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

OPEN_AGAIN: Final = "open_again"
"""Among the details of a page: the incident is not new, what was acknowledged is an alarm once more."""


@dataclass(frozen=True, slots=True)
class PageRow:
    """One delivery that is under way or failed: of an incident's page to one receiver."""

    incident_id: str | None
    event: str  # trigger, acknowledge, resolve
    severity: str
    title: str
    receiver: str
    attempts: int
    created_at: datetime
    next_attempt_at: datetime
    last_error: str
    given_up: bool
    page: int = 0  # its number, which all its deliveries share


@dataclass(frozen=True, slots=True)
class Paging:
    """How paging stands. `age_s`: since the pager's last sign of life (None: never); `receivers` are those
    that it has, none where paging is off; `waiting` pages are not at every receiver, `failed` deliveries
    were given up or tried more than once; `rows` are the oldest of both. `delivered` maps incidents of the
    last hour to when their trigger first reached a receiver."""

    age_s: float | None
    alive: bool
    receivers: tuple[str, ...]
    waiting: int
    failed: int
    rows: tuple[PageRow, ...] = ()
    delivered: Mapping[str, datetime] = field(default_factory=dict)
    faults: tuple[str, ...] = ()  # what the living pagers say is wrong with their settings


@dataclass(frozen=True, slots=True)
class TripPage:
    """What became of the page of one trip of the last hour. `event_id` is the trip's, `receivers` those that
    have it; `waiting` are those that do not yet. `unsent` says why nobody is paged, "" where somebody is.
    `queued` False: the incident is there, its page is not. `joined`: the incident was under way already; what
    is said is its newest page. `older`: that page was made before the trip, or there is none, so that nobody
    was paged for the trip itself."""

    event_id: str
    incident_id: str
    queued: bool
    unsent: str
    receivers: tuple[str, ...]
    waiting: tuple[str, ...]
    attempts: int
    last_error: str
    delivered_at: datetime | None
    joined: bool = False
    older: bool = False
