"""Where the demo's pages arrive: the plant's own webhook. `POST /pages` takes one, `GET /pages` shows them.

Like a real receiver it takes a page once, however often it is sent: by its `Idempotency-Key`.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse

from cockpit.domain.documents import rfc3339
from cockpit.domain.text import clean

_MOST_BYTES: Final = 131_072
_KEPT: Final = 500


class Pages:
    """The newest pages, for as long as the plant runs."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Mapping[str, object]] = OrderedDict()

    async def take(self, request: Request) -> JSONResponse:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST_BYTES:
                return JSONResponse({"error": f"the body is over {_MOST_BYTES} bytes"}, 413)
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            return JSONResponse({"error": "the body is no JSON object"}, 400)
        key = clean(request.headers.get("idempotency-key", ""), 100)
        if not key:
            return JSONResponse({"error": "Idempotency-Key is missing"}, 422)
        if key not in self._kept:
            self._kept[key] = {**fields, "received_at": rfc3339(datetime.now(UTC))}
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return JSONResponse({"status": "accepted"}, 202)

    async def show(self, request: Request) -> JSONResponse:
        """Oldest first."""
        return JSONResponse({"pages": list(self._kept.values())})
