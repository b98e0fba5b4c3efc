"""Redis users that a server lost: whose passwords are still at hand, and what to do about the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from cockpit.config import Settings
from cockpit.domain.permissions import Role, Service

_OWNER = "owner"


def known_passwords(settings: Settings, services: Iterable[str]) -> dict[str, str | None]:
    """Redis passwords by login: of these services, of the settings' logins, and of those whose credentials
    lie where `admin add-operator` left them. An address of the environment is the owner's, nobody else's."""
    own = replace(settings, overrides={})
    files = (path.stem for path in (settings.path.parent / "credentials").glob("*.toml"))
    names = {*services, *settings.logins, *files} - {_OWNER}
    found = {}
    for name in sorted(names):
        password = urlsplit(own.credentials(name).redis_url).password
        found[name] = unquote(password) if password else None
    return found


def how_to_mend(name: str, kind: Role | Service) -> str:
    """One line on a login that Redis has lost and whose password is not here."""
    lost = f"Redis has lost the login {name}, and its password is not here"
    if isinstance(kind, Service):
        return f"{lost}: run `cockpit init` with settings that hold [logins.{name}] and its redis_url"
    return (
        f"{lost}: run `cockpit admin add-operator {name} --role {kind.value} --person … --public-key …` with "
        "the person and key that it has; that gives it a new password"
    )
