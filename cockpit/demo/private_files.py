"""Files that only we can read, and folders handed over to the user that a server runs as."""

from __future__ import annotations

import os
from pathlib import Path

from cockpit.demo.launch import Account


def open_private(path: Path) -> int:
    """A descriptor for reading and writing; close-on-exec, made if missing, never through a link."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def make_folder(path: Path) -> None:
    """Make a folder of our own where it is missing. Nobody else can list it.

    Made by root it can be passed, or the unprivileged servers could not reach their data in it.
    """
    if not path.exists():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            path.chmod(0o711)


def write_private(path: Path, text: str) -> None:
    """Replace the file as a whole, readable by us alone."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def give(path: Path, account: Account | None) -> None:
    """Make the account the owner of the path and of everything in it."""
    if account is None:
        return
    os.lchown(path, account.uid, account.gid)
    for folder, folders, files in os.walk(path):  # does not follow links
        for name in [*folders, *files]:
            os.lchown(Path(folder, name), account.uid, account.gid)
