"""The moment at which a key of Redis is written, by the server's own keyspace events: no polling, no load."""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic, perf_counter_ns
from types import TracebackType

from redis import Redis

_PREFIX = "__keyspace@0__:"


class KeyWatch:
    """`with KeyWatch(owner_url, "trip:*") as watch: …; watch.after(begin_ns, "trip:global")`.

    A thread waits on the socket and notes when (perf_counter_ns) each event arrived. It needs the owner's
    login, for it switches the server's keyspace events on.
    """

    def __init__(self, owner_url: str, *patterns: str) -> None:
        self._redis = Redis.from_url(owner_url)
        self._patterns = patterns
        self._seen: deque[tuple[int, str]] = deque(maxlen=10_000)
        self._news = threading.Condition()
        self._stop = False

    def __enter__(self) -> KeyWatch:
        self._redis.config_set("notify-keyspace-events", "K$")
        self._subscription = self._redis.pubsub(ignore_subscribe_messages=True)
        self._subscription.psubscribe(*(_PREFIX + pattern for pattern in self._patterns))
        self._thread = threading.Thread(target=self._listen, name="key-watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop = True
        self._thread.join(5)
        self._subscription.close()
        self._redis.close()

    def _listen(self) -> None:
        while not self._stop:
            message = self._subscription.get_message(timeout=0.25)
            at = perf_counter_ns()
            if message is not None:
                with self._news:
                    self._seen.append((at, message["channel"].decode().removeprefix(_PREFIX)))
                    self._news.notify_all()

    def after(self, begin_ns: int, key: str, timeout_s: float = 20.0) -> int:
        """When `key` was first written after `begin_ns`; waits for it.

        Raises:
            TimeoutError: it was not.
        """
        deadline = monotonic() + timeout_s
        with self._news:
            while True:
                found = next((at for at, name in self._seen if name == key and at >= begin_ns), None)
                if found is not None:
                    return found
                if not self._news.wait(deadline - monotonic()):
                    raise TimeoutError(f"{key} was not written in {timeout_s:g} s")
