#!/usr/bin/env python3
"""Halts a breaker when nothing else is installed: one file, standard library only, Python 3.8 or newer.

    python3 emergency_trip.py instrument:BTC-USD --notes "what was seen, at least 20 characters" --yes

Where Redis is: --redis-url, else COCKPIT_REDIS_URL, else [logins.NAME] of the cockpit's settings. A password
belongs into --password-file, COCKPIT_REDIS_PASSWORD or the settings, not onto the command line, where every
user of the machine can read it.

It sends INCR trip:<id>, which halts, and adds an unsigned event, which only tells others sooner: the
authority finds and audits the trip either way, as unattributed, with the login of the event as a claim; it
opens a critical incident that somebody has to acknowledge before anything can resume. Nothing here can
resume. Source: pause and resume runbook, section 7.

Exit codes: 0 tripped, 1 internal error, 2 wrong input, 3 denied to this login, 5 Redis did not answer.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import ssl
import sys
import uuid
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

REASONS = (
    "slippage latency rejection-rate daily-loss data-integrity security governance market-anomaly "
    "operational drill other"
).split()
BREAKER = re.compile(r"global|(component|instrument|strategy):[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
TIMEOUT_S = 3.0
MAX_REPLY = 1000000


class Stop(Exception):
    """Ends the program with one line and an exit code."""

    def __init__(self, code: int, line: str) -> None:
        super().__init__(line)
        self.code = code


class Denied(Exception):
    """Redis answered with an error; the text is its own."""


def main(argv: Sequence[str] | None = None) -> int:
    as_json = "--json" in (sys.argv[1:] if argv is None else argv)
    try:
        answer = trip(arguments(argv))
    except Stop as stop:
        answer = {"outcome": "refused" if stop.code in (2, 3) else "pending", "message": str(stop)}
        code = stop.code
    except Exception as error:  # noqa: BLE001 - one line, never a traceback with an address in it
        answer = {"outcome": "pending", "message": "internal error: " + type(error).__name__}
        code = 1
    else:
        code = 0
    if as_json:
        print(json.dumps(answer))
    if code or not as_json:
        print(safe(answer["message"]), file=sys.stderr if code else sys.stdout)
    return code


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Halt a breaker with nothing installed.", allow_abbrev=False)
    parser.add_argument("id", help="global, component:NAME, instrument:SYMBOL or strategy:NAME")
    parser.add_argument("--notes", required=True, help="why, at least 20 characters")
    parser.add_argument("--reason", default="operational", help=", ".join(REASONS))
    parser.add_argument("--yes", action="store_true", help="acknowledges that trading halts")
    parser.add_argument("--redis-url", help="redis://LOGIN@HOST:PORT/0, rediss:// for TLS, or unix:///PATH")
    parser.add_argument("--password-file", help="a file that holds the login's password")
    parser.add_argument("--config", help="the cockpit's settings")
    parser.add_argument("--login", help="a [logins.NAME] of the settings")
    parser.add_argument("--unlisted", action="store_true", help="trip a breaker that no catalogue here names")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser.parse_args(argv)


def trip(given: argparse.Namespace) -> dict[str, Any]:
    """Check, connect, trip; the outcome object."""
    if not BREAKER.fullmatch(given.id):
        raise Stop(2, "id: write global, component:NAME, instrument:SYMBOL or strategy:NAME, exactly")
    notes = " ".join(given.notes.split())
    if not 20 <= len(notes) <= 500:
        raise Stop(2, f"notes: have {len(notes)} characters; 20 to 500 are needed")
    if safe(notes) != notes:
        raise Stop(2, "notes: hold a control or invisible character; write plain text")
    if given.reason not in REASONS:
        raise Stop(2, "reason: write one of " + ", ".join(REASONS))
    if not given.yes:
        raise Stop(2, "--yes: missing; it acknowledges that trading halts. Nothing was done")
    settings, login = read_settings(given)
    listed = must_be_listed(given, settings)
    link = Link(address(given, login))
    try:
        return halted(given, notes, link, listed)
    finally:
        link.close()


def halted(given: argparse.Namespace, notes: str, link: Link, listed: bool) -> dict[str, Any]:
    event_id, at = str(uuid.uuid4()), now()
    if not listed:
        must_exist(given.id, link)
    try:
        counter = link.ask("INCR", "trip:" + given.id)
    except Denied as error:
        denied = str(error).startswith(("NOPERM", "NOAUTH", "WRONGPASS"))
        line = f"Redis refused the trip: {safe(str(error))}. It is NOT halted by this."
        raise Stop(3 if denied else 5, line) from error
    except (OSError, ValueError) as error:
        line = "The connection was lost: it may be halted or not. Run this again, twice does no harm."
        raise Stop(5, line) from error
    return outcome(given, event_id, counter, told(given, notes, link, event_id, at))


def must_exist(breaker_id: str, link: Link) -> None:
    """An INCR of a mistyped name succeeds and halts nothing."""
    try:
        known = link.ask("GET", "trip:" + breaker_id)
    except Denied:
        return  # may not read: the trip itself will tell
    except (OSError, ValueError) as error:
        raise Stop(5, f"Redis went away ({safe(str(error))}). NOT HALTED. Try another address.") from error
    if known is None:
        line = f"id: Redis holds no breaker {breaker_id}; check the name, or add --unlisted if it is right"
        raise Stop(2, line)


def told(given: argparse.Namespace, notes: str, link: Link, event_id: str, at: str) -> str:
    """Add the event, best effort: '' or why it was not delivered."""
    claims = {
        "v": 1,
        "kind": "trip",
        "request_id": event_id,
        "breaker_id": given.id,
        "epoch": None,
        "login": link.login,
        "reason": given.reason,
        "notes": notes,
        "checked": [],
        "target": None,
        "ttl_s": None,
        "requested_at": at,
    }
    payload = json.dumps(claims, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    fields = ("event_id", event_id, "breaker_id", given.id, "kind", "TRIP", "login", link.login, "at", at)
    unsigned = ("payload", payload, "key_id", "", "signature", "")
    try:
        link.ask("XADD", "circuit_breaker:events", "*", *fields, *unsigned)
    except (Denied, OSError, ValueError) as error:
        return f" Its event was not delivered ({safe(str(error))}), which changes nothing of the halt."
    return ""


def outcome(given: argparse.Namespace, event_id: str, counter: Any, note: str) -> dict[str, Any]:
    return {
        "breaker_id": given.id,
        "state": "OPEN",
        "epoch": counter,
        "event_id": event_id,
        "evidence_link": None,
        "audit_seq": None,
        "outcome": "done",
        "delivered": {"redis": True, "postgres": False},
        "message": (
            f"{given.id} tripped: OPEN, HALTED, epoch {counter}.{note} Next: 1. See at the venue that no "
            "order leaves any more. 2. Write down that you halted it, why, and the event "
            f"{event_id}: the authority audits it as unattributed, with your login as a mere claim. "
            "3. Have the incident that it opens acknowledged (`cockpit incident ack`). 4. Resume only by "
            "`cockpit half-open`, probes and `cockpit close`."
        ),
    }


def must_be_listed(given: argparse.Namespace, settings: dict[str, Any]) -> bool:
    """Whether the breaker is known to exist: by the settings' catalogue, or by the word of --unlisted."""
    catalogue = settings.get("catalogue")
    if given.id == "global" or given.unlisted:
        return True
    if not isinstance(catalogue, dict):
        return False
    scope, _, name = given.id.partition(":")
    names = catalogue.get({"strategy": "strategies"}.get(scope, scope + "s")) or []
    if name not in names:
        known = ", ".join(map(str, names)) or "none"
        raise Stop(2, f"id: {given.id} is not in the catalogue; known are {known}, or add --unlisted")
    return True


def address(given: argparse.Namespace, login: dict[str, Any]) -> dict[str, Any]:
    """Everything that a connection needs, with the password from wherever it was kept."""
    url = given.redis_url or os.environ.get("COCKPIT_REDIS_URL") or login.get("redis_url")
    if not url:
        line = "not given, nor COCKPIT_REDIS_URL, nor in the settings; write redis://LOGIN@HOST:PORT"
        raise Stop(2, "--redis-url: " + line)
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
    except ValueError as error:
        raise Stop(2, "--redis-url: not an address; write redis://LOGIN@HOST:PORT/0") from error
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise Stop(2, "--redis-url: write redis://…, rediss://… (TLS) or unix:///PATH")
    password = unquote(parts.password or "")
    if given.password_file:
        try:
            password = Path(given.password_file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Stop(2, "--password-file: cannot be read; name a readable text file") from error
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return {
        "scheme": parts.scheme,
        "host": parts.hostname or "127.0.0.1",
        "port": port,
        "path": unquote(parts.path),
        "login": unquote(parts.username or ""),
        "password": password or os.environ.get("COCKPIT_REDIS_PASSWORD", ""),
        "options": options,
    }


def read_settings(given: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings and the chosen login's table; empty where there are none and none were named."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    path = Path(given.config or os.environ.get("COCKPIT_CONFIG") or home / "cockpit" / "config.toml")
    if not path.exists() and not given.config:
        return {}, {}
    try:
        settings = parse_toml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        if given.redis_url or os.environ.get("COCKPIT_REDIS_URL"):
            return {}, {}  # broken settings do not stop a halt whose address is known
        raise Stop(2, f"--config: {path} cannot be read: {safe(str(error))}; or give --redis-url") from error
    name = given.login or settings.get("default_login")
    logins = settings.get("logins") or {}
    if given.login and given.login not in logins:
        raise Stop(
            2,
            "--login: no [logins.{}] in {}; known are {}".format(safe(given.login), path, ", ".join(logins)),
        )
    return settings, logins.get(name) or {}


def parse_toml(text: str) -> dict[str, Any]:
    """TOML by the standard library where it has it (3.11), else the subset that the settings use."""
    try:
        import tomllib
    except ImportError:
        return parse_plain_toml(text)
    return tomllib.loads(text)


def parse_plain_toml(text: str) -> dict[str, Any]:
    """Tables, and keys with strings, numbers, booleans or (also over lines) lists of strings."""
    root: dict[str, Any] = {}
    table = root
    pending = ""
    for each in text.splitlines():
        line = (pending + " " + strip_comment(each)).strip()
        pending = ""
        if not line:
            continue
        if line.startswith("["):
            table = root
            for part in dotted(line.strip("[]").strip()):
                table = table.setdefault(part, {})
            continue
        key, _, value = line.partition("=")
        value = value.strip()
        if value.startswith("[") and not value.endswith("]"):
            pending = line
            continue
        table[dotted(key.strip())[-1]] = plain_value(value)
    return root


def dotted(text: str) -> list[str]:
    parts = re.findall(r'"([^"]*)"|\'([^\']*)\'|([A-Za-z0-9_-]+)', text)
    return ["".join(part) for part in parts] or [text]


def strip_comment(line: str) -> str:
    quote = ""
    for position, char in enumerate(line):
        if quote:
            quote = "" if char == quote and line[position - 1] != "\\" else quote
        elif char in "\"'":
            quote = char
        elif char == "#":
            return line[:position].strip()
    return line.strip()


def plain_value(text: str) -> Any:
    if text.startswith("["):
        return [plain_value(part.strip()) for part in re.findall(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'', text)]
    if text.startswith('"'):
        return json.loads(text)
    return text.strip("'")


class Link:
    """One connection that speaks RESP 2."""

    def __init__(self, where: dict[str, Any]) -> None:
        self.login = where["login"]
        try:
            self.socket = connect(where)
            self.file = self.socket.makefile("rb")
        except (OSError, ssl.SSLError, UnicodeError) as error:
            raise Stop(
                5, f"Redis did not answer ({safe(str(error))}). NOT HALTED. Try another address."
            ) from error
        try:
            if where["password"]:
                self.ask("AUTH", *filter(None, (where["login"], where["password"])))
        except Denied as error:
            raise Stop(3, f"Redis does not accept this login: {safe(str(error))}. NOT HALTED.") from error
        except (OSError, ValueError) as error:
            raise Stop(
                5, f"Redis went away ({safe(str(error))}). NOT HALTED. Try another address."
            ) from error

    def ask(self, *words: str) -> Any:
        encoded = [word.encode() for word in words]
        parts = [b"*%d\r\n" % len(encoded)] + [b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded]
        self.socket.sendall(b"".join(parts))
        return self.reply()

    def reply(self) -> Any:
        line = self.file.readline(MAX_REPLY)
        if not line.endswith(b"\r\n"):
            raise ValueError("the connection was closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise Denied(rest.decode("utf-8", "replace"))
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest.decode("utf-8", "replace")
        if kind == b"$":
            length = int(rest)
            if length < 0:
                return None
            if length > MAX_REPLY:
                raise ValueError("a reply is too long")
            return self.file.read(length + 2)[:-2].decode("utf-8", "replace")
        raise ValueError("not a Redis server")

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def connect(where: dict[str, Any]) -> socket.socket:
    if where["scheme"] == "unix":
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(TIMEOUT_S)
        link.connect(where["path"])
        return link
    link = socket.create_connection((where["host"], where["port"]), TIMEOUT_S)
    if where["scheme"] == "rediss":
        options = where["options"]
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if options.get("ssl_cert_reqs") == "none":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if options.get("ssl_certfile"):
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
        link = context.wrap_socket(link, server_hostname=where["host"])
    return link


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # noqa: UP017 - Python 3.8 has no datetime.UTC


def safe(text: str) -> str:
    """Nothing that came from outside acts on the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)[:1000]


if __name__ == "__main__":
    sys.exit(main())
