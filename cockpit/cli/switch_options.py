"""What the commands of switches take: `mode`, `latch release`, `withdrawals`."""

from __future__ import annotations

import argparse

from cockpit.cli.options import yes
from cockpit.domain.modes import Mode

Parser = argparse.ArgumentParser


def mode(parser: Parser) -> None:
    _symbol(parser)
    parser.add_argument("mode", metavar="MODE", help=", ".join(mode.value for mode in Mode))
    _why(parser)
    _ticket(parser)
    yes(parser)


def latch_release(parser: Parser) -> None:
    _symbol(parser)
    _why(parser)
    yes(parser)


def withdrawals(parser: Parser) -> None:
    _why(parser)
    _ticket(parser)
    yes(parser)


def _symbol(parser: Parser) -> None:
    parser.add_argument("symbol", metavar="SYMBOL", help="an instrument, such as BTC-USD")


def _why(parser: Parser) -> None:
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why, 20 to 500 characters")


def _ticket(parser: Parser) -> None:
    parser.add_argument("--ticket", metavar="ID", required=True, help="the ticket that it belongs to")
