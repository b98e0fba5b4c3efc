"""A key of the screen: its binding, its words in footer, help and README. No key is written twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Key:
    """`keys` as Textual writes them, comma-separated; the first is the one that is shown. `loosens` marks
    what ends in more trading, `tightens` what ends in less."""

    key_id: str
    keys: str
    action: str
    label: str
    help: str
    shown: str = ""
    footer: bool = False
    tightens: bool = False
    loosens: bool = False
    priority: bool = False

    @property
    def display(self) -> str:
        return self.shown or self.keys.split(",")[0]

    def binding(self) -> Binding:
        return Binding(
            self.keys,
            self.action,
            self.label,
            show=False,
            priority=self.priority,
            id=self.key_id,
            key_display=self.display,
        )


def bindings(keys: Iterable[Key]) -> list[Binding]:
    return [key.binding() for key in keys]


CONFIRM: Final = Key(
    "dialog.confirm", "ctrl+s", "confirm", "confirm", "Confirm, from anywhere in a valid form"
)
LEAVE: Final = Key("dialog.leave", "escape", "leave", "leave", "Leave; a draft is kept", shown="esc")
TOGGLE: Final = Key(
    "dialog.toggle", "space", "vouch", "vouch", "Vouch for the item under the cursor", shown="space"
)
DIALOG_KEYS: Final = (CONFIRM, LEAVE, TOGGLE)
