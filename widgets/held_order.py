"""An order of rows that holds still while somebody reads, and says when it is no longer the wanted one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

RESTED_S: Final = 120.0
"""A cursor that has not moved for so long is nobody's who reads: then the rows may be sorted again."""


@dataclass(slots=True)
class HeldOrder:
    """Keys in the order of the last sorting. What comes since stands last, what goes leaves its place."""

    keys: tuple[str, ...] = ()
    sorted_at: datetime | None = None
    touched: float = 0.0
    _due: bool = True

    def touch(self, monotonic: float) -> None:
        """Somebody moved the cursor."""
        self.touched = monotonic

    def sort(self) -> None:
        """Take the wanted order at the next look."""
        self._due = True

    def of(self, wanted: Sequence[str], monotonic: float, now: datetime) -> tuple[str, ...]:
        """The rows' order, where `wanted` is how they should stand by what is known now."""
        if self._due or monotonic - self.touched >= RESTED_S:
            self._due = not wanted
            self.touched = monotonic
            self.sorted_at = now
            self.keys = tuple(wanted)
        else:
            known = set(wanted)
            kept = tuple(key for key in self.keys if key in known)
            held = set(kept)
            self.keys = (*kept, *(key for key in wanted if key not in held))
        return self.keys

    def holds(self, ranks: Mapping[str, float]) -> bool:
        """Whether nothing stands before what has a higher rank; who stands first among equals is no news."""
        found = [ranks[key] for key in self.keys if key in ranks]
        return all(before >= after for before, after in pairwise(found))
