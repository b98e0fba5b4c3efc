"""What the guard publishes and what sizes are limited, out of the desk's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from cockpit.domain.breakers import BreakerId
from cockpit.domain.desk import SizeLimit
from cockpit.domain.documents import parse_rfc3339
from cockpit.domain.text import clean
from cockpit.domain.trigger_reports import GuardSnapshot, MalformedReport, TriggerReport, parse_report

Json = Mapping[str, Any]
_MOST_REPORTS: Final = 200


class Published:
    """What a guard published. Its login could have written anything: what is no report is left out, and
    said."""

    def __init__(self, row: Json) -> None:
        self._holder = clean(str(row["holder"]), 200)
        self._term = int(row["term"])
        self._renewed, self._expires = parse_rfc3339(row["renewed_at"]), parse_rfc3339(row["expires_at"])
        status = row["status"] if isinstance(row["status"], dict) else {}
        reports, self._faults = status.get("reports"), _texts(status.get("faults"))
        self._reports: tuple[TriggerReport, ...] = ()
        for fields in reports[:_MOST_REPORTS] if isinstance(reports, list) else ():
            try:
                self._reports += (parse_report(fields),)
            except (MalformedReport, OverflowError) as error:
                self._faults += (
                    f"the guard published something that is no report: {clean(str(error), 120)}",
                )

    def at(self, now: datetime) -> GuardSnapshot:
        return GuardSnapshot(
            holder=self._holder,
            term=self._term,
            age_s=(now - self._renewed).total_seconds(),
            alive=now < self._expires,
            reports=self._reports,
            faults=self._faults,
        )


def _texts(value: object) -> tuple[str, ...]:
    listed = value[:_MOST_REPORTS] if isinstance(value, list) else []
    return tuple(clean(str(each), 300) for each in listed)


def size_limit_of(row: Json) -> SizeLimit:
    return SizeLimit(
        limit_id=str(row["limit_id"]),
        breaker_id=BreakerId(row["breaker_id"]),
        share=Decimal(row["share"]),
        source=row["source"],
        rule=row["rule"],
        notes=row["notes"],
        login=row["login"],
        set_at=parse_rfc3339(row["set_at"]),
    )
