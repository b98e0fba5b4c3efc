"""Keys and pastes in the order in which they were typed, and none of them where it was not meant."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from textual import events
from textual.screen import Screen
from textual.widgets import Input
from typing_extensions import TypeIs

from cockpit.screens.panel import Panel

if TYPE_CHECKING:
    from textual.app import App
    from textual.widget import Widget

    from widgets.dialog import Dialog

    Shell = App[int]
else:  # plain classes until `CockpitApp` is made of them: each Textual class costs a millisecond at the start
    Shell = object

REPEATED_S = 0.5
SETTLES_S = 1.0
BURST_S = 0.8
"""What is typed on after a refused key, with no longer pause than this, was meant for its dialog."""
_OF_TEXT = ("enter", "tab", "shift+tab", "backspace")


def is_dialog(screen: Screen[Any]) -> TypeIs[Dialog[Any]]:
    """Whether the screen is a dialog. Before one was opened their module may not be loaded, or only in part:
    a thread loads it."""
    dialog = getattr(sys.modules.get("widgets.dialog"), "Dialog", None)
    return dialog is not None and isinstance(screen, dialog)


class TypedAhead(Shell):
    """Looks at each key when what the one before it did is done."""

    def __init__(self) -> None:
        super().__init__()
        self._typed_ahead: list[events.Key | events.Paste] = []
        self._settles_until = 0.0
        self._panel_key: events.Key | None = None
        self._opening = True
        self._key_at = float("-inf")
        self._refused = ""
        self._refusals = 0
        self._refused_until = float("-inf")
        self._not_taken = ""

    # What the shell provides.
    def tell(self, text: str, style: str = "", until_next_key: bool = False) -> None:
        raise NotImplementedError

    def forget_refusal(self) -> None:
        raise NotImplementedError

    def refuse(self, text: str) -> None:
        """Tell why a key opens no dialog. What is typed on in the same burst was meant for that dialog: it
        means nothing here, until a pause, Esc or a key with ctrl."""
        self.tell(text, "warn", until_next_key=True)
        self._refusals += 1
        self._drop_burst(text)

    def _drop_burst(self, why: str) -> None:
        self._refused, self._not_taken = why, ""
        self._refused_until = self._key_at + BURST_S

    async def on_event(self, event: events.Event) -> None:
        """Keys in the order in which they were typed: a key that opens a dialog has opened it before the next
        is looked at, one that leaves a field has left it, and what is typed until then, or until the stores
        are open, is kept."""
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            self._typed_ahead.append(event)
            await self._look()
            return
        if isinstance(event, events.MouseDown | events.MouseScrollDown | events.MouseScrollUp):
            self.forget_refusal()
        await super().on_event(event)

    async def _look(self) -> None:
        """Look at the keys that wait, the oldest first, until one must be waited for."""
        while self._typed_ahead and not self._waits():
            await self._look_at(self._typed_ahead.pop(0))

    def _waits(self) -> bool:
        return self._opening or self._waits_for_dialog() or time.monotonic() < self._settles_until

    async def _look_at(self, event: events.Key | events.Paste) -> None:
        self._key_at = event.time
        if self._drops(event):
            return
        screen, focused = self.screen, self.focused
        taken = not isinstance(focused, Input) and await self._took(event)
        if not taken:
            await super().on_event(event)
        is_text = isinstance(event, events.Paste) or bool(event.is_printable and event.character)
        if focused is not None and (not is_text if isinstance(focused, Input) else is_dialog(screen)):
            await self._settle(focused)

    def _drops(self, event: events.Key | events.Paste) -> bool:
        """Whether this was typed into a dialog that was refused; it is told, and ends here."""
        if event.time >= self._refused_until or is_dialog(self.screen) or isinstance(self.focused, Input):
            self._refused_until = float("-inf")
            return False
        if isinstance(event, events.Paste):
            text = event.text
        elif event.is_printable and event.character:
            text = event.character
        elif event.key in _OF_TEXT:
            text = " "
        else:
            if event.key == "escape" or event.key.startswith("ctrl+"):
                self._refused_until = float("-inf")
            return False
        from cockpit.domain.text import clean

        self._refused_until = event.time + BURST_S
        self._not_taken = (self._not_taken + text)[:200]
        told = f"not taken: {clean(self._not_taken, 40)} · {self._refused}"
        self.tell(told, "warn", until_next_key=True)
        return True

    async def _settle(self, focused: Widget) -> None:
        """Wait until a key that is no text has done all that it does. A field takes it in its own time, after
        the text before it, and hands it up to the app; and what comes of it (Enter submits, a button is
        pressed) goes up once more. A field that never answers does not keep the keyboard."""
        way = [*(each for each in focused.ancestors_with_self if each is not self), self] * 2
        until = self._settles_until = time.monotonic() + SETTLES_S

        async def up(index: int) -> None:
            if index == len(way):
                if self._settles_until == until:
                    self._settles_until = 0.0
                await self._look()
            elif not way[index].call_later(up, index + 1):  # it is gone, and nothing comes of it any more
                self.call_later(up, index + 1)

        await up(0)

    async def _took(self, event: events.Key | events.Paste) -> bool:
        screen = self.screen
        if isinstance(event, events.Paste):
            lines = event.text.splitlines()
            return is_dialog(screen) and bool(lines) and screen.write(lines[0])
        if is_dialog(screen):
            if self._repeats_opening(event) or screen.takes(event):
                return True
            if event.key == "space":  # it may leave the dialog: what is typed on was meant for that
                self._drop_burst("the dialog was left")
            return await self._bound(event.key)
        if not isinstance(screen, Panel):
            return False
        self._panel_key, before = event, self._refusals
        if await self._bound(event.key):
            if self._refusals == before:
                self.forget_refusal()
            return True
        if not event.character or not event.character.isalpha():
            return False
        self.refuse(f"{event.character} is no key of this panel; ? lists them")
        return True

    async def _bound(self, key: str) -> bool:
        return await self._check_bindings(key, priority=True) or await self._check_bindings(key)

    def _repeats_opening(self, event: events.Key) -> bool:
        """Whether this is the key that opened the dialog, pressed twice or held: no text for its fields."""
        opening, self._panel_key = self._panel_key, None
        if opening is None or not event.is_printable or event.key != opening.key:
            return False
        repeated = event.time - opening.time < REPEATED_S
        self._panel_key = event if repeated else None
        return repeated

    def _waits_for_dialog(self) -> bool:
        screen = self.screen
        return is_dialog(screen) and not screen.ready

    def take_keys(self) -> None:
        """The stores are open, or cannot be: the keys that waited for them are looked at now."""
        self._opening = False
        self.call_later(self._look)

    async def on_dialog_ready(self) -> None:
        await self._look()
