"""What is sent to each kind of receiver. Pure: a page becomes a `Message`.

Texts of a page come from outside (titles, owners): where a receiver reads markup they are made harmless.
Sources: PagerDuty Events API v2; Slack incoming webhooks and message formatting; Alertmanager API v2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol
from uuid import NAMESPACE_URL, uuid5

from backends.paging_client import Message
from cockpit.domain.documents import rfc3339
from cockpit.domain.incidents import Severity
from cockpit.domain.paging import OPEN_AGAIN
from cockpit.domain.text import clean

PAGERDUTY: Final = "pagerduty"
SLACK: Final = "slack"
WEBHOOK: Final = "webhook"
ALERTMANAGER: Final = "alertmanager"
ALERT_NAME: Final = "CockpitIncident"
_MOST_SUMMARY: Final = 1_024
_MOST_TITLE: Final = 300
_MOST_DETAILS: Final = 65_536  # far under PagerDuty's 512 KB for a whole event
_PAGERDUTY_WORDS: Final = {"P0": "critical", "P1": "error", "P2": "warning", "P3": "info"}
_ALERT_WORDS: Final = {"P0": "critical", "P1": "critical", "P2": "warning", "P3": "info"}
_SLACK_WORDS: Final = {"trigger": "INCIDENT", "acknowledge": "ACKNOWLEDGED", "resolve": "RESOLVED"}
_APART: Final = "\N{ZERO WIDTH SPACE}"


@dataclass(frozen=True, slots=True)
class Page:
    """One thing to say of an incident. `event`: trigger, acknowledge or resolve. `key` is the incident's for
    all of its pages; `other_severities` those under which it was triggered before. `again`: nothing new, for
    a receiver that forgets."""

    outbox_id: int
    attempt: int
    again: bool
    key: str
    incident_id: str | None
    event: str
    severity: str
    title: str
    created_at: datetime
    opened_at: datetime
    status: str | None = None
    classification: str | None = None
    breaker_id: str | None = None
    owner: str | None = None
    acknowledged_by: str | None = None
    other_severities: tuple[str, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def idempotency_key(self) -> str:
        """The same at every attempt, another for every page."""
        return str(uuid5(NAMESPACE_URL, f"cockpit/{self.key}/{self.outbox_id}"))


class Receiver(Protocol):
    """`resend_s`: how often it must be told again that an incident is alive; None: it does not forget."""

    @property
    def name(self) -> str: ...
    @property
    def resend_s(self) -> float | None: ...
    def message(self, page: Page, now: datetime) -> Message: ...


@dataclass(frozen=True, slots=True)
class PagerDuty:
    """Events API v2: trigger, acknowledge and resolve under one dedup_key."""

    url: str = field(repr=False)
    routing_key: str = field(repr=False)
    source: str = "cockpit"
    name: str = PAGERDUTY
    resend_s: float | None = None

    def message(self, page: Page, now: datetime) -> Message:
        event: dict[str, object] = {
            "routing_key": self.routing_key,
            "event_action": page.event,
            "dedup_key": page.key if len(page.key) <= 255 else str(uuid5(NAMESPACE_URL, page.key)),
        }
        if page.event == "trigger":
            event["client"] = "cockpit"
            event["payload"] = {
                "summary": clean(f"[{page.severity}] {page.title}", _MOST_SUMMARY),
                "severity": _PAGERDUTY_WORDS[page.severity],
                "source": self.source,
                "timestamp": rfc3339(page.opened_at),
                "component": page.breaker_id or "platform",
                "class": page.classification or "other",
                "custom_details": {**_facts(page), "details": _details(page)},
            }
        return _message(self.url, event)


@dataclass(frozen=True, slots=True)
class Slack:
    """A webhook that takes Slack's messages: Slack, Mattermost, Rocket.Chat."""

    url: str = field(repr=False)
    name: str = SLACK
    resend_s: float | None = None

    def message(self, page: Page, now: datetime) -> Message:
        anew = page.event == "trigger" and page.details.get(OPEN_AGAIN) is True
        what = "OPEN AGAIN" if anew else _SLACK_WORDS[page.event]
        facts = [f"{page.severity} ({Severity(page.severity).sev}) {what}: {page.title}"]
        facts += [page.breaker_id or "", page.classification or ""]
        if page.event == "acknowledge" and page.acknowledged_by:
            facts.append(f"by {page.acknowledged_by}")
        facts += [f"opened {rfc3339(page.opened_at)}", page.incident_id or page.key]
        text = " · ".join(harmless(each) for each in facts if each)
        body = {"text": text, "mrkdwn": False, "link_names": False, "unfurl_links": False, "parse": "none"}
        return _message(self.url, body)


def harmless(text: str) -> str:
    """Text that mentions nobody and links nowhere. Slack takes only the escaped form for such; others that
    read its messages also take @here, bare addresses and Markdown, so these are broken up."""
    safe = clean(text, _MOST_TITLE)
    safe = safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in ("@", "://", "](", "www.", "`"):
        safe = safe.replace(mark, mark[0] + _APART + mark[1:])
    return safe


@dataclass(frozen=True, slots=True)
class Webhook:
    """Anything that takes JSON. `Idempotency-Key` is the same at every attempt for one page."""

    url: str = field(repr=False)
    name: str = WEBHOOK
    resend_s: float | None = None

    def message(self, page: Page, now: datetime) -> Message:
        body = {
            "version": 1,
            "event": page.event,
            "dedup_key": page.key,
            "page": page.outbox_id,
            "attempt": page.attempt,
            "created_at": rfc3339(page.created_at),
            **_facts(page),
            "details": _details(page),
        }
        headers = {"idempotency-key": page.idempotency_key}
        return _message(self.url, body, headers)


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """Alerts of API v2. It forgets an alert that is not told again (its resolve_timeout, 5 min unless set),
    so what is alive has no end and is told each minute; the end is told once. Labels are ids and words of
    ours; an escalation has other labels, so it ends the alert of the former severity in the same request."""

    url: str = field(repr=False)
    source: str = "cockpit"
    name: str = ALERTMANAGER
    resend_s: float | None = 60.0

    def message(self, page: Page, now: datetime) -> Message:
        over = page.event == "resolve"
        alerts = [self._alert(page, page.severity, now if over else None)]
        alerts += [self._alert(page, severity, now) for severity in page.other_severities]
        return _message(f"{self.url}/api/v2/alerts", alerts)

    def _alert(self, page: Page, severity: str, ends_at: datetime | None) -> Mapping[str, object]:
        alert: dict[str, object] = {
            "labels": alert_labels(page.key, severity, page.breaker_id, self.source),
            "annotations": {
                "summary": clean(f"[{severity}] {page.title}", _MOST_SUMMARY),
                **{name: str(value) for name, value in _facts(page).items() if value},
            },
            "startsAt": rfc3339(page.opened_at),
        }
        if ends_at is not None:
            alert["endsAt"] = rfc3339(max(ends_at, page.opened_at))
        return alert


def alert_labels(key: str, severity: str, breaker_id: str | None, source: str = "cockpit") -> dict[str, str]:
    """By which Alertmanager knows, routes and silences an incident."""
    labels = {
        "alertname": ALERT_NAME,
        "incident": clean(key, 200),
        "severity": _ALERT_WORDS[severity],
        "priority": severity,
        "source": source,
    }
    return labels | ({"breaker_id": clean(breaker_id, 100)} if breaker_id else {})


def _facts(page: Page) -> dict[str, object]:
    texts = {
        "incident_id": page.incident_id,
        "severity": page.severity,
        "sev": Severity(page.severity).sev,
        "title": page.title,
        "status": page.status,
        "classification": page.classification,
        "breaker_id": page.breaker_id,
        "owner": page.owner,
        "acknowledged_by": page.acknowledged_by,
    }
    facts: dict[str, object] = {
        name: clean(text, _MOST_TITLE) if text else text for name, text in texts.items()
    }
    return facts | {"opened_at": rfc3339(page.opened_at)}


def _details(page: Page) -> object:
    text = json.dumps(page.details)
    return page.details if len(text) <= _MOST_DETAILS else {"left_out": f"{len(text)} characters"}


def _message(url: str, body: object, headers: Mapping[str, str] | None = None) -> Message:
    return Message(url, json.dumps(body).encode(), dict(headers or {}))
