"""Colours. Every state also has a symbol and a word, so no theme is needed to read the screen."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from textual.theme import Theme

STYLE_SHEET: Final = Path(__file__).with_name("cockpit.tcss")

DARK: Final = Theme(
    name="cockpit-dark",
    primary="#7aa2f7",
    secondary="#9ece6a",
    accent="#7dcfff",
    foreground="#d5d9e5",
    background="#14161b",
    surface="#1b1e25",
    panel="#232730",
    success="#7fc98a",
    warning="#e5b567",
    error="#f0616d",
    dark=True,
    variables={
        "trading": "#7fc98a",
        "halted": "#ff6b77",
        "probing": "#f0a35e",
        "limited": "#e5d067",
        "unknown": "#c7a0f2",
        "quiet": "#8d93a5",
        "key": "#7dcfff",
        "good-band": "#1f3d2b",
        "bad-band": "#8f1d2a",
        "warn-band": "#5c4313",
        "unknown-band": "#46336b",
        "band-text": "#ffffff",
        "cursor-band": "#2f3a56",
        "input-cursor-background": "#d5d9e5",
    },
)
LIGHT: Final = Theme(
    name="cockpit-light",
    primary="#2f5ea8",
    secondary="#3f7d3b",
    accent="#00639c",
    foreground="#1c1f26",
    background="#fbfbfa",
    surface="#f0f0ee",
    panel="#e4e5e4",
    success="#1f7a3a",
    warning="#8a5a00",
    error="#b3202e",
    dark=False,
    variables={
        "trading": "#1f7a3a",
        "halted": "#b3202e",
        "probing": "#a04d00",
        "limited": "#7a6400",
        "unknown": "#6b3fa0",
        "quiet": "#5f6570",
        "key": "#00639c",
        "good-band": "#cfead6",
        "bad-band": "#b3202e",
        "warn-band": "#ffe2a8",
        "unknown-band": "#e3d4f7",
        "band-text": "#101010",
        "cursor-band": "#cfdcf2",
    },
)
THEMES: Final = (DARK, LIGHT)
