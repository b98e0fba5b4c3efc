"""Breaker names and their hierarchy, and the names of switches.

`global` ⊃ `component:<name>` ⊃ `instrument:<symbol>`, `strategy:<name>`.

A **switch** is halted like a breaker, by INCR of its trip counter, and reads halted on any doubt; it has no
probes: the authority releases it (OPEN → CLOSED) on a signed request. Each instrument has four:
`cancel_only:<symbol>`, `soft_halt:<symbol>`, `hard_halt:<symbol>` (its mode, see `modes`) and
`latch:<symbol>`, which a reconciliation breach sets. `withdrawals` is one for the platform. A switch stands
under nothing and above nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NewType

from cockpit.domain.text import clean

BreakerId = NewType("BreakerId", str)

GLOBAL: Final = BreakerId("global")
EXECUTION: Final = BreakerId("component:execution")
WITHDRAWALS: Final = BreakerId("withdrawals")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class Scope(StrEnum):
    GLOBAL = "global"
    COMPONENT = "component"
    INSTRUMENT = "instrument"
    STRATEGY = "strategy"
    CANCEL_ONLY = "cancel_only"
    SOFT_HALT = "soft_halt"
    HARD_HALT = "hard_halt"
    LATCH = "latch"
    WITHDRAWALS = "withdrawals"

    @property
    def switch(self) -> bool:
        """Whether what is named so is a switch and no breaker."""
        return self in _SWITCHES


_SWITCHES: Final = frozenset(
    {Scope.CANCEL_ONLY, Scope.SOFT_HALT, Scope.HARD_HALT, Scope.LATCH, Scope.WITHDRAWALS}
)
OF_A_SYMBOL: Final = (Scope.CANCEL_ONLY, Scope.SOFT_HALT, Scope.HARD_HALT, Scope.LATCH)
"""The switches of each instrument, in the order in which they are shown and stored."""
_STRICTEST_FIRST: Final = (Scope.HARD_HALT, Scope.SOFT_HALT, Scope.CANCEL_ONLY, Scope.LATCH)
_MOST_NAMED: Final = 8
_MOST_NEAR: Final = 3
_ALIKE: Final = 0.7  # XYZ-USD is no BTC-USD
_UNNAMED: Final = (Scope.GLOBAL, Scope.WITHDRAWALS)


class InvalidBreakerId(ValueError):
    """Not the name of a breaker; the message says what would be right."""


class UnknownBreaker(LookupError):
    """A well-formed name that the catalogue does not hold."""

    def __init__(self, breaker_id: str, known: Iterable[str]) -> None:
        found = near(breaker_id, known)
        hint = f"did you mean {found}?" if found else "`cockpit status` lists the breakers"
        super().__init__(f"unknown breaker {breaker_id!r}; {hint}")


class UnknownInstrument(LookupError):
    """No instrument of the catalogue; the message names the field `symbol`."""

    def __init__(self, symbol: str, known: Iterable[str]) -> None:
        known = tuple(known)
        listed = f"the catalogue has {', '.join(known[:_MOST_NAMED])}" if known else "the catalogue has none"
        more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
        found = near(symbol, known)
        hint = f"did you mean {found}?" if found else f"{listed}{more}"
        super().__init__(f"symbol: there is no instrument {clean(symbol, 64)!r}; {hint}")


def near(text: str, known: Iterable[str]) -> str:
    """The known names that are most like what was written, three at most: `a or b`; "" where none is."""
    from difflib import get_close_matches  # only where somebody has mistyped

    names, part = sorted(known), text.rpartition(":")[2].lower()
    own = [name.rpartition(":")[2].lower() for name in names]
    found = [name for name in names if part and part in name.lower()]
    for alike in get_close_matches(part, own, _MOST_NEAR, _ALIKE):
        found += [name for name, each in zip(names, own, strict=True) if each == alike]
    return " or ".join([*dict.fromkeys(found)][:_MOST_NEAR])


def parse_breaker_id(text: str) -> BreakerId:
    """Check the form of a breaker's name.

    Raises:
        InvalidBreakerId: `text` is neither `global` nor `component:…`, `instrument:…`, `strategy:…`
            with a name of 1 to 64 letters, digits, `.`, `_` or `-`, nor a switch's name.
    """
    if text in (GLOBAL, WITHDRAWALS):
        return BreakerId(text)
    scope, _, name = text.partition(":")
    if scope not in tuple(Scope) or scope in _UNNAMED or not _NAME.fullmatch(name):
        raise InvalidBreakerId(
            f"breaker {text[:80]!r} is not a breaker's name; write global, component:NAME, "
            "instrument:SYMBOL or strategy:NAME"
        )
    return BreakerId(text)


def scope_of(breaker_id: BreakerId) -> Scope:
    return Scope(breaker_id.partition(":")[0])


def is_switch(breaker_id: BreakerId) -> bool:
    return scope_of(breaker_id).switch


def switch_of(scope: Scope, symbol: str) -> BreakerId:
    """The name of an instrument's switch, e.g. `latch:BTC-USD`."""
    return BreakerId(f"{scope.value}:{symbol}")


def symbol_of(breaker_id: BreakerId) -> str:
    """What stands after the colon: an instrument's or its switch's symbol; "" for `global`."""
    return breaker_id.partition(":")[2]


class Catalogue:
    """The breakers of one platform and who stands above whom, and its switches.

    `parents` maps each breaker but `global` to its parent. `ids` are the breakers in display order (global,
    then each component followed by what it contains), `switches` those of each instrument and `withdrawals`,
    `everything` both: what has a trip counter and a document.

    Raises:
        InvalidBreakerId: a name is malformed, a parent is missing, or a parent may not contain its child.
    """

    def __init__(self, parents: Mapping[str, str]) -> None:
        checked = {parse_breaker_id(child): parse_breaker_id(parent) for child, parent in parents.items()}
        for child, parent in checked.items():
            _check_parent(child, parent, checked)
        self._parents = checked
        self._children: dict[BreakerId, tuple[BreakerId, ...]] = {}
        for child, parent in checked.items():
            self._children[parent] = (*self._children.get(parent, ()), child)
        self._ancestors = {name: self._walk_up(name) for name in (GLOBAL, *checked)}
        self.ids: tuple[BreakerId, ...] = (GLOBAL, *self.descendants(GLOBAL))
        self._switches = {
            name: tuple(switch_of(scope, symbol_of(name)) for scope in _STRICTEST_FIRST)
            for name in self.ids
            if scope_of(name) is Scope.INSTRUMENT
        }
        self.switches: tuple[BreakerId, ...] = (
            WITHDRAWALS,
            *(switch_of(scope, symbol_of(name)) for name in self._switches for scope in OF_A_SYMBOL),
        )
        self._ancestors |= dict.fromkeys(self.switches, ())
        self.everything: tuple[BreakerId, ...] = (*self.ids, *self.switches)

    @classmethod
    def build(
        cls,
        components: Iterable[str],
        instruments: Iterable[str],
        strategies: Iterable[str],
        parents: Mapping[str, str] | None = None,
    ) -> Catalogue:
        """A catalogue from plain names; instruments and strategies stand under `component:execution`
        unless `parents` (full names) says otherwise."""
        tree: dict[str, str] = {f"component:{name}": GLOBAL for name in components}
        tree |= {f"instrument:{name}": EXECUTION for name in instruments}
        tree |= {f"strategy:{name}": EXECUTION for name in strategies}
        unknown = sorted(set(parents or {}) - set(tree))
        if unknown:
            raise InvalidBreakerId(f"parents names {unknown[0]!r}, which is not in the catalogue")
        return cls(tree | dict(parents or {}))

    def __contains__(self, breaker_id: object) -> bool:
        return breaker_id in self._ancestors

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def parents(self) -> Mapping[BreakerId, BreakerId]:
        return self._parents

    def known(self, text: str) -> BreakerId:
        """Parse a name and find it here.

        Raises:
            InvalidBreakerId: malformed.
            UnknownBreaker: not in this catalogue.
        """
        breaker_id = parse_breaker_id(text)
        if breaker_id not in self._ancestors:
            raise UnknownBreaker(text, self.ids)
        return breaker_id

    def known_breaker(self, text: str) -> BreakerId:
        """`known`, of a breaker only.

        Raises:
            InvalidBreakerId: malformed, or a switch.
            UnknownBreaker: not in this catalogue.
        """
        breaker_id = self.known(text)
        if is_switch(breaker_id):
            raise InvalidBreakerId(f"{breaker_id} is a switch and no breaker; `cockpit switches` shows it")
        return breaker_id

    def instrument(self, symbol: str) -> BreakerId:
        """The breaker of an instrument.

        Raises:
            UnknownInstrument: not in this catalogue.
        """
        name = switch_of(Scope.INSTRUMENT, symbol)
        if name not in self._switches:
            raise UnknownInstrument(symbol, (symbol_of(each) for each in self._switches))
        return name

    def ancestors(self, breaker_id: BreakerId) -> tuple[BreakerId, ...]:
        """From the parent up to `global`; empty for `global`."""
        return self._ancestors[breaker_id]

    def switches_of(self, breaker_id: BreakerId) -> tuple[BreakerId, ...]:
        """Those of an instrument, the strictest first; of any other breaker none."""
        return self._switches.get(breaker_id, ())

    def descendants(self, breaker_id: BreakerId) -> tuple[BreakerId, ...]:
        """All that a trip of `breaker_id` halts besides itself, in display order."""
        found: list[BreakerId] = []
        for child in self._children.get(breaker_id, ()):
            found += (child, *self.descendants(child))
        return tuple(found)

    def _walk_up(self, breaker_id: BreakerId) -> tuple[BreakerId, ...]:
        chain: list[BreakerId] = []
        while breaker_id in self._parents:
            breaker_id = self._parents[breaker_id]
            chain.append(breaker_id)
        return tuple(chain)


def _check_parent(child: BreakerId, parent: BreakerId, known: Mapping[BreakerId, BreakerId]) -> None:
    for name in (child, parent):
        if is_switch(name):
            raise InvalidBreakerId(f"{name} is a switch and stands in no hierarchy")
    if child == GLOBAL:
        raise InvalidBreakerId("global has no parent")
    if parent != GLOBAL and parent not in known:
        raise InvalidBreakerId(f"parent {parent!r} of {child!r} is not in the catalogue")
    if scope_of(child) is Scope.COMPONENT and parent != GLOBAL:
        raise InvalidBreakerId(f"component {child!r} stands under global, not under {parent!r}")
    if scope_of(child) is not Scope.COMPONENT and scope_of(parent) is not Scope.COMPONENT:
        raise InvalidBreakerId(f"{child!r} stands under a component, not under {parent!r}")
