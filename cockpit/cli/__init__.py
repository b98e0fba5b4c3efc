"""The command line: `cockpit COMMAND`, and what each command may exit with.

Nothing heavy is imported before a command needs it; `cockpit trip` has a bound on its start (`make bench`).
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Prints; raises nothing but SystemExit of the interpreter."""
    from cockpit.cli.run import run

    return run(argv)
