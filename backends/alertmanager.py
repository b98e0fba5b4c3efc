"""Alertmanager's API v2, as far as silences need it: what alerts there are, what is silenced, until when.

Every call raises `StoreUnreachable` for the store `Alertmanager` where there is no answer in time, or none
that can be understood, and `Refused` where it refuses what was asked. No word repeats the address, which may
hold a password.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx

from cockpit.domain.documents import parse_rfc3339, rfc3339
from cockpit.domain.refusals import Code, Refused, StoreUnreachable
from cockpit.domain.silences import Matcher, Sign
from cockpit.domain.text import clean

STORE: Final = "Alertmanager"
T = TypeVar("T")
_MOST_BYTES: Final = 4_000_000
_CHECK: Final = "Check that it runs and that alertmanager_url of [paging] is right."


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that is firing. `silenced_by` are ids of silences."""

    labels: Mapping[str, str]
    summary: str
    starts_at: datetime
    silenced_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Silence:
    """`state` is active, pending or expired."""

    silence_id: str
    state: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str


class Alertmanager:
    """A client of the one at `url`. Close it."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        self._url = url
        self._http = httpx.AsyncClient(
            verify=url.lower().startswith("https:"),  # certificates take 20 ms to load, and http reads none
            timeout=timeout_s,
            trust_env=False,
            headers={"user-agent": "cockpit"},
            follow_redirects=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def matching(self, matchers: Sequence[Matcher]) -> tuple[Alert, ...]:
        """The firing alerts that all of these match, by its own judgement, silenced ones too."""
        rows = await self._ask("GET", "/alerts", params=[("filter", str(each)) for each in matchers])
        return _read(lambda: tuple(_alert(row) for row in rows))

    async def silences(self) -> tuple[Silence, ...]:
        """Active ones first, then pending ones; each by its end."""
        rows = await self._ask("GET", "/silences")
        found = _read(lambda: [_silence(row) for row in rows])
        alive = [each for each in found if each.state != "expired"]
        return tuple(sorted(alive, key=lambda each: (each.state, each.ends_at)))

    async def silence(self, silence_id: str) -> Silence:
        """
        Raises:
            Refused: UNKNOWN, there is none of that id.
        """
        row = await self._ask("GET", f"/silence/{quote(silence_id, safe='')}")
        return _read(lambda: _silence(row))

    async def add(
        self, matchers: Sequence[Matcher], starts_at: datetime, ends_at: datetime, login: str, comment: str
    ) -> str:
        """Make a silence; its id."""
        body = {
            "matchers": [
                {
                    "name": each.name,
                    "value": each.value,
                    "isRegex": each.sign.regex,
                    "isEqual": each.sign.positive,
                }
                for each in matchers
            ],
            "startsAt": rfc3339(starts_at),
            "endsAt": rfc3339(ends_at),
            "createdBy": login,
            "comment": comment,
        }
        row = await self._ask("POST", "/silences", body)
        return _read(lambda: clean(str(row["silenceID"]), 64))

    async def expire(self, silence_id: str) -> None:
        """End a silence now."""
        await self._ask("DELETE", f"/silence/{quote(silence_id, safe='')}")

    async def _ask(
        self, method: str, path: str, body: object = None, params: Sequence[tuple[str, str]] = ()
    ) -> Any:
        try:
            async with self._http.stream(
                method, f"{self._url}/api/v2{path}", json=body, params=list(params)
            ) as response:
                text = b""
                async for chunk in response.aiter_bytes():
                    text += chunk
                    if len(text) > _MOST_BYTES:
                        raise _unreachable("its answer has no end")
        except httpx.TimeoutException as error:
            raise _unreachable("no answer in time", sent=method != "GET") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            sent = method != "GET" and not isinstance(error, httpx.ConnectError)
            raise _unreachable(type(error).__name__, sent) from None
        if response.status_code == httpx.codes.NOT_FOUND:
            raise Refused(Code.UNKNOWN, "Alertmanager knows no such silence.", "See `cockpit silence list`.")
        if response.is_client_error:
            said = clean(text.decode("utf-8", "replace"), 200)
            raise Refused(Code.MALFORMED, f"Alertmanager refuses it: {said}.", "Change the matchers.")
        if not response.is_success:
            raise _unreachable(f"it answered {response.status_code}")
        try:
            return json.loads(text) if text.strip() else None
        except (ValueError, RecursionError):
            raise _unreachable("it answered something that is no JSON") from None


def _read(reading: Callable[[], T]) -> T:
    try:
        return reading()
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _unreachable("its answer is not that of an Alertmanager") from None


def _alert(row: Any) -> Alert:
    return Alert(
        {clean(str(name), 100): clean(str(value), 200) for name, value in row["labels"].items()},
        clean(str(row.get("annotations", {}).get("summary", "")), 300),
        parse_rfc3339(row["startsAt"]),
        tuple(clean(str(each), 64) for each in row.get("status", {}).get("silencedBy", [])),
    )


def _silence(row: Any) -> Silence:
    return Silence(
        clean(str(row["id"]), 64),
        clean(str(row["status"]["state"]), 20),
        tuple(_matcher(each) for each in row["matchers"]),
        parse_rfc3339(row["startsAt"]),
        parse_rfc3339(row["endsAt"]),
        clean(str(row["createdBy"]), 100),
        clean(str(row["comment"]), 500),
    )


def _matcher(row: Any) -> Matcher:
    signs = {(False, True): "=", (False, False): "!=", (True, True): "=~", (True, False): "!~"}
    sign = Sign(signs[bool(row["isRegex"]), bool(row.get("isEqual", True))])
    return Matcher(clean(str(row["name"]), 100), sign, clean(str(row["value"]), 200))


def _unreachable(why: str, sent: bool = False) -> StoreUnreachable:
    return StoreUnreachable(STORE, why, _CHECK, maybe_applied=sent)
