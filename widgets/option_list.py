"""A short list to pick from: each option on its digit; that or Enter takes one and goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final, TypeAlias

from textual.binding import Binding, BindingType

from cockpit.domain.text import clean
from widgets.incident_options import Option
from widgets.line import Line, cut, fit
from widgets.row_list import RowList

DIGITS: Final = "123456789"
Take: TypeAlias = Callable[[str, bool], None]
"""Called at once with the option that was chosen, and whether the next field is wanted: a message would come
after the next key, which then would choose again."""


class OptionList(RowList):
    """Options by key. What is taken is marked ●; the cursor alone takes nothing, so that an option that
    comes or goes meanwhile changes no choice."""

    KEEPS_CURSOR = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j,J", "step(1)", show=False),
        Binding("up,k,K", "step(-1)", show=False),
        Binding("enter", "take", show=False),
        Binding("space", "mark", show=False),
        *(Binding(key, f"digit({index})", show=False) for index, key in enumerate(DIGITS)),
    ]

    def __init__(self, take: Take, *, id: str, empty: str = "", names: int = 12) -> None:
        super().__init__(id=id, empty=empty)
        self._take = take
        self._names = names
        self._options: Mapping[str, Option] = {}
        self.taken = ""

    def offer(self, options: Sequence[Option], taken: str) -> None:
        """Show these; `taken` is the one that is chosen, empty: none."""
        self._options = {each.key: each for each in options}
        self.taken = taken
        self.rows(tuple(self._options), self._line)

    def action_step(self, by: int) -> None:
        self.move(by)

    def action_take(self) -> None:
        self._tell(go_on=True)

    def action_mark(self) -> None:
        self._tell(go_on=False)

    def action_digit(self, index: int) -> None:
        if index < len(self.keys):
            self.select(self.keys[index])
            self._tell(go_on=True)

    def _tell(self, go_on: bool) -> None:
        if self.key is not None:
            self._take(self.key, go_on)

    def _line(self, key: str, cells: int) -> Line:
        option = self._options[key]
        index = self.keys.index(key) if key in self.keys else len(DIGITS)
        digit = DIGITS[index] if index < len(DIGITS) else " "
        chosen = key == self.taken
        name = fit(clean(option.name, 60), self._names)
        line: Line = (
            (f"{digit} ", "key"),
            (f"{'●' if chosen else ' '} {name} ", "strong" if chosen else ""),
            (clean(option.words, 200), "dim"),
        )
        return cut(line, cells)
