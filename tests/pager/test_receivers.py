"""What each kind of receiver is sent: its own words, bounds and rules."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backends.paging_receivers import (
    Alertmanager,
    Page,
    PagerDuty,
    Receiver,
    Slack,
    Webhook,
    alert_labels,
    harmless,
)
from cockpit.domain.paging import OPEN_AGAIN

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = "0123456789abcdef0123456789abcdef"
URL = "https://hooks.example/services/T0/B0/s3cr3t-token"
PAGE = Page(
    7, 2, False, "incident:41", "0b0f5b4c-5d0f-4f5e-8a39-0d5a1d0b8e11", "trigger", "P0", "Feed is silent",
    NOW - timedelta(minutes=3), NOW - timedelta(minutes=4), "open", "data_quality", "instrument:BTC-USD",
    details={"run": "r-1"},
)  # fmt: skip
EVERY: tuple[Receiver, ...] = (PagerDuty(URL, KEY), Slack(URL), Webhook(URL), Alertmanager(URL))


def body(receiver: Receiver, page: Page) -> dict[str, object]:
    found: dict[str, object] = json.loads(receiver.message(page, NOW).body)
    return found


@pytest.mark.parametrize(
    ("severity", "word"), [("P0", "critical"), ("P1", "error"), ("P2", "warning"), ("P3", "info")]
)
def test_pagerduty_is_triggered_in_its_own_words(severity: str, word: str) -> None:
    event = body(PagerDuty(URL, KEY, "cockpit live"), replace(PAGE, severity=severity))
    payload = event.pop("payload")
    assert event == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "incident:41",
        "client": "cockpit",
    }
    assert isinstance(payload, dict)
    assert (payload["severity"], payload["source"]) == (word, "cockpit live")
    assert payload["summary"] == f"[{severity}] Feed is silent"
    assert payload["timestamp"] == "2026-03-01T11:56:00.000000Z"
    assert payload["custom_details"]["details"] == {"run": "r-1"}


def test_a_lapsed_acknowledgement_reads_like_no_new_incident() -> None:
    said = "acknowledgement of 0b0f5b4c by operator1 lapsed: Feed is silent"
    lapsed = replace(PAGE, title=said, details={OPEN_AGAIN: True})
    text = body(Slack(URL), lapsed)["text"]
    assert isinstance(text, str) and text.startswith(f"P0 (SEV1) OPEN AGAIN: {said} · ")
    assert "INCIDENT" in str(body(Slack(URL), PAGE)["text"])
    assert "OPEN AGAIN" not in str(body(Slack(URL), replace(lapsed, event="resolve"))["text"])
    event = body(PagerDuty(URL, KEY), lapsed)
    payload = event["payload"]
    assert isinstance(payload, dict) and payload["summary"] == f"[P0] {said}"
    assert event["dedup_key"] == body(Webhook(URL), lapsed)["dedup_key"] == PAGE.key


@pytest.mark.parametrize("event", ["acknowledge", "resolve"])
def test_pagerduty_needs_but_the_key_for_the_rest(event: str) -> None:
    assert body(PagerDuty(URL, KEY), replace(PAGE, event=event)) == {
        "routing_key": KEY,
        "event_action": event,
        "dedup_key": "incident:41",
    }


def test_pagerdutys_bounds_are_kept() -> None:
    long = replace(PAGE, key="k" * 300, title="t" * 3_000, details={"rows": ["x" * 1_000] * 600})
    message = PagerDuty(URL, KEY).message(long, NOW)
    event = json.loads(message.body)
    assert len(message.body) < 512_000
    assert len(event["payload"]["summary"]) == 1_024
    assert event["payload"]["custom_details"]["details"] == {"left_out": "602410 characters"}
    assert len(event["dedup_key"]) <= 255
    resolved = PagerDuty(URL, KEY).message(replace(long, event="resolve"), NOW)
    assert json.loads(resolved.body)["dedup_key"] == event["dedup_key"]  # still one key for all of them


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("<!here> now", "&lt;!here&gt; now"),
        ("<@U123|you>", "&lt;@\u200bU123|you&gt;"),
        ("@channel @here", "@\u200bchannel @\u200bhere"),
        ("<https://x.example|click>", "&lt;https:\u200b//x.example|click&gt;"),
        ("[click](http://x.example)", "[click]\u200b(http:\u200b//x.example)"),
        ("www.x.example", "w\u200bww.x.example"),
        ("`code`", "`\u200bcode`\u200b"),
        ("up\x1b[31m\u202eside", "up\ufffd[31m\ufffdside"),
        ("&lt;!here&gt;", "&amp;lt;!here&amp;gt;"),
    ],
)
def test_outside_text_mentions_and_links_nothing(text: str, shown: str) -> None:
    assert harmless(text) == shown  # I26
    sent = body(Slack(URL), replace(PAGE, title=text))
    assert shown in str(sent["text"])
    assert (sent["mrkdwn"], sent["link_names"], sent["unfurl_links"], sent["parse"]) == (
        False,
        False,
        False,
        "none",
    )


def test_slack_reads_what_happened() -> None:
    assert str(body(Slack(URL), PAGE)["text"]).startswith(
        "P0 (SEV1) INCIDENT: Feed is silent · instrument:BTC-USD"
    )
    told = body(Slack(URL), replace(PAGE, event="acknowledge", acknowledged_by="operator1"))["text"]
    assert "ACKNOWLEDGED: Feed is silent" in str(told)
    assert "by operator1" in str(told)
    assert "RESOLVED" in str(body(Slack(URL), replace(PAGE, event="resolve"))["text"])


def test_a_webhook_gets_everything_and_a_key_for_each_page() -> None:
    first = Webhook(URL).message(PAGE, NOW)
    again = Webhook(URL).message(replace(PAGE, attempt=3), NOW)
    other = Webhook(URL).message(replace(PAGE, outbox_id=8), NOW)
    keys = [each.headers["idempotency-key"] for each in (first, again, other)]
    assert keys[0] == keys[1] != keys[2]
    fields = json.loads(first.body)
    assert (fields["event"], fields["dedup_key"], fields["page"], fields["attempt"]) == (
        "trigger",
        "incident:41",
        7,
        2,
    )
    assert (fields["severity"], fields["sev"], fields["opened_at"]) == (
        "P0",
        "SEV1",
        "2026-03-01T11:56:00.000000Z",
    )


def test_an_alert_lives_until_it_is_told_to_end() -> None:
    (alive,) = json.loads(Alertmanager("http://a").message(PAGE, NOW).body)
    assert "endsAt" not in alive
    assert alive["labels"] == {
        "alertname": "CockpitIncident",
        "incident": "incident:41",
        "severity": "critical",
        "priority": "P0",
        "source": "cockpit",
        "breaker_id": "instrument:BTC-USD",
    }
    (over,) = json.loads(Alertmanager("http://a").message(replace(PAGE, event="resolve"), NOW).body)
    assert (over["labels"], over["endsAt"]) == (alive["labels"], "2026-03-01T12:00:00.000000Z")
    assert Alertmanager("http://a").message(PAGE, NOW).url == "http://a/api/v2/alerts"


def test_an_escalation_ends_the_alert_of_before() -> None:
    escalated = replace(PAGE, other_severities=("P1", "P2"))
    alive, *ended = json.loads(Alertmanager("http://a").message(escalated, NOW).body)
    assert (alive["labels"]["priority"], "endsAt" in alive) == ("P0", False)
    assert [(each["labels"]["priority"], "endsAt" in each) for each in ended] == [("P1", True), ("P2", True)]


def test_an_end_is_never_before_the_beginning() -> None:
    """The database's clock may be ahead of ours."""
    ahead = replace(PAGE, event="resolve", opened_at=NOW + timedelta(minutes=5))
    (over,) = json.loads(Alertmanager("http://a").message(ahead, NOW).body)
    assert over["endsAt"] == over["startsAt"]


def test_labels_of_an_incident_without_a_breaker() -> None:
    assert "breaker_id" not in alert_labels("incident:1", "P2", None)


def test_only_alertmanager_forgets() -> None:
    assert [each.name for each in EVERY if each.resend_s] == ["alertmanager"]


@pytest.mark.parametrize("receiver", EVERY, ids=lambda each: each.name)
def test_no_receiver_shows_its_secrets(receiver: Receiver) -> None:
    """# I27"""
    assert "s3cr3t" not in repr(receiver)
    assert KEY not in repr(receiver)
    message = receiver.message(PAGE, NOW)
    assert "s3cr3t" not in repr(message)
    assert KEY not in repr(message)
