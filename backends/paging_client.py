"""One attempt to deliver a page over HTTP, bounded in every way.

What a receiver does (hang, drip, redirect, flood, refuse) becomes an `Attempt`. Its words are ours alone: the
address and the body hold secrets, and a receiver may repeat either in any form, so that nothing of what it
says but the status is kept (I27). A 2xx is a delivery, whatever follows it. What a receiver refuses for good
(a 4xx) is given up; everything else may be tried again, a redirect too: somebody mends the address.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

import httpx

from cockpit.domain.text import clean

# Both log each request with its address, which holds a secret (I27).
for _chatty in ("httpx", "httpcore"):
    logging.getLogger(_chatty).setLevel(logging.WARNING)

TOTAL_S: Final = 10.0
MOST_REST_S: Final = 900.0
_TRY_AGAIN: Final = frozenset({408, 425, 429})
_RESTS: Final = frozenset({429, 503})


class Result(StrEnum):
    DELIVERED = "delivered"
    FAILED = "failed"  # to be tried again
    GIVEN_UP = "given-up"  # refused for good


@dataclass(frozen=True, slots=True)
class Message:
    """What one attempt sends."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of it. `rest_s`: how long the receiver wants to be left alone, 0 where it did not say."""

    result: Result
    why: str = ""
    rest_s: float = 0.0


class PagingClient:
    """Sends messages; each has a connection of its own, so that none waits for another."""

    def __init__(self, verify: ssl.SSLContext | None = None, total_s: float = TOTAL_S) -> None:
        self._total_s = total_s
        self._http = httpx.AsyncClient(
            verify=verify or ssl.create_default_context(),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(total_s, connect=min(5.0, total_s)),
            limits=httpx.Limits(max_keepalive_connections=0),
            headers={"user-agent": "cockpit-pager", "content-type": "application/json"},
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def send(self, message: Message) -> Attempt:
        """One POST, over within the total time."""
        try:
            async with asyncio.timeout(self._total_s):
                return await self._send(message)
        except TimeoutError:
            return Attempt(Result.FAILED, f"no answer in {self._total_s:g} s")

    async def _send(self, message: Message) -> Attempt:
        try:
            async with self._http.stream(
                "POST", message.url, content=message.body, headers=dict(message.headers)
            ) as response:
                if response.is_success:
                    return Attempt(Result.DELIVERED)
                return _judged(response)
        except httpx.TimeoutException:
            return Attempt(Result.FAILED, f"no answer in {self._total_s:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return Attempt(Result.FAILED, _why(error))


def _judged(response: httpx.Response) -> Attempt:
    code = response.status_code
    why = f"it answered {code}"
    if response.is_redirect or 300 <= code < 400:
        return Attempt(Result.FAILED, f"it answered {code}: redirects are not followed; mend the address")
    if response.is_client_error and code not in _TRY_AGAIN:
        return Attempt(Result.GIVEN_UP, why)
    rest = _rest_s(response.headers.get("retry-after", "")) if code in _RESTS else 0.0
    return Attempt(Result.FAILED, why, rest)


def _rest_s(text: str) -> float:
    """Retry-After: seconds, or a date (RFC 9110, 10.2.3). At most a quarter of an hour: an odd value must not
    silence a receiver for good."""
    text = text.strip()[:64]
    if text.isascii() and text.isdigit():
        return min(float(text), MOST_REST_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, min((moment - datetime.now(UTC)).total_seconds(), MOST_REST_S))


def _why(error: Exception) -> str:
    """The kind of the fault in words of ours: a driver's own may repeat the address."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {clean(cause.verify_message, 120)}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {clean(cause.reason or type(cause).__name__, 80)}"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
        return "the connection broke before an answer came"
    return f"it could not be sent ({type(error).__name__})"
