"""What the `incident` commands take."""

from __future__ import annotations

import argparse

from cockpit.domain.incidents import Classification

Parser = argparse.ArgumentParser


def which(parser: Parser) -> None:
    """Which incident: by the cockpit's id, or by a run's and its own there."""
    parser.add_argument(
        "incident", metavar="ID", nargs="?", help="its id, or 6 or more of its first digits (`incident list`)"
    )
    parser.add_argument("--run-id", metavar="RUN", help="with --incident-id: the run that reported it")
    parser.add_argument("--incident-id", metavar="ID", help="its id in that run's incident_events.jsonl")


def _notes(parser: Parser, what: str, required: bool = True) -> None:
    default = None if required else ""
    parser.add_argument("--notes", metavar="TEXT", required=required, default=default, help=what)


def _links(parser: Parser) -> None:
    parser.add_argument(
        "--breaker", metavar="ID", action="append", default=[], help="a breaker or switch; may be repeated"
    )
    parser.add_argument("--slo", metavar="NAME", action="append", default=[], help="may be repeated")


def listing(parser: Parser) -> None:
    parser.add_argument("words", metavar="WORDS", nargs="?", default="", help="in title, links, logins or id")
    parser.add_argument("--all", action="store_true", help="the resolved and merged ones too")
    parser.add_argument("--run-id", metavar="RUN", help="only what this run has reported")
    parser.add_argument("--count", metavar="N", default="200", help="how many of each at most (200)")


def show(parser: Parser) -> None:
    which(parser)


def opening(parser: Parser) -> None:
    parser.add_argument("--severity", metavar="P", required=True, help="P0 to P3, or SEV1 to SEV3")
    parser.add_argument("--classification", metavar="WORD", required=True, help=", ".join(Classification))
    parser.add_argument("--title", metavar="TEXT", required=True, help="one line, at most 200 characters")
    _links(parser)
    _notes(parser, "what is known, at most 500 characters", required=False)


def acknowledge(parser: Parser) -> None:
    which(parser)
    parser.add_argument("--ack-by", metavar="NAME", help=argparse.SUPPRESS)
    _notes(parser, "what is being done about it, 20 to 500 characters")


def note(parser: Parser) -> None:
    which(parser)
    _notes(parser, "what happened, at most 500 characters")


def assign(parser: Parser) -> None:
    which(parser)
    parser.add_argument("--to", metavar="LOGIN", required=True, help="who looks after it from now on")
    _notes(parser, "kept with it", required=False)


def classify(parser: Parser) -> None:
    which(parser)
    parser.add_argument("classification", metavar="WORD", help=", ".join(Classification))
    _notes(parser, "why, 20 to 500 characters")


def escalate(parser: Parser) -> None:
    which(parser)
    parser.add_argument(
        "--severity", metavar="P", required=True, help="a higher one; it is acknowledged anew"
    )
    _notes(parser, "why, 20 to 500 characters")


def snooze(parser: Parser) -> None:
    which(parser)
    parser.add_argument(
        "--until",
        metavar="T",
        required=True,
        help="30m, 2h, or a time such as 2026-01-31T13:00:00Z; at most 24 h, never a P0",
    )
    _notes(parser, "kept with it", required=False)


def merge(parser: Parser) -> None:
    which(parser)
    parser.add_argument("--into", metavar="ID", required=True, help="the incident that it is part of")
    _notes(parser, "why, 20 to 500 characters")


def link(parser: Parser) -> None:
    which(parser)
    _links(parser)
    _notes(parser, "kept with it", required=False)


def resolve(parser: Parser) -> None:
    which(parser)
    _notes(parser, "the root cause, 20 to 500 characters")


def told(parser: Parser) -> None:
    which(parser)
    parser.add_argument(
        "--audience", metavar="WHO", required=True, help="on-call, team, stakeholders or postmortem"
    )
    _notes(parser, "what they were told", required=False)


def action(parser: Parser) -> None:
    which(parser)
    parser.add_argument("--what", metavar="TEXT", required=True, help="what is to be done, one line")
    parser.add_argument("--owner", metavar="LOGIN", default="", help="who does it; you, without it")
    parser.add_argument("--due", metavar="T", help="by when, such as 2026-01-31T13:00:00Z")
    _notes(parser, "kept with it", required=False)


def done(parser: Parser) -> None:
    which(parser)
    parser.add_argument(
        "--action", metavar="ACTION", required=True, help="its id: `incident show` lists them"
    )
    _notes(parser, "kept with it", required=False)
