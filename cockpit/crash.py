"""The last line of a screen that failed: what happened, where the traceback lies, and no secret."""

from __future__ import annotations

import contextlib
import os
import traceback
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from cockpit.config import Credentials
from cockpit.domain.text import clean, clean_lines


def record(error: BaseException | None, credentials: Credentials) -> str:
    """Append the traceback (no local variables, no password) to the log; the line to leave behind."""
    from cockpit.cli.run import log_path

    name = type(error).__name__ if error else "unknown error"
    path = log_path(os.environ)
    text = "".join(traceback.format_exception(error)) if error else "no exception was set\n"
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(f"{datetime.now(UTC).isoformat()}\n{clean_lines(scrubbed(text, credentials))}\n")
    return clean(
        f"cockpit: the screen failed ({name}); traceback in {path}. Trading is as it was; "
        "`cockpit status` reads it, `cockpit trip` halts."
    )


def scrubbed(text: str, credentials: Credentials) -> str:
    """`text` without this login's addresses and passwords."""
    for address in (credentials.redis_url, credentials.postgres_dsn):
        if address:
            text = text.replace(address, "[address]")
        with contextlib.suppress(ValueError):
            password = urlsplit(address).password
            for secret in {password, unquote(password)} if password else ():
                text = text.replace(secret, "[secret]")
    return text
