"""Reading a TOML file field by field, so that whatever is wrong in it can be named."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from cockpit.domain.text import clean

_MOST: Final = 31_536_000  # a year in seconds


class BadSettings(ValueError):
    """A setting that cannot be used; one line for people."""


class Table:
    """A TOML table that knows its own name, so that what is wrong in it can be named."""

    def __init__(self, name: str, values: Mapping[str, object]) -> None:
        self.name = name
        self.values = values

    def at(self, key: str) -> str:
        return f"{self.name}.{clean(key, 80)}" if self.name else clean(key, 80)

    def only(self, known: Iterable[str]) -> None:
        for key in self.values:
            if key not in known:
                raise BadSettings(
                    f"{self.at(key)}: no such setting; known here are {', '.join(sorted(known))}"
                )

    def table(self, key: str) -> Table:
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise BadSettings(f"{self.at(key)}: {shown(value)} is not a table; write [{self.at(key)}]")
        return Table(self.at(key), value)

    def optional(self, key: str) -> str | None:
        value = self.values.get(key)
        if value is not None and (not isinstance(value, str) or not value or clean(value) != value):
            raise BadSettings(f"{self.at(key)}: {shown(value)} is not plain text; write it in quotes")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self.optional(key)
        if value is None and default is None:
            raise BadSettings(f"{self.at(key)}: missing; set it in the config file")
        return value or default or ""

    def texts(self) -> dict[str, str]:
        return {key: self.text(key) for key in self.values}

    def names(self, key: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        value = self.values.get(key, default)
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise BadSettings(f'{self.at(key)}: {shown(value)} is not a list; write ["NAME", …]')
        for item in value:
            if not isinstance(item, str) or not item or clean(item) != item:
                raise BadSettings(f"{self.at(key)}: {shown(item)} is not a name; write it in quotes")
        if len(set(value)) != len(value):
            raise BadSettings(f"{self.at(key)}: a name stands there twice; name each once")
        return tuple(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise BadSettings(f"{self.at(key)}: {shown(value)} is neither true nor false; write one of them")
        return value

    def number(self, key: str, default: float, whole: bool = False) -> float:
        value = self.values.get(key, default)
        kinds = (int,) if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= _MOST:
            kind = "whole number" if whole else "number"
            raise BadSettings(f"{self.at(key)}: {shown(value)} is not a {kind} above 0 and up to {_MOST:,}")
        return value


def shown(value: object) -> str:
    return clean(repr(value), 60)


def read_toml(path: Path, name: str) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        raise BadSettings(
            f"{name}: no file at {path}; `cockpit demo` makes one, or name yours with --config FILE"
        ) from None
    except OSError as error:
        raise BadSettings(f"{name}: cannot read {path}: {error.strerror}; make it readable for you") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadSettings(f"{name}: {path} is not TOML: {clean(str(error), 200)}; mend that line") from None
