"""One Prometheus server, asked through `prometheus_api_client` in a thread of its own.

The client alone would put a POST's query into the address, retry a 503 for six seconds, wait for ever, and
drop the server's warnings; the session that it is given here does none of that. A query is sent once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.text import clean

T = TypeVar("T")
STORE: Final = "Prometheus"
MAX_ANSWER: Final = 4_000_000  # bytes; what we ask for is far smaller
_ASKED_WRONGLY: Final = frozenset({"bad_data", "execution", "timeout", "canceled", "not_acceptable"})


class QueryRefused(Exception):
    """The server answers, and refuses this one query: its own words, cleaned."""


Result = Sequence[Mapping[str, Any]]
"""`data.result` of an answer: `metric`, and `value` or `values`; each a pair of Unix seconds and a text."""


class PrometheusLine:
    """Blocking, for one thread at a time. `timeout_s` bounds each silence of the server."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._client: Any = None
        self._session: Any = None

    def query(self, promql: str, at_s: float | None, deadline: float) -> Result:
        """An instant query at `at_s`, or at the server's own now; `deadline` is the whole reading's.

        Raises:
            QueryRefused: the server refuses this query, or warns that its answer may lack something.
            StoreUnreachable: no answer, or none that is Prometheus's.
        """
        left = min(self._timeout_s, deadline - time.monotonic())
        if left <= 0:
            raise StoreUnreachable(STORE, "it did not answer everything in time")
        client = self._ready()
        params = {"timeout": f"{left:.3f}"}
        if at_s is not None:
            params["time"] = f"{at_s:.3f}"
        result = self._sent(lambda: client.custom_query(promql, params=params, timeout=left), left)
        warnings = self._session.warnings()
        if warnings:
            raise QueryRefused(f"its answer may lack something: {warnings}")
        if not isinstance(result, list):
            raise StoreUnreachable(STORE, "its answer is no list of series")
        return result

    def close(self) -> None:
        if self._session is not None:
            self._session.close()

    def _ready(self) -> Any:
        if self._client is None:
            from prometheus_api_client import PrometheusConnect
            from urllib3.util.retry import Retry

            self._session = _session()
            self._client = PrometheusConnect(
                url=self._url, retry=Retry(total=0), session=self._session, method="POST"
            )
        return self._client

    def _sent(self, send: Callable[[], Any], left: float) -> Any:
        import requests
        import urllib3
        from prometheus_api_client.exceptions import PrometheusApiClientException

        try:
            return send()
        except PrometheusApiClientException:
            failure = self._session.refusal()
        except requests.Timeout:
            failure = StoreUnreachable(STORE, f"it gave no answer within {left:.1f} s")
        except requests.RequestException as error:
            no_json = f"what answers at {self._address()} sends no JSON"
            cause = no_json if isinstance(error, ValueError) else f"{_cause(error)} ({self._address()})"
            failure = StoreUnreachable(STORE, cause)
        except urllib3.exceptions.HTTPError as error:  # while the body was read
            failure = StoreUnreachable(STORE, f"its answer broke off ({type(error).__name__})")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            why = f"what answers at {self._address()} is no Prometheus ({type(error).__name__})"
            failure = StoreUnreachable(STORE, why)
        raise failure  # out here it holds neither the connection nor the address with its password

    def _address(self) -> str:
        parts = urlsplit(self._url)  # without a user and password
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _session() -> Any:
    import requests

    class Session(requests.Session):
        """Sends a POST's query as its body, follows no redirect, keeps the last answer's bytes."""

        def __init__(self) -> None:
            super().__init__()
            self.trust_env = False  # neither proxies nor passwords of this user's environment
            self.status = 0
            self.content = b""

        def request(self, method: Any, url: Any, *args: Any, **options: Any) -> Any:
            self.content = b""
            if method == "POST":
                options["data"] = options.pop("params", None)
            options |= {"allow_redirects": False, "stream": True}
            with super().request(method, url, *args, **options) as response:
                read = response.raw.read(MAX_ANSWER + 1, decode_content=True)
                if len(read) > MAX_ANSWER:
                    raise requests.exceptions.ContentDecodingError(f"over {MAX_ANSWER:,} bytes in one answer")
                response._content = self.content = read
                self.status = response.status_code
            return response

        def warnings(self) -> str:
            """What the server says of an answer that may lack something."""
            if b'"warnings"' not in self.content:
                return ""
            found = json.loads(self.content).get("warnings") or []
            return clean("; ".join(map(str, found)), 200)

        def refusal(self) -> Exception:
            """What an answer other than 200 means."""
            try:
                said = json.loads(self.content)
                kind, text = str(said["errorType"]), clean(str(said["error"]), 300)
            except (ValueError, KeyError, TypeError):
                kind, text = "", clean(self.content[:300].decode(errors="replace").strip(), 120)
            if kind in _ASKED_WRONGLY:
                return QueryRefused(text)
            return StoreUnreachable(STORE, f"it answers {self.status} {text}".strip())

    return Session()


def _cause(error: BaseException) -> str:
    """The innermost words of a nest of exceptions, without addresses of objects."""
    seen: BaseException | None = error
    inner = error
    while seen is not None:
        inner = seen
        reason = getattr(seen, "reason", None)
        arg = next((each for each in seen.args if isinstance(each, BaseException)), None)
        seen = reason if isinstance(reason, BaseException) else arg or seen.__cause__
    if isinstance(inner, OSError) and inner.strerror:
        return clean(inner.strerror, 120)
    return clean(str(inner).rpartition(": ")[2] or type(inner).__name__, 120)


async def in_daemon_thread(work: Callable[[], T], name: str) -> T:
    """Run blocking work in a thread that never holds up the end of the process.

    A cancelled call leaves the thread to its own time-outs.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await future
