"""From the arguments to the exit code: find the command, run it, and say in one line what went wrong."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from cockpit.cli.answers import Answer, UsageFault, emit, failure, of_refusal, of_usage
from cockpit.cli.arguments import HelpWanted, Invocation, parse, wants_json
from cockpit.config import BadSettings
from cockpit.domain.breakers import InvalidBreakerId, UnknownBreaker
from cockpit.domain.reasons import BadReason
from cockpit.domain.refusals import EXIT_DONE, EXIT_INTERNAL, Refused
from cockpit.domain.text import BadNotes

EXIT_INTERRUPTED: Final = 130  # by the shell's convention: 128 + SIGINT


def run(argv: Sequence[str] | None) -> int:
    """Run one command line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = wants_json(arguments)
    try:
        invocation = parse(arguments)
    except HelpWanted as wanted:
        print(wanted.text, end="")
        return EXIT_DONE
    except UsageFault as fault:
        return _emit(of_usage(_changes(arguments), None, str(fault)), as_json)
    return _emit(_answer(invocation), as_json)


def _answer(invocation: Invocation) -> Answer | int:
    changes, breaker_id = invocation.command.changes, getattr(invocation.options, "id", None)
    try:
        module, _, function = invocation.command.run.partition(":")
        return import_module(f"cockpit.cli.{module}").__dict__[function](invocation.options)  # type: ignore[no-any-return]
    except _bad_input() as fault:
        return of_usage(changes, breaker_id, str(fault))
    except Refused as refused:
        return of_refusal(changes, breaker_id, refused.refusal)
    except KeyboardInterrupt:
        return failure(
            changes,
            breaker_id,
            "Interrupted, outcome unknown. Check `cockpit status`; an undelivered trip is in the spool.",
            EXIT_INTERRUPTED,
            "interrupted",
        )
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - a person gets one line, the log has the rest
        message = (
            f"Internal error ({type(error).__name__}); {_log(error)}. runbooks/emergency_trip.py halts too."
        )
        return failure(changes, breaker_id, message, EXIT_INTERNAL, "internal")


def _bad_input() -> tuple[type[Exception], ...]:
    """What says that the input was wrong. Asked for once something was raised: its modules load slowly."""
    from cockpit.domain.adjustments import BadAdjustment
    from cockpit.domain.breakers import UnknownInstrument
    from cockpit.domain.checklist import BadChecked
    from cockpit.domain.silences import BadSilence

    return (
        UsageFault,
        BadSettings,
        BadNotes,
        BadReason,
        BadChecked,
        BadAdjustment,
        BadSilence,
        InvalidBreakerId,
        UnknownBreaker,
        UnknownInstrument,
    )


def _emit(answer: Answer | int, as_json: bool) -> int:
    """Long-running commands print for themselves and give their exit code."""
    if isinstance(answer, int):
        return answer
    try:
        return emit(answer, as_json)
    except BrokenPipeError:  # the reader went away; what was done is done
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return answer.exit_code


def _changes(arguments: Sequence[str]) -> bool:
    """Whether the command that could not be parsed is one of those that print an outcome."""
    from cockpit.cli.arguments import COMMANDS

    return any(
        spec.changes and all(word in arguments for word in words.split()) for words, spec in COMMANDS.items()
    )


def log_path(env: Mapping[str, str]) -> Path:
    """Where tracebacks go: `$XDG_STATE_HOME/cockpit/cockpit.log`."""
    state = env.get("XDG_STATE_HOME") or ""
    base = (
        Path(state) if state.startswith("/") else Path(env.get("HOME") or "/").expanduser() / ".local/state"
    )
    return base / "cockpit" / "cockpit.log"


def _log(error: Exception) -> str:
    """Append the traceback, which holds no local variables (I27), to the log; say where it is."""
    import traceback
    from datetime import UTC, datetime

    from cockpit.domain.text import clean_lines

    path = log_path(os.environ)
    text = clean_lines("".join(traceback.format_exception(error)))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{datetime.now(UTC).isoformat()}\n{text}\n")
    except OSError as unwritable:
        return f"the log {path} cannot be written: {unwritable.strerror}"
    return f"its traceback is in {path}"
