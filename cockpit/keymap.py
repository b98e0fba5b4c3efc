"""The registry of keys: bindings, footer, help and the README's table are all drawn from it.

`python -m cockpit.keymap` prints the table in Markdown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from cockpit.incident_keymap import INCIDENT_CHANGES, INCIDENT_KEYS, MINUTES_KEYS, NEW_INCIDENT
from widgets.keys import DIALOG_KEYS, Key

# Caps Lock sends capitals: where a capital has no meaning of its own it means the small letter.
PANELS: Final = (
    Key("panel.overview", "1", "panel('overview')", "overview", "Panel: overview"),
    Key("panel.slos", "2", "panel('slos')", "SLOs", "Panel: SLOs and error budgets", footer=True),
    Key("panel.incidents", "3", "panel('incidents')", "incidents", "Panel: incidents", footer=True),
    Key(
        "panel.reconciliation",
        "4",
        "panel('reconciliation')",
        "recon",
        "Panel: reconciliation and safety latches",
        footer=True,
    ),
    Key("panel.audit", "5", "panel('audit')", "audit", "Panel: audit log", footer=True),
    Key("panel.triggers", "6", "panel('triggers')", "triggers", "Panel: automatic triggers", footer=True),
)
BREAKER_KEYS: Final = (
    Key(
        "trip",
        "t,T",
        "app.trip",
        "trip",
        "Trip: halt the breaker under the cursor at once",
        footer=True,
        tightens=True,
    ),
    Key(
        "half-open",
        "h,H",
        "app.half_open",
        "half-open",
        "Half-open: start to prove a resume; runs the probes",
        footer=True,
        loosens=True,
    ),
    Key("probe-run", "p,P", "app.probe_run", "probes", "Watch the breaker's last probe run", footer=True),
    Key(
        "close",
        "c,C",
        "app.close",
        "close",
        "Close after a passed probe run: quiet period, then trading",
        footer=True,
        loosens=True,
    ),
    Key(
        "verify-trip", "v,V", "app.verify_trip", "verify", "Verification panel of your last trip", footer=True
    ),
    Key("acknowledge", "a", "app.acknowledge", "ack", "Acknowledge an open incident", footer=True),
    Key(
        "halt-due",
        "b,B",
        "app.halt_due",
        "halt due",
        "Trip what a spent error budget asks for: opens filled in, you confirm it",
        footer=True,
        tightens=True,
    ),
    Key(
        "lift",
        "L,l",
        "app.lift",
        "lift",
        "Lift a size limit on the breaker's orders",
        footer=True,
        loosens=True,
    ),
    Key(
        "mode",
        "m,M",
        "app.mode",
        "mode",
        "Mode of the instrument: CANCEL_ONLY, SOFT_HALT, HARD_HALT, NORMAL",
        footer=True,
        tightens=True,
        loosens=True,
    ),
    Key(
        "cancel-all",
        "x,X",
        "app.cancel_all",
        "cancel all",
        "Cancel all orders of the instrument",
        footer=True,
        tightens=True,
    ),
    Key(
        "withdrawals",
        "w,W",
        "app.withdrawals",
        "withdrawals",
        "Halt withdrawals, or resume them",
        footer=True,
        tightens=True,
        loosens=True,
    ),
    Key(
        "approvals",
        "A",
        "app.approvals",
        "approvals",
        "Approve another person's request",
        footer=True,
        loosens=True,
    ),
    Key(
        "details",
        "enter",
        "app.details",
        "details",
        "Document, epoch and history of the breaker",
        footer=True,
    ),
    Key("filter", "slash", "filter", "filter", "Show only what contains the text", shown="/", footer=True),
)
SLO_KEYS: Final = (
    Key(
        "slo.trip",
        "t,T",
        "app.trip",
        "trip",
        "Trip the objective's breaker; opens filled in where its budget is RED",
        footer=True,
        tightens=True,
    ),
    Key(
        "slo.halt-due",
        "b,B",
        "app.halt_due",
        "halt due",
        "Trip what the worst spent error budget asks for",
        footer=True,
        tightens=True,
    ),
    Key(
        "slo.details",
        "enter",
        "app.details",
        "details",
        "Burn table, objective, query and file, exclusions",
        footer=True,
    ),
    Key(
        "slo.sort",
        "s,S",
        "sort",
        "sort",
        "Sort worst first; else the order holds while you read",
        footer=True,
    ),
    Key(
        "slo.exclude",
        "x,X",
        "app.exclude",
        "exclude",
        "Leave an agreed stretch of time out of the budget",
        footer=True,
        loosens=True,
    ),
    Key("slo.include", "u,U", "app.include", "undo", "Take an exclusion of the objective back", footer=True),
    Key(
        "slo.approvals",
        "A",
        "app.approvals",
        "approvals",
        "Approve another person's request",
        footer=True,
        loosens=True,
    ),
    Key(
        "slo.filter", "slash", "filter", "filter", "Show only what contains the text", shown="/", footer=True
    ),
)
TRIGGER_KEYS: Final = (
    Key(
        "trigger.trip",
        "t,T",
        "app.trip",
        "trip",
        "Trip what the rule is aimed at",
        footer=True,
        tightens=True,
    ),
    Key(
        "trigger.details",
        "enter",
        "app.details",
        "details",
        "The rule and the samples that it rests on",
        footer=True,
    ),
    Key(
        "trigger.sort",
        "s,S",
        "sort",
        "sort",
        "Sort nearest first; else the order holds while you read",
        footer=True,
    ),
    Key(
        "trigger.filter",
        "slash",
        "filter",
        "filter",
        "Show only what contains the text",
        shown="/",
        footer=True,
    ),
)
RECONCILIATION_KEYS: Final = (
    Key(
        "recon.release",
        "r,R",
        "app.release_latch",
        "release latch",
        "Release the instrument's safety latch, after two clean cycles",
        footer=True,
        loosens=True,
    ),
    Key("recon.trip", "t,T", "app.trip", "trip", "Trip the instrument", footer=True, tightens=True),
    Key(
        "recon.mode",
        "m,M",
        "app.mode",
        "mode",
        "Mode of the instrument",
        footer=True,
        tightens=True,
        loosens=True,
    ),
    Key(
        "recon.details",
        "enter",
        "app.details",
        "details",
        "Mismatched ids with both sides, sequence numbers, counts",
        footer=True,
    ),
    Key("recon.sort", "s,S", "sort", "sort", "Sort worst first; else the order holds", footer=True),
    Key(
        "recon.filter",
        "slash",
        "filter",
        "filter",
        "Show only what contains the text",
        shown="/",
        footer=True,
    ),
)
AUDIT_KEYS: Final = (
    Key(
        "audit.verify",
        "v,V",
        "app.verify_audit",
        "verify now",
        "Verify the audit chain: what is new since the last time",
        footer=True,
    ),
    Key(
        "audit.details",
        "enter",
        "app.details",
        "details",
        "The whole entry, its hashes and evidence",
        footer=True,
    ),
    Key(
        "audit.filter",
        "slash",
        "filter",
        "filter",
        "Show only what contains the text",
        shown="/",
        footer=True,
    ),
)
MOVE_KEYS: Final = (
    Key("move.down", "down,j,J", "move(1)", "down", "Next row", shown="j ↓"),
    Key("move.up", "up,k,K", "move(-1)", "up", "Previous row", shown="k ↑"),
    Key("move.page-down", "pagedown,ctrl+d", "page(1)", "page down", "A screen further", shown="pgdn"),
    Key("move.page-up", "pageup,ctrl+u", "page(-1)", "page up", "A screen back", shown="pgup"),
    Key("move.first", "home,g", "edge(-1)", "first", "First row", shown="home g"),
    Key("move.last", "end,G", "edge(1)", "last", "Last row", shown="end G"),
    Key("back", "escape", "back", "back", "Back: close the filter, the panel, the dialog", shown="esc"),
)
KILL: Final = Key(
    "kill",
    "ctrl+k",
    "kill",
    "KILL",
    "Kill switch: halt all trading, cancel every order, flatten every position",
    tightens=True,
)
APP_KEYS: Final = (
    KILL,
    Key("help", "question_mark", "help", "help", "This help", shown="?", footer=True),
    Key("palette", "ctrl+p", "command_palette", "palette", "Command palette"),
    Key("quit", "ctrl+q", "quit", "quit", "Quit", footer=True, priority=True),
    Key("copy-or-quit", "ctrl+c", "help_quit", "", "Only names ctrl+q"),
)
_FIRST: Final = Key("move.first", "home", "edge(-1)", "first", "First row")
_MOVES_BUT_G: Final = tuple(_FIRST if key.key_id == "move.first" else key for key in MOVE_KEYS)
OVERVIEW_KEYS: Final = (*BREAKER_KEYS, replace(NEW_INCIDENT, footer=False), *MOVE_KEYS)
AUDIT_SCREEN_KEYS: Final = (*AUDIT_KEYS, *MOVE_KEYS)
SLO_SCREEN_KEYS: Final = (*SLO_KEYS, *MOVE_KEYS)
TRIGGER_SCREEN_KEYS: Final = (*TRIGGER_KEYS, *MOVE_KEYS)
RECONCILIATION_SCREEN_KEYS: Final = (*RECONCILIATION_KEYS, *MOVE_KEYS)
INCIDENT_SCREEN_KEYS: Final = (*INCIDENT_KEYS, *_MOVES_BUT_G)
MINUTES_SCREEN_KEYS: Final = (*MINUTES_KEYS, *INCIDENT_CHANGES, *_MOVES_BUT_G)

SECTIONS: Final[tuple[tuple[str, tuple[Key, ...]], ...]] = (
    ("Panels", PANELS),
    ("Breakers", BREAKER_KEYS),
    ("SLO panel", SLO_KEYS),
    ("Trigger panel", TRIGGER_KEYS),
    ("Incident panel", INCIDENT_KEYS),
    ("First five minutes", MINUTES_KEYS),
    ("Reconciliation panel", RECONCILIATION_KEYS),
    ("Audit panel", AUDIT_KEYS),
    ("Moving", MOVE_KEYS),
    ("In a dialog", DIALOG_KEYS),
    ("Everywhere", APP_KEYS),
)
ALL: Final = tuple(key for _, keys in SECTIONS for key in keys)


def remapping_faults(keymap: Mapping[str, str]) -> list[str]:
    """What is wrong with `[keymap]`: unknown binding ids, two bindings of a screen on one key."""
    known = {key.key_id: key for key in ALL}
    faults = [
        f"keymap: no binding {name!r}; the ids are {', '.join(sorted(known))}"
        for name in keymap
        if name not in known
    ]
    for name, group in (
        ("overview", (*OVERVIEW_KEYS, *PANELS, *APP_KEYS)),
        ("audit", (*AUDIT_SCREEN_KEYS, *PANELS, *APP_KEYS)),
        ("SLO", (*SLO_SCREEN_KEYS, *PANELS, *APP_KEYS)),
        ("trigger", (*TRIGGER_SCREEN_KEYS, *PANELS, *APP_KEYS)),
        ("reconciliation", (*RECONCILIATION_SCREEN_KEYS, *PANELS, *APP_KEYS)),
        ("incident", (*INCIDENT_SCREEN_KEYS, *PANELS, *APP_KEYS)),
        ("first minutes", (*MINUTES_SCREEN_KEYS, *APP_KEYS)),
    ):
        taken: dict[str, str] = {}
        for key in group:
            for press in keymap.get(key.key_id, key.keys).split(","):
                if press in taken:
                    faults.append(
                        f"keymap: {press} means both {taken[press]} and {key.key_id} on the {name} panel"
                    )
                taken[press] = key.key_id
    return faults


def shown_key(key: Key, keymap: Mapping[str, str]) -> str:
    """The key as people press it, after remapping."""
    return keymap[key.key_id].split(",")[0] if key.key_id in keymap else key.display


def help_sections(keymap: Mapping[str, str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Title, then (key, help) for each binding."""
    return [(title, [(shown_key(key, keymap), key.help) for key in keys]) for title, keys in SECTIONS]


def markdown(sections: Iterable[tuple[str, tuple[Key, ...]]] = SECTIONS) -> str:
    """The README's key table; the ids are what `[keymap]` takes."""
    rows = ["| key | does | id |", "|---|---|---|"]
    rows += [f"| `{key.display}` | {key.help} | `{key.key_id}` |" for _, keys in sections for key in keys]
    return "\n".join(rows)


if __name__ == "__main__":
    print(markdown())  # noqa: T201
