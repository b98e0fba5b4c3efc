"""The rules on disk: read again when their file changes; a broken file leaves the last good ones in force."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Final

from cockpit.config import BadSettings
from cockpit.domain.breakers import Catalogue
from cockpit.domain.text import clean
from cockpit.domain.trigger_parsing import BadRule, parse_rules
from cockpit.domain.triggers import Rule

_MOST_BYTES: Final = 1_000_000


def shipped_rules() -> Path:
    """The file that comes with the cockpit."""
    return Path(str(files("runbooks").joinpath("triggers.toml")))


def read_rules(path: Path, catalogue: Catalogue) -> tuple[Rule, ...]:
    """
    Raises:
        BadRule: the file cannot be read, is no TOML, or holds a bad rule; one line that begins with its path.
    """
    try:
        if path.exists() and not path.is_file():
            raise BadRule("a folder, pipe or device, whose reading may never end; name a file")
        raw = path.read_bytes()
        if len(raw) > _MOST_BYTES:
            raise BadRule(f"over {_MOST_BYTES:,} bytes; it holds rules and nothing else")
        values = tomllib.loads(raw.decode(), parse_float=Decimal)
        return parse_rules(values, catalogue)
    except OSError as error:
        raise BadRule(f"{path}: cannot be read: {error.strerror}; make it readable for the guard") from None
    except BadRule as error:
        raise BadRule(f"{path}: {error}") from None
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise BadRule(f"{path}: not TOML: {clean(str(error), 200)}; mend that line") from None


class RuleFile:
    """The rules of `path` (None: those that are shipped).

    Raises:
        BadSettings: at the first reading there is no good one to go on with.
    """

    def __init__(
        self, path: Path | None, catalogue: Catalogue, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = path or shipped_rules()
        self._catalogue = catalogue
        self._clock = clock
        self._stamp = self._look()
        try:
            self.rules = read_rules(self.path, catalogue)
        except BadRule as error:
            raise BadSettings(f"guard.triggers: {error}") from None
        self._good_at = clock()
        self._why = ""

    @property
    def fault(self) -> str:
        """Why the rules in force are not those on disk, and since when; "" where they are."""
        if not self._why:
            return ""
        age_s = self._clock() - self._good_at
        return f"{self._why} (the last good rules, read {age_s:.0f} s ago, stay in force)"

    def refresh(self) -> bool:
        """Look whether the file has changed; True: there are other rules now."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            rules = read_rules(self.path, self._catalogue)
        except BadRule as error:
            self._why = str(error)
            return False
        self._why, self._good_at = "", self._clock()
        changed = rules != self.rules
        self.rules = rules
        return changed

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino)
