"""The commands, their options, and the parser. Only the parser of the command at hand is built."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from cockpit.cli import incident_options as incident
from cockpit.cli import options
from cockpit.cli import switch_options as switch
from cockpit.cli.answers import UsageFault
from cockpit.domain.text import clean

Parser = argparse.ArgumentParser
_VALUED: Final = ("--config", "--profile", "--login")


class HelpWanted(Exception):
    """`--help` or `--version`: not an error, and printed to stdout."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One command. `run` is `module:function` within this package; `changes`: it prints the contract's
    outcome object; `options` adds its own arguments."""

    help: str
    run: str
    options: Callable[[Parser], None]
    changes: bool = False


@dataclass(frozen=True, slots=True)
class Invocation:
    words: str
    command: CommandSpec
    options: argparse.Namespace


class _Parser(argparse.ArgumentParser):
    """argparse that raises instead of printing and exiting."""

    def error(self, message: str) -> NoReturn:
        raise UsageFault(f"{clean(message, 400)}; `{self.prog} --help` shows what would be right")

    def print_help(self, file: object = None) -> None:
        raise HelpWanted(self.format_help())


COMMANDS: Final[dict[str, CommandSpec]] = {
    "": CommandSpec("the screen", "services:screen", options.nothing),
    "demo": CommandSpec("embedded servers, a trading plant and the screen", "services:demo", options.demo),
    "init": CommandSpec("create or upgrade schema, rights and catalogue", "owner:init", options.nothing),
    "authority": CommandSpec("run the service that commits", "services:authority", options.nothing),
    "guard": CommandSpec("run the service that trips by rules", "services:guard", options.nothing),
    "exporter": CommandSpec("run the service that serves metrics", "services:exporter", options.exporter),
    "pager": CommandSpec("run the service that delivers pages", "paging:pager", options.nothing),
    "pages": CommandSpec("pages that wait or failed, and who is paged", "paging:pages", options.nothing),
    "pages retry": CommandSpec(
        "send again what was given up", "page_retries:retry", options.pages_retry, changes=True
    ),
    "silence list": CommandSpec("silences of alerts", "paging:silence_list", options.nothing),
    "silence add": CommandSpec(
        "keep alerts from people for a while", "paging:silence_add", options.silence_add, changes=True
    ),
    "silence expire": CommandSpec(
        "end a silence", "paging:silence_expire", options.silence_expire, changes=True
    ),
    "status": CommandSpec("every breaker, or one", "reading:status", options.optional_id),
    "history": CommandSpec("transitions, newest first", "reading:history", options.history),
    "trip": CommandSpec("halt: trip a breaker", "tripping:trip", options.trip, changes=True),
    "half-open": CommandSpec(
        "begin a resume: probes may run", "resuming:half_open", options.half_open, changes=True
    ),
    "probe": CommandSpec("run the probes of your half-open", "probing:probe", options.breaker, changes=True),
    "close": CommandSpec("end a resume whose probes passed", "resuming:close", options.close, changes=True),
    "approve": CommandSpec(
        "approve a second person's request", "resuming:approve", options.approve, changes=True
    ),
    "restore": CommandSpec("re-issue grants after a loss", "resuming:restore", options.restore, changes=True),
    "incident list": CommandSpec("unresolved incidents, worst first", "incidents:listing", incident.listing),
    "incident triage": CommandSpec("its first five minutes on one page", "triage:triage", incident.show),
    "incident show": CommandSpec("everything about one incident", "incidents:show", incident.show),
    "incident open": CommandSpec("open an incident", "incidents:opening", incident.opening, changes=True),
    "incident ack": CommandSpec(
        "acknowledge an incident", "incidents:acknowledge", incident.acknowledge, changes=True
    ),
    "incident note": CommandSpec("add to its story", "incidents:note", incident.note, changes=True),
    "incident assign": CommandSpec("make it a login's", "incidents:assign", incident.assign, changes=True),
    "incident classify": CommandSpec("say what it is", "incidents:classify", incident.classify, changes=True),
    "incident escalate": CommandSpec(
        "give it a higher severity", "incidents:escalate", incident.escalate, changes=True
    ),
    "incident snooze": CommandSpec("quiet it for a while", "incidents:snooze", incident.snooze, changes=True),
    "incident merge": CommandSpec(
        "make it part of another one", "incidents:merge", incident.merge, changes=True
    ),
    "incident link": CommandSpec(
        "link it to breakers and objectives", "incidents:link", incident.link, changes=True
    ),
    "incident resolve": CommandSpec(
        "end it, with its root cause", "incidents:resolve", incident.resolve, changes=True
    ),
    "incident told": CommandSpec(
        "tick off an audience that was told", "incidents:told", incident.told, changes=True
    ),
    "incident action": CommandSpec("add an action item", "incidents:action", incident.action, changes=True),
    "incident done": CommandSpec("tick off an action item", "incidents:done", incident.done, changes=True),
    "incident bundle": CommandSpec(
        "all records of an incident in one archive", "bundling:bundle", options.bundle
    ),
    "incident postmortem": CommandSpec(
        "a draft in Markdown from the timeline", "afterwards:postmortem", options.postmortem
    ),
    "handover": CommandSpec("what the next on-call must know", "afterwards:handover", options.handover),
    "kill-switch": CommandSpec(
        "halt everything, cancel all orders, flatten all positions",
        "killing:kill_switch",
        options.kill_switch,
        changes=True,
    ),
    "kill-switch status": CommandSpec(
        "kill switches that await their review", "killing:status", options.nothing
    ),
    "kill-switch review": CommandSpec(
        "a kill switch's review, which a second safety-admin approves",
        "killing:review",
        options.kill_review,
        changes=True,
    ),
    "cancel-all": CommandSpec(
        "cancel the open orders of one instrument", "killing:cancel_all", options.cancel_all, changes=True
    ),
    "mode": CommandSpec(
        "what passes of one instrument's orders", "switching:mode", switch.mode, changes=True
    ),
    "latch release": CommandSpec(
        "release an instrument's safety latch", "switching:latch_release", switch.latch_release, changes=True
    ),
    "withdrawals halt": CommandSpec(
        "halt withdrawals", "switching:withdrawals_halt", switch.withdrawals, changes=True
    ),
    "withdrawals resume": CommandSpec(
        "permit them again", "switching:withdrawals_resume", switch.withdrawals, changes=True
    ),
    "switches": CommandSpec("modes, latches, withdrawals", "switching:switches", options.nothing),
    "recon": CommandSpec("reconciliation, the worst line first", "reconciling:recon", options.recon),
    "limit": CommandSpec("cap the order size of a scope", "sizing:limit", options.limit, changes=True),
    "lift": CommandSpec("end such a cap", "sizing:lift", options.lift, changes=True),
    "slo": CommandSpec("objectives and error budgets, worst first", "slos:slo", options.slo),
    "slo exclude": CommandSpec(
        "leave an agreed stretch of time out of a budget", "slos:exclude", options.slo_exclude, changes=True
    ),
    "slo include": CommandSpec("take an exclusion back", "slos:include", options.slo_include, changes=True),
    "slo check": CommandSpec("validate the files of the objectives", "slos:check", options.slo_check),
    "triggers": CommandSpec("how near each automatic trigger is", "triggers:triggers", options.triggers),
    "triggers check": CommandSpec("validate a file of rules", "triggers:check", options.triggers_check),
    "audit verify": CommandSpec("verify the audit chain", "auditing:verify", options.verify),
    "audit tail": CommandSpec("the newest audit entries", "auditing:tail", options.tail),
    "audit export": CommandSpec("audit entries as JSON lines", "auditing:export", options.export),
    "audit reanchor": CommandSpec(
        "accept a damaged chain's head; takes two safety-admins",
        "auditing:reanchor",
        options.reanchor,
        changes=True,
    ),
    "admin add-operator": CommandSpec("register a login", "owner:add_operator", options.add_operator),
    "admin revoke": CommandSpec("revoke a login", "owner:revoke", options.revoke),
    "keygen": CommandSpec("make a signing key", "owner:keygen", options.keygen),
    "doctor": CommandSpec("what is reachable, permitted and unsafe", "owner:doctor", options.nothing),
    "info": CommandSpec("where files lie", "reading:info", options.nothing),
    "completion": CommandSpec(
        "a completion script for your shell", "completion:completion", options.completion
    ),
}
_GROUPS: Final = frozenset(words.split()[0] for words in COMMANDS if " " in words)


def parser_of(words: str) -> Parser:
    """The parser of one command; the global options may stand before or after the command's words."""
    spec = COMMANDS[words]
    more = [name for name in COMMANDS if words and name.startswith(f"{words} ")]
    parser = _Parser(
        prog=f"cockpit {words}".strip(),
        description=spec.help,
        epilog=f"See also: cockpit {', cockpit '.join(more)}." if more else None,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="settings instead of the default file")
    parser.add_argument("--profile", metavar="NAME", help="a [profiles.NAME] of the settings")
    parser.add_argument("--login", metavar="NAME", help="a [logins.NAME] of the settings")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    spec.options(parser)
    return parser


def parse(arguments: Sequence[str]) -> Invocation:
    """Find the command and parse its options.

    Raises:
        UsageFault: no such command, or arguments that it does not take.
        HelpWanted: the text to print instead.
    """
    if any("\0" in argument or _undecodable(argument) for argument in arguments):
        raise UsageFault("arguments: one of them is not valid UTF-8 text; write plain text")
    positions = list(_words(arguments))
    first = arguments[positions[0]] if positions else ""
    if not positions and any(argument in ("-h", "--help") for argument in arguments):
        raise HelpWanted(_overview())
    if not positions and "--version" in arguments:
        raise HelpWanted(_version())
    taken = positions[:2] if first in _GROUPS else positions[:1]
    words = " ".join(arguments[position] for position in taken)
    if words not in COMMANDS and first in COMMANDS:  # `slo` is a command too; what follows is its own
        taken, words = positions[:1], first
    if words not in COMMANDS:
        if words in _GROUPS and any(argument in ("-h", "--help") for argument in arguments):
            raise HelpWanted(_overview(f"{words} "))
        raise UsageFault(_no_such(words, first))
    rest = [argument for position, argument in enumerate(arguments) if position not in taken]
    try:
        chosen = parser_of(words).parse_args(rest)
    except (argparse.ArgumentError, ValueError, IndexError) as error:  # argparse itself fails on odd input
        raise UsageFault(
            f"arguments: {clean(str(error), 200)}; `cockpit {words} --help` shows them"
        ) from error
    return Invocation(words, COMMANDS[words], chosen)


def _undecodable(argument: str) -> bool:
    """Bytes that were no UTF-8 arrive as lone surrogates, which cannot be signed or stored."""
    return any("\ud800" <= char <= "\udfff" for char in argument)


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether JSON is asked for, known even where the arguments cannot be parsed."""
    ends = arguments.index("--") if "--" in arguments else len(arguments)
    return "--json" in arguments[:ends]


def _words(arguments: Sequence[str]) -> Iterator[int]:
    """Where the words that are no options stand, before any `--`."""
    skip = False
    for position, argument in enumerate(arguments):
        if argument == "--":
            return
        if skip:
            skip = False
        elif argument in _VALUED:
            skip = True
        elif not argument.startswith("-") and argument:
            yield position


def _no_such(words: str, first: str) -> str:
    from difflib import get_close_matches

    if first in _GROUPS:
        known = [name for name in COMMANDS if name.startswith(f"{first} ")]
        return f"command: {clean(words, 60)!r} is not complete or unknown; write {' or '.join(known)}"
    near = get_close_matches(words, [*filter(None, COMMANDS)], 1, 0.6)
    group = get_close_matches(first, _GROUPS, 1, 0.8)
    if words == first and group and f"{group[0]} list" in COMMANDS:
        near = [f"{group[0]} list"]  # by its letters `incidents` is nearer to `incident ack`
    hint = f"did you mean {near[0]}?" if near else "`cockpit --help` lists the commands"
    return f"command: no such command {clean(words, 60)!r}; {hint}"


def _overview(group: str = "") -> str:
    lines = [f"  {name:<20}{spec.help}" for name, spec in COMMANDS.items() if name and name.startswith(group)]
    return "\n".join(
        (
            "usage: cockpit [--config FILE] [--profile NAME] [--login NAME] [COMMAND] [--json]",
            "",
            "Without a command it opens the screen. `cockpit COMMAND --help` shows a command's options.",
            "",
            *lines,
            "",
            "Exit codes: 0 done, 1 internal error, 2 wrong input, 3 denied by role, 4 refused or awaiting a",
            "second person, 5 a store is unreachable (a trip is then pending), 6 verification failed.",
            "",
        )
    )


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"cockpit {version('ops-cockpit')} (Python {sys.version.split()[0]})\n"
    except PackageNotFoundError:
        return "cockpit, not installed\n"
