"""What the authority and the operations say, for somebody who sits at the screen: keys for commands."""

from __future__ import annotations

import re
from typing import Final

_ID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_APPROVE: Final = re.compile(rf"`cockpit approve {_ID}` by ([^.]+)\.")
_REVIEW: Final = re.compile(rf"`cockpit kill-switch review {_ID} [^`]*`")


def by_keys(message: str) -> str:
    """The same message, its commands replaced where a key does it here."""
    return _REVIEW.sub("ctrl+k", _APPROVE.sub(r"A approves, on the screen of \1.", message))
