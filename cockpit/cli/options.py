"""What each command takes besides the global options."""

from __future__ import annotations

import argparse
from typing import Final

from cockpit.domain.reasons import Reason

Parser = argparse.ArgumentParser
LISTS: Final = ("breakers", "objectives", "rules")
"""What the completion scripts ask for, one name a line."""


def nothing(_: Parser) -> None:
    """No arguments of its own."""


def breaker(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", help="global, component:NAME, instrument:SYMBOL or strategy:NAME")


def optional_id(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", nargs="?", help="only this breaker")


def recon(parser: Parser) -> None:
    parser.add_argument(
        "symbol", metavar="SYMBOL", nargs="?", help="only this instrument, with its mismatches"
    )


def notes(parser: Parser) -> None:
    parser.add_argument("--notes", metavar="TEXT", required=True, help="why, 20 to 500 characters")


def yes(parser: Parser) -> None:
    parser.add_argument(
        "--yes", action="store_true", help="acknowledges it; stands for typing out global too"
    )


def reason(parser: Parser) -> None:
    parser.add_argument(
        "--reason", metavar="TOKEN", required=True, help=", ".join(reason.value for reason in Reason)
    )


def trip(parser: Parser) -> None:
    breaker(parser)
    reason(parser)
    notes(parser)
    parser.add_argument("--ttl", metavar="SECONDS", help="review due after this time; it closes nothing")
    yes(parser)


def half_open(parser: Parser) -> None:
    breaker(parser)
    notes(parser)
    parser.add_argument(
        "--checked", metavar="ITEMS", required=True, help="all, or the checklist items that you vouch for"
    )
    parser.add_argument(
        "--override",
        metavar="TEXT",
        help="a safety-admin's reason to resume in spite of spent or unknown error budgets",
    )
    yes(parser)


def close(parser: Parser) -> None:
    breaker(parser)
    notes(parser)
    yes(parser)


def approve(parser: Parser) -> None:
    parser.add_argument("request", metavar="REQUEST", help="the id that half-open printed")
    parser.add_argument("--notes", metavar="TEXT", default="", help="kept with the approval")
    yes(parser)


def restore(parser: Parser) -> None:
    parser.add_argument("--notes", metavar="TEXT", default="", help="kept with the restore")
    yes(parser)


def history(parser: Parser) -> None:
    optional_id(parser)
    parser.add_argument("--count", metavar="N", default="50", help="how many, newest first (50)")


def kill_switch(parser: Parser) -> None:
    parser.add_argument("--notes", metavar="TEXT", help="why, 20 to 500 characters")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the newest one that is not finished"
    )
    yes(parser)


def kill_review(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", help="the kill switch, as `cockpit kill-switch status` names it")
    notes(parser)
    yes(parser)


def cancel_all(parser: Parser) -> None:
    parser.add_argument("symbol", metavar="SYMBOL", help="the instrument, e.g. BTC-USD")
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why, 20 to 500 characters")
    parser.add_argument("--ticket", metavar="ID", required=True, help="the ticket that it is done under")
    yes(parser)


def verify(parser: Parser) -> None:
    parser.add_argument("--full", action="store_true", help="from the first entry, against every signed head")


def reanchor(parser: Parser) -> None:
    notes(parser)
    parser.add_argument(
        "--head",
        metavar="SEQ:HASH",
        help="the head that you accept; without it the one that a waiting request names, else the newest",
    )
    yes(parser)


def tail(parser: Parser) -> None:
    parser.add_argument("--count", metavar="N", default="20", help="how many entries (20)")


def export(parser: Parser) -> None:
    parser.add_argument("--after", metavar="SEQ", default="0", help="entries after this one (0: all)")
    parser.add_argument("--output", metavar="FILE", help="a new file, made 0600; stdout without it")


def add_operator(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="the new login")
    parser.add_argument(
        "--role", required=True, help="safety-admin, operator-act, automation-role or monitoring-read"
    )
    parser.add_argument("--person", metavar="ID", required=True, help="whose login it is")
    parser.add_argument("--public-key", metavar="FILE", required=True, help="what `cockpit keygen` printed")


def revoke(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="the login to revoke")


def keygen(parser: Parser) -> None:
    parser.add_argument("--output", metavar="FILE", help="the new private key; the login's own by default")


def slo(parser: Parser) -> None:
    parser.add_argument("objective", metavar="NAME", nargs="?", help="only this objective, in detail")


def slo_exclude(parser: Parser) -> None:
    parser.add_argument("objective", metavar="NAME", help="whose budget is adjusted")
    parser.add_argument(
        "--from", dest="from_at", metavar="T", required=True, help="start, such as 2026-01-31T13:00:00Z"
    )
    parser.add_argument("--until", dest="until_at", metavar="T", required=True, help="end, in the past")
    notes(parser)
    yes(parser)


def slo_include(parser: Parser) -> None:
    parser.add_argument("exclusion", metavar="EXCLUSION", help="its id: `cockpit slo NAME` shows it")
    notes(parser)
    yes(parser)


def slo_check(parser: Parser) -> None:
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", help="its files; those that the settings name without it"
    )


def triggers(parser: Parser) -> None:
    parser.add_argument("rule", metavar="RULE", nargs="?", help="only this rule, with its samples")


def triggers_check(parser: Parser) -> None:
    parser.add_argument(
        "file", metavar="FILE", nargs="?", help="the rules; those that the settings name without it"
    )


def limit(parser: Parser) -> None:
    breaker(parser)
    parser.add_argument(
        "--share", metavar="SHARE", required=True, help="of normal order size, such as 0.5 for a half"
    )
    reason(parser)
    notes(parser)
    yes(parser)


def lift(parser: Parser) -> None:
    parser.add_argument("limit", metavar="LIMIT", help="its id: `cockpit status` shows it")
    notes(parser)
    yes(parser)


def pages_retry(parser: Parser) -> None:
    parser.add_argument("page", metavar="PAGE", nargs="*", help="its number: `cockpit pages` shows it")
    parser.add_argument("--all", action="store_true", help="everything that was given up")
    parser.add_argument("--notes", metavar="TEXT", default="", help="kept with it")
    yes(parser)


def silence_add(parser: Parser) -> None:
    parser.add_argument(
        "--matcher",
        metavar="LABEL=VALUE",
        action="append",
        required=True,
        help="what it covers, such as breaker_id=instrument:BTC-USD; also !=, =~, !~; repeat it for several",
    )
    parser.add_argument("--minutes", metavar="N", required=True, help="how long, up to 1440 (24 hours)")
    notes(parser)
    yes(parser)


def silence_expire(parser: Parser) -> None:
    parser.add_argument("silence", metavar="SILENCE", help="its id: `cockpit silence list` shows it")
    notes(parser)
    yes(parser)


def exporter(parser: Parser) -> None:
    parser.add_argument("--port", metavar="N", help="instead of metrics_port of the settings (8503)")


def demo(parser: Parser) -> None:
    parser.add_argument("--headless", action="store_true", help="no screen; prints one JSON line when ready")
    parser.add_argument("--data-dir", metavar="DIR", help="where the demo keeps its data")


def completion(parser: Parser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish", *LISTS), metavar="bash|zsh|fish")


def bundle(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", help="the incident")
    parser.add_argument("--output", metavar="FILE", help="a new file; otherwise incident-ID.tar.gz here")


def postmortem(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", help="the incident")
    parser.add_argument("--output", metavar="FILE", help="a new file instead of stdout")


def handover(parser: Parser) -> None:
    parser.add_argument("--hours", metavar="N", default="12", help="how far back changes count, 1 to 168")
