"""`cockpit limit` and `cockpit lift`: caps on order size, which the gate enforces."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from cockpit.cli.answers import Answer
from cockpit.cli.resuming import decided, uuid_of
from cockpit.cli.wiring import must_acknowledge, settings_of
from cockpit.domain.adjustments import parse_share
from cockpit.domain.reasons import parse_reason
from cockpit.domain.text import justification
from cockpit.operations import resume


def limit(options: argparse.Namespace) -> Answer:
    """Cap the size of every order of a scope, until somebody who may resume lifts it."""
    breaker_id = settings_of(options).catalogue.known(options.id)
    share, reason = parse_share(options.share), parse_reason(options.reason)
    notes = justification(options.notes)
    must_acknowledge(options, breaker_id, f"orders there are cut to {share} of their size")
    wish = resume.limit_wish(breaker_id, share, notes, reason.value)
    return decided(options, lambda ports: resume.ask(wish, ports, datetime.now(UTC)))


def lift(options: argparse.Namespace) -> Answer:
    """End a cap."""
    limit_id, notes = uuid_of(options.limit, "limit"), justification(options.notes)
    must_acknowledge(options, None, "orders of that scope get their whole size back")
    return decided(options, lambda ports: resume.lift(limit_id, notes, ports, datetime.now(UTC)))
