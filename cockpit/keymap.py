"""The registry of keys: bindings, footer, help and the README's table are all drawn from it.

Caps Lock sends capitals: where a capital has no meaning of its own it means the small letter.
`python -m cockpit.keymap` prints the table in Markdown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from cockpit.incident_keymap import INCIDENT_CHANGES, INCIDENT_KEYS, MINUTES_KEYS, NEW_INCIDENT
from cockpit.panel_keymap import (
    ACKNOWLEDGE,
    AUDIT_KEYS,
    BREAKER_KEYS,
    RECONCILIATION_KEYS,
    SLO_KEYS,
    TRIGGER_KEYS,
    VERIFY,
)
from widgets.keys import DIALOG_KEYS, Key

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
_ACK, _VERIFY = replace(ACKNOWLEDGE, footer=False), replace(VERIFY, footer=False)
"""As on the overview and with its ids: what they open is about no row. Not where a panel has its own key."""
OVERVIEW_KEYS: Final = (*BREAKER_KEYS, replace(NEW_INCIDENT, footer=False), *MOVE_KEYS)
AUDIT_SCREEN_KEYS: Final = (*AUDIT_KEYS, _ACK, *MOVE_KEYS)
SLO_SCREEN_KEYS: Final = (*SLO_KEYS, _ACK, _VERIFY, *MOVE_KEYS)
TRIGGER_SCREEN_KEYS: Final = (*TRIGGER_KEYS, _ACK, _VERIFY, *MOVE_KEYS)
RECONCILIATION_SCREEN_KEYS: Final = (*RECONCILIATION_KEYS, _ACK, _VERIFY, *MOVE_KEYS)
INCIDENT_SCREEN_KEYS: Final = (*INCIDENT_KEYS, _VERIFY, *MOVE_KEYS)
MINUTES_SCREEN_KEYS: Final = (*MINUTES_KEYS, *INCIDENT_CHANGES, _VERIFY, *MOVE_KEYS)

SECTIONS: Final[tuple[tuple[str, tuple[Key, ...]], ...]] = (
    ("Panels", PANELS),
    ("Panel 1: overview", BREAKER_KEYS),
    ("Panel 2: SLOs", SLO_KEYS),
    ("Panel 6: triggers", TRIGGER_KEYS),
    ("Panel 3: incidents", INCIDENT_KEYS),
    ("First five minutes", MINUTES_KEYS),
    ("Panel 4: reconciliation", RECONCILIATION_KEYS),
    ("Panel 5: audit", AUDIT_KEYS),
    ("Moving", MOVE_KEYS),
    ("In a dialog", DIALOG_KEYS),
    ("Everywhere", APP_KEYS),
)
_SCREENS: Final = {
    "Panel 1: overview": OVERVIEW_KEYS,
    "Panel 2: SLOs": SLO_SCREEN_KEYS,
    "Panel 3: incidents": INCIDENT_SCREEN_KEYS,
    "First five minutes": MINUTES_SCREEN_KEYS,
    "Panel 4: reconciliation": RECONCILIATION_SCREEN_KEYS,
    "Panel 5: audit": AUDIT_SCREEN_KEYS,
    "Panel 6: triggers": TRIGGER_SCREEN_KEYS,
}
"""All that a screen binds, in the order of the panels."""
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
        ("first minutes", (*MINUTES_SCREEN_KEYS, *PANELS, *APP_KEYS)),
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


def help_sections(
    keymap: Mapping[str, str], here: Sequence[Key] = OVERVIEW_KEYS
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Title, then (key, help) for each binding: those of the screen that binds `here` first, then what works
    everywhere, then what the other panels have of their own."""
    own = dict(SECTIONS)
    title = next((name for name, keys in _SCREENS.items() if keys is here), "")
    ordered = [(f"{title} · where you are", own_keys(here))] if title else []
    ordered += [(name, own[name]) for name in ("Panels", "Everywhere", "Moving", "In a dialog")]
    ordered += [(name, own[name]) for name in _SCREENS if name != title]
    return [(name, [(shown_key(key, keymap), key.help) for key in keys]) for name, keys in ordered]


def own_keys(keys: Iterable[Key]) -> tuple[Key, ...]:
    """What a screen binds without what only moves."""
    return tuple(key for key in keys if key not in MOVE_KEYS)


def markdown(sections: Iterable[tuple[str, tuple[Key, ...]]] = SECTIONS) -> str:
    """The README's key table; the ids are what `[keymap]` takes."""
    rows = ["| key | does | id |", "|---|---|---|"]
    rows += [f"| `{key.display}` | {key.help} | `{key.key_id}` |" for _, keys in sections for key in keys]
    return "\n".join(rows)


if __name__ == "__main__":
    print(markdown())  # noqa: T201
