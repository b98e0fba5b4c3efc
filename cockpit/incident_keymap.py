"""The keys of panel 3 and of the first-five-minutes page: a part of the registry."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from cockpit.panel_keymap import FILTER
from widgets.keys import Key

NEW_INCIDENT: Final = Key("incident.new", "i,I", "app.new_incident", "new", "Open an incident", footer=True)
ACKNOWLEDGE_THIS: Final = Key(
    "incident.acknowledge",
    "a",
    "app.change_incident('acknowledge')",
    "ack",
    "Acknowledge the incident, with notes",
    footer=True,
)
INCIDENT_CHANGES: Final = (
    ACKNOWLEDGE_THIS,
    Key(
        "incident.note",
        "n,N",
        "app.change_incident('note')",
        "note",
        "Add a note to its timeline",
        footer=True,
    ),
    Key(
        "incident.assign",
        "y,Y",
        "app.change_incident('assign')",
        "assign",
        "Give it to somebody who may handle incidents",
        footer=True,
    ),
    Key(
        "incident.classify",
        "c,C",
        "app.change_incident('classify')",
        "class",
        "Classify it: what a resume waits for follows from that",
        footer=True,
    ),
    Key(
        "incident.escalate",
        "e,E",
        "app.change_incident('escalate')",
        "escalate",
        "Raise its severity: its clock begins anew, it pages again",
        footer=True,
    ),
    Key(
        "incident.snooze",
        "z,Z",
        "app.change_incident('snooze')",
        "snooze",
        "Have it warn nobody until later; its clocks go on",
        footer=True,
    ),
    Key(
        "incident.merge",
        "M",
        "app.change_incident('merge')",
        "merge",
        "Merge it into another one",
        footer=True,
    ),
    Key(
        "incident.resolve",
        "R",
        "app.change_incident('resolve')",
        "resolve",
        "Resolve it, with its root cause",
        footer=True,
    ),
    Key(
        "incident.told",
        "o,O",
        "app.change_incident('told')",
        "told",
        "Record that an audience was told",
        footer=True,
    ),
    Key("incident.item", "x,X", "app.change_incident('action')", "item", "Add an action item", footer=True),
    Key(
        "incident.trip",
        "t,T",
        "app.trip_incident",
        "trip",
        "Trip what it is linked to, or execution; opens filled in",
        footer=True,
        tightens=True,
    ),
)
MINUTES_KEYS: Final = (
    Key(
        "minutes.step",
        "enter",
        "run_step",
        "do step",
        "On the page of the first five minutes: do the playbook's step under the cursor, by its own dialog; "
        "of any other line, all that it says",
        footer=True,
    ),
    Key(
        "minutes.playbook",
        "p,P",
        "playbook",
        "playbook",
        "Another playbook, the likelier ones first",
        footer=True,
    ),
    Key(
        "minutes.details", "space", "app.details", "details", "All of the line under the cursor", footer=True
    ),
)
INCIDENT_KEYS: Final = (
    Key(
        "incident.minutes",
        "enter",
        "app.first_minutes",
        "5 minutes",
        "The incident's first five minutes: triage, playbook, timeline",
        footer=True,
    ),
    NEW_INCIDENT,
    *INCIDENT_CHANGES,
    Key("incident.sort", "s,S", "sort", "sort", "Most urgent, newest, or by owner", footer=True),
    replace(FILTER, key_id="incident.filter", help=f"{FILTER.help}; the database is asked too"),
)
