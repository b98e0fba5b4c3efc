"""A style sheet that is parsed again only where its variables changed."""

from __future__ import annotations

from textual.css.stylesheet import Stylesheet


class SteadySheet(Stylesheet):
    """Textual clears and parses the whole sheet for every new screen, and twice more before the first frame.
    Only a theme changes variables; sources that were added meanwhile are parsed at the next look anyway."""

    def __init__(self, *, variables: dict[str, str]) -> None:
        super().__init__(variables=variables)
        self._stands_for = dict(variables)
        self._overdue = False

    def set_variables(self, variables: dict[str, str]) -> None:
        if variables != self._stands_for:
            self._stands_for, self._overdue = dict(variables), True
            super().set_variables(variables)

    def reparse(self) -> None:
        if self._overdue:
            self._overdue = False
            super().reparse()
