"""One synchronous Redis connection on a bare socket: loading the packaged client takes longer than a trip.

Only for plain `redis://` addresses without options; TLS, Unix sockets and everything else keep the packaged
client. An error that the server answers comes back as the packaged client's own exception, loaded only then.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import hiredis

from backends.trip_commands import Command

_CHUNK: Final = 65_536
_DEFAULT_PORT: Final = 6379


class ErrorReply(Exception):
    """`-CODE text` as the server sent it."""


class PlainConnection:
    """Connects at the first exchange, and again after `close`. `timeout_s` bounds each wait on the socket.

    `connect` and `exchange` raise OSError where the connection fails or is lost, and the packaged client's
    RedisError where the server refuses the login or answers nonsense.
    """

    def __init__(self, host: str, port: int, auth: Sequence[str], database: int, timeout_s: float) -> None:
        self._address, self._timeout_s = (host, port), timeout_s
        self._greeting: list[Command] = [("AUTH", *auth)] if auth else []
        if database:
            self._greeting.append(("SELECT", database))
        self._socket: socket.socket | None = None
        self._reader = hiredis.Reader(replyError=ErrorReply)

    @classmethod
    def to(cls, url: str, timeout_s: float) -> PlainConnection | None:
        """A connection to `redis://[LOGIN:PASSWORD@]HOST[:PORT][/DATABASE]`; None for every other address."""
        try:
            parts = urlsplit(url)
            database = parts.path.strip("/") or "0"
            port = parts.port or _DEFAULT_PORT
        except ValueError:
            return None
        if parts.scheme != "redis" or not parts.hostname or parts.query or not database.isdecimal():
            return None
        auth = [unquote(part) for part in (parts.username, parts.password) if part]
        return cls(unquote(parts.hostname), port, auth, int(database), timeout_s)

    def connect(self) -> None:
        if self._socket is not None:
            return
        self._reader = hiredis.Reader(replyError=ErrorReply)
        self._socket = socket.create_connection(self._address, self._timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for reply in self.exchange(*self._greeting):
            if isinstance(reply, Exception):
                raise reply

    def exchange(self, *commands: Command) -> list[Any]:
        """A reply to each command, sent in one write; errors are among the replies."""
        self.connect()
        if self._socket is None:
            raise ConnectionError("not connected")
        # Its stub says "a tuple of one"; it takes tuples of any length.
        self._socket.sendall(b"".join(hiredis.pack_command(command) for command in commands))  # type: ignore[arg-type]
        return [_shown(self._reply(self._socket)) for _ in commands]

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _reply(self, connection: socket.socket) -> Any:
        try:
            while (reply := self._reader.gets()) is False:
                data = connection.recv(_CHUNK)
                if not data:
                    raise ConnectionError("the server closed the connection")
                self._reader.feed(data)
        except hiredis.ProtocolError as error:
            from redis.exceptions import InvalidResponse

            raise InvalidResponse(str(error)) from error
        return reply


def _shown(reply: Any) -> Any:
    """The reply with its errors as the packaged client would have them."""
    if isinstance(reply, ErrorReply):
        return _client_error(str(reply))
    if isinstance(reply, list):
        return [_shown(part) for part in reply]
    return reply


def _client_error(text: str) -> Exception:
    from redis import exceptions

    known: dict[str, type[Exception]] = {
        "EXECABORT": exceptions.ExecAbortError,
        "LOADING": exceptions.BusyLoadingError,
        "MASTERDOWN": exceptions.MasterDownError,
        "NOAUTH": exceptions.AuthenticationError,
        "NOPERM": exceptions.NoPermissionError,
        "OOM": exceptions.OutOfMemoryError,
        "READONLY": exceptions.ReadOnlyError,
        "WRONGPASS": exceptions.AuthenticationError,
        "ERR": exceptions.ResponseError,
    }
    code, _, rest = text.partition(" ")
    return known[code](rest) if code in known else exceptions.ResponseError(text)
