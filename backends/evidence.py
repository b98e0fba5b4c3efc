"""Evidence: one write-once object per transition and signed head, in a folder or an object store (obstore).

Write-once here means that this code never overwrites. A bucket with object lock enforces it against others
too; a plain folder cannot.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, from_url

from cockpit.domain.refusals import Code, Refused
from cockpit.domain.text import clean

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_TIMEOUT: Final = timedelta(seconds=5)
_CLIENT: Final[ClientConfig] = {"timeout": _TIMEOUT, "connect_timeout": timedelta(seconds=2)}
_RETRY: Final[RetryConfig] = {"max_retries": 1, "retry_timeout": timedelta(seconds=5)}
_WHOLE_S: Final = 12.0
_CHECK_KEY: Final = "checks/writable"
_CHECK_DATA: Final = b"The cockpit checks that it can write here.\n"
_NO_STORE: Final = ("NoSuchBucket", "ContainerNotFound")  # 404s that say more than "no such object"
T = TypeVar("T")


class EvidenceUnavailable(Refused):
    """The evidence store takes or gives no objects now; one line says which and why."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(Code.EVIDENCE, f"Evidence store {url} is unavailable: {why}")


class EvidenceConflict(Refused):
    """An object of this key exists with other bytes. Nothing was overwritten."""

    def __init__(self, key: str) -> None:
        super().__init__(
            Code.EVIDENCE, f"Evidence object {key} exists with other content and was not overwritten."
        )
        self.key = key


class Evidence:
    """The evidence store at `url`: `file:///folder`, `s3://bucket/prefix`, `gs://…`, `az://…`, `memory:///`.

    `options` are obstore's settings of that store (`endpoint`, `region`, `access_key_id`, …). Nothing is
    contacted before the first call.
    """

    def __init__(self, url: str, options: Mapping[str, str] | None = None) -> None:
        parts = urlsplit(url)
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        # Shown to people and stored with each entry: never a password in it.
        self.url = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
        self._url = url
        self._options = dict(options or {})
        self._opened: Any = None

    async def put_new(self, key: str, data: bytes) -> None:
        """Create the object; on return it is durable. An existing one with the same bytes is fine, so that a
        write whose reply was lost can be repeated.

        Raises:
            EvidenceConflict: it exists with other bytes.
            EvidenceUnavailable: it could not be written, or not proved to be.
        """
        await self.put_all_new({key: data})

    async def put_all_new(self, objects: Mapping[str, bytes]) -> None:
        """`put_new` of each, side by side; on return all are durable. Where one fails the others may exist.

        Raises:
            EvidenceConflict, EvidenceUnavailable: as `put_new`, of the first that failed.
        """
        await asyncio.gather(*(self._create(key, data) for key, data in objects.items()))
        if self._folder is not None:
            await self._flush([self._folder / key for key in objects])

    async def _create(self, key: str, data: bytes) -> None:
        try:
            await self._call(lambda store: obstore.put_async(store, key, data, mode="create"))
        except AlreadyExistsError as error:
            if await self.get(key) != data:
                raise EvidenceConflict(key) from error

    async def get(self, key: str) -> bytes | None:
        """The object's bytes; None where there is none.

        Raises:
            EvidenceUnavailable: it could not be read.
        """

        async def read(store: Any) -> bytes | None:
            try:
                result = await obstore.get_async(store, key)
            except (NotFoundError, FileNotFoundError) as error:
                if any(word in str(error) for word in _NO_STORE):
                    raise
                return None
            return bytes(await result.bytes_async())

        return await self._call(read)

    async def list(self, prefix: str) -> Sequence[str]:
        """Keys below the folder `prefix` (`heads/`), sorted.

        Raises:
            EvidenceUnavailable: they could not be listed.
        """

        async def read(store: Any) -> Sequence[str]:
            chunks = obstore.list(store, prefix=prefix.rstrip("/") or None)
            return sorted([item["path"] async for chunk in chunks for item in chunk])

        return await self._call(read)

    async def check(self, *, write: bool = True) -> float:
        """Whether objects can be read now, and written, in milliseconds.

        Writing puts one small object, always the same one, since a store that can be listed may still be full
        or read-only.

        Raises:
            EvidenceUnavailable: no.
        """
        begin = time.perf_counter()
        if write:
            await self._call(lambda store: obstore.put_async(store, _CHECK_KEY, _CHECK_DATA))
        if await self.get(_CHECK_KEY) is None and write:
            raise EvidenceUnavailable(self.url, "an object that was just written cannot be read")
        return (time.perf_counter() - begin) * 1_000

    def link(self, key: str) -> str:
        """Where people find the object: the store's address and the key."""
        return f"{self.url.rstrip('/')}/{key}"

    async def _call(self, action: Callable[[Any], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(_WHOLE_S):
                return await action(await self._store())
        except AlreadyExistsError:
            raise
        except TimeoutError as error:
            raise EvidenceUnavailable(self.url, f"no answer within {_WHOLE_S:.0f} s") from error
        except (BaseError, OSError, ValueError) as error:
            raise EvidenceUnavailable(self.url, _reason(error)) from error

    async def _store(self) -> Any:
        if self._opened is None:
            try:
                self._opened = await asyncio.to_thread(self._open)
            except (BaseError, OSError, ValueError) as error:
                raise EvidenceUnavailable(self.url, _reason(error)) from error
        return self._opened

    def _open(self) -> Any:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            return LocalStore(self._folder)
        client: ClientConfig = {**_CLIENT}
        if self._options.get("endpoint", "").startswith("http://"):
            client["allow_http"] = True
        if self._url.startswith("memory:"):
            return from_url(self._url)
        settings: dict[str, Any] = {"config": self._options, "client_options": client, "retry_config": _RETRY}
        return from_url(self._url, **settings)

    async def _flush(self, paths: Sequence[Path]) -> None:
        """obstore leaves a folder's files to the page cache; evidence has to outlive a power cut."""
        try:
            await asyncio.to_thread(_fsync, paths)
        except OSError as error:
            raise EvidenceUnavailable(self.url, _reason(error)) from error


def _fsync(paths: Sequence[Path]) -> None:
    """Every file, then the folders that name them, each once."""
    folders = dict.fromkeys(folder for path in paths for folder in (path.parent, path.parent.parent))
    for target in (*paths, *folders):
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reason(error: Exception) -> str:
    """The error's first line: object stores add dumps of their own inner errors below it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return clean(lines[0] if lines else type(error).__name__, 300)
