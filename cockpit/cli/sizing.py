"""`cockpit limit` and `cockpit lift`: caps on order size, which the gate enforces."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from cockpit.cli.answers import Answer
from cockpit.cli.resuming import decided, uuid_of
from cockpit.cli.wiring import must_acknowledge, settings_of
from cockpit.domain.adjustments import parse_share
from cockpit.domain.reasons import parse_reason
from cockpit.domain.text import justification
from cockpit.operations import resume

_LIFT: Final = re.compile(r"`(cockpit lift [0-9a-f-]{36})`")


def limit(options: argparse.Namespace) -> Answer:
    """Cap the size of every order of a scope, until somebody who may resume lifts it."""
    breaker_id = settings_of(options).catalogue.known_breaker(options.id)
    share, reason = parse_share(options.share), parse_reason(options.reason)
    notes = justification(options.notes)
    must_acknowledge(options, breaker_id, f"orders there are cut to {share} of their size")
    wish = resume.limit_wish(breaker_id, share, notes, reason.value)
    return _whole_command(decided(options, lambda ports: resume.ask(wish, ports, datetime.now(UTC))))


def _whole_command(answer: Answer) -> Answer:
    """`cockpit lift ID` alone is refused: people get the command with what it needs."""
    lines = tuple(_LIFT.sub(r"`\1 --notes … --yes`", line) for line in answer.lines)
    return replace(answer, lines=lines)


def lift(options: argparse.Namespace) -> Answer:
    """End a cap."""
    limit_id, notes = uuid_of(options.limit, "limit"), justification(options.notes)
    must_acknowledge(options, None, "orders of that scope get their whole size back")
    return decided(options, lambda ports: resume.lift(limit_id, notes, ports, datetime.now(UTC)))
