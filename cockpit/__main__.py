"""`python -m cockpit` and the `cockpit` script."""

from __future__ import annotations

import sys

from cockpit.cli import main

if __name__ == "__main__":
    sys.exit(main())
