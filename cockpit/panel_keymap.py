"""The keys of the panels, but for the incidents': a part of the registry."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from widgets.keys import Key

APPROVALS: Final = Key(
    "approvals",
    "A",
    "app.approvals",
    "approvals",
    "Approve another person's request",
    footer=True,
    loosens=True,
)
VERIFY: Final = Key(
    "verify-trip", "v,V", "app.verify_trip", "verify", "Verification panel of your last trip", footer=True
)
ACKNOWLEDGE: Final = Key(
    "acknowledge", "a", "app.acknowledge", "ack", "Acknowledge an open incident", footer=True
)
FILTER: Final = Key(
    "filter", "slash", "filter", "filter", "Show only what contains the text", shown="/", footer=True
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
    VERIFY,
    ACKNOWLEDGE,
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
    APPROVALS,
    Key(
        "details",
        "enter",
        "app.details",
        "details",
        "Document, epoch and history of the breaker",
        footer=True,
    ),
    FILTER,
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
    replace(APPROVALS, key_id="slo.approvals"),
    replace(FILTER, key_id="slo.filter"),
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
    replace(FILTER, key_id="trigger.filter"),
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
    replace(FILTER, key_id="recon.filter"),
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
    replace(FILTER, key_id="audit.filter"),
)
