"""One synchronous connection of the packaged client, for addresses that `plain_connection` leaves alone."""

from __future__ import annotations

from typing import Any

from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.exceptions import ResponseError
from redis.retry import Retry

from backends.trip_commands import Command


class PackagedConnection:
    """Never retries. Raises like `PlainConnection`.

    Raises:
        ValueError: `url` is no Redis address.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        options: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
        connection_class = options.pop("connection_class", Connection)
        fixed = {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "retry": Retry(NoBackoff(), 0),
            "retry_on_timeout": False,
            "retry_on_error": [],
            "health_check_interval": 0,
            "decode_responses": False,
            "protocol": 2,
            "driver_info": None,
        }
        self._connection = connection_class(**options | fixed)

    def connect(self) -> None:
        self._connection.connect()

    def exchange(self, *commands: Command) -> list[Any]:
        """A reply to each command, sent in one write; errors are among the replies."""
        self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)
        return [self._reply() for _ in commands]

    def close(self) -> None:
        self._connection.disconnect()

    def _reply(self) -> Any:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return error
