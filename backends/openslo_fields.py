"""Reading an objective's YAML field by field, so that whatever is wrong in it is named with file and line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from backends.yaml_tree import Items, Node, Scalar, Table, word
from cockpit.domain.text import clean

MAX_DESCRIPTION: Final = 1_050  # OpenSLO's
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER: Final = re.compile(r"[-+]?(0|[1-9]\d{0,17})(\.\d{1,18})?([eE][-+]?\d{1,2})?", re.ASCII)
_DURATION: Final = re.compile(r"([1-9]\d{0,7})([smhdw])", re.ASCII)
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class BadObjective(ValueError):
    """An objective that cannot be used; one line for people: `file:line: field: fault; what would be right`.

    `line` is 0 where the fault is the folder's or the file's as a whole.
    """

    def __init__(self, file: str, line: int, why: str) -> None:
        self.file, self.line, self.why = clean(file, 500), line, clean(why, 600)
        super().__init__(f"{self.file}:{line}: {self.why}" if line else f"{self.file}: {self.why}")


class Fields:
    """One mapping of a file; knows the file, and where in it it stands."""

    def __init__(self, file: str, path: str, table: Table) -> None:
        self.file, self.path, self._table = file, path, table

    @property
    def line(self) -> int:
        return self._table.line

    def __contains__(self, key: str) -> bool:
        return key in self._table.values

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self._table.values)

    def at(self, key: str) -> str:
        """The field as a fault names it; a key that the file brought is said again only if it is a word."""
        return f"{self.path}.{word(key) if key in self else key}".lstrip(".")

    def fault(self, key: str, why: str) -> BadObjective:
        """The fault of the field `key`, or of this mapping where it has none of that name."""
        line = self._table.lines.get(key, self.line)
        return BadObjective(self.file, line, f"{self.at(key)}: {why}" if self.at(key) else why)

    def only(self, known: Iterable[str], hints: Mapping[str, str] | None = None) -> None:
        for key in self._table.values:
            if key not in known:
                hint = (hints or {}).get(key) or f"known here are {', '.join(known)}"
                raise self.fault(key, f"no such field; {hint}")

    def optional(self, key: str, limit: int = 200) -> str:
        """A text, "" where there is none."""
        if key not in self:
            return ""
        node = self._scalar(key, "text")
        if node.tag != "str":
            raise self.fault(key, f"{shown(node)} is no text; write it in quotes")
        if len(node.text) > limit:
            raise self.fault(key, f"{len(node.text):,} characters; at most {limit:,} are taken")
        text = " ".join(clean(node.text, limit).split())
        if not text:
            raise self.fault(key, "is empty; write something, or leave it out")
        return text

    def text(self, key: str, right: str, limit: int = 200) -> str:
        """A text that must be there; `right` says what would be right."""
        text = self.optional(key, limit)
        if not text:
            raise self.missing(key, right)
        return text

    def raw(self, key: str, right: str) -> str:
        """A text as it stands, line breaks included: for what is parsed further."""
        self.text(key, right, limit=4_000)
        return self._scalar(key, right).text

    def name(self, key: str = "name") -> str:
        text = self.text(key, "give it one, such as order-success")
        if not _NAME.fullmatch(text):
            raise self.fault(
                key,
                f"{clean(text, 80)!r} is no name; write 1 to 63 lower-case letters, digits and -, "
                "with a letter or digit at both ends",
            )
        return text

    def choice(self, key: str, among: Iterable[str]) -> str:
        right = " or ".join(among)
        text = self.text(key, f"write {right}")
        if text not in among:
            raise self.fault(key, f"{clean(text, 60)!r} is not known here; write {right}")
        return text

    def flag(self, key: str, right: str) -> bool:
        node = self._scalar(key, right)
        if node.tag != "bool" or node.text.lower() not in ("true", "false"):
            raise self.fault(key, f"{shown(node)} is neither true nor false; {right}")
        return node.text.lower() == "true"

    def number(self, key: str, right: str) -> Decimal:
        """A finite decimal number, exactly as it is written."""
        node = self._scalar(key, right)
        if node.tag not in ("int", "float", "str") or not _NUMBER.fullmatch(node.text):
            raise self.fault(key, f"{shown(node)} is no finite decimal number; {right}")
        if node.tag == "str" and not re.search("[eE]", node.text):  # YAML 1.1 takes 1e3 for a text
            raise self.fault(key, f"{shown(node)} is a text; write the number without quotes")
        return Decimal(node.text)

    def duration_s(self, key: str, right: str, units: str = "mhdw") -> int:
        """Seconds of a duration in OpenSLO's shorthand (`30d`). Months, quarters and years differ in length,
        so that a rolling window cannot have them."""
        text = self.text(key, right)
        match = _DURATION.fullmatch(text)
        if match is None or match[2] not in units:
            raise self.fault(
                key, f"{clean(text, 40)!r} is no duration in whole {', '.join(units)} (as in 30d); {right}"
            )
        return int(match[1]) * _UNITS[match[2]]

    def tag(self, key: str) -> str:
        """What YAML takes the field for: `int`, `str`, `map`…; "" where it is not there."""
        node = self._table.values.get(key)
        return node.tag if isinstance(node, Scalar) else "" if node is None else "map"

    def fields(self, key: str, right: str) -> Fields:
        node = self._node(key, right)
        if not isinstance(node, Table):
            raise self.fault(key, f"{shown(node)} is no mapping; {right}")
        return Fields(self.file, self.at(key), node)

    def single(self, key: str, right: str) -> Fields:
        """The one mapping in a list that OpenSLO gives as a list."""
        node = self._node(key, right)
        if not isinstance(node, Items) or len(node.values) != 1:
            held = f"holds {len(node.values)} entries" if isinstance(node, Items) else "is no list"
            raise self.fault(key, f"{held}; {right}")
        only = node.values[0]
        if not isinstance(only, Table):
            raise BadObjective(
                self.file, only.line, f"{self.at(key)}[0]: {shown(only)} is no mapping; {right}"
            )
        return Fields(self.file, f"{self.at(key)}[0]", only)

    def exactly_one(self, keys: tuple[str, ...], right: str) -> str:
        """Which of `keys` is there."""
        found = [key for key in self.keys if key in keys]
        if len(found) == 1:
            return found[0]
        if found:
            raise self.fault(found[1], f"stands beside {found[0]}; {right}")
        raise self.missing(" or ".join(keys), right)

    def missing(self, key: str, right: str) -> BadObjective:
        return self.fault(key, f"is missing; {right}")

    def _node(self, key: str, right: str) -> Node:
        node = self._table.values.get(key)
        if node is None:
            raise self.missing(key, right)
        return node

    def _scalar(self, key: str, right: str) -> Scalar:
        node = self._node(key, right)
        if not isinstance(node, Scalar):
            raise self.fault(key, f"{shown(node)} stands where one value belongs; {right}")
        return node


def shown(node: Node) -> str:
    match node:
        case Scalar(text=text):
            return repr(clean(text, 60)) if text else "nothing"
        case Table():
            return "a mapping"
        case Items():
            return "a list"
