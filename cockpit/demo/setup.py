"""What the demo writes once: keys, logins, settings. And what a later start has to mend: ports that moved."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import tomllib
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg

from backends.postgres_admin import PostgresAdmin
from backends.redis_admin import RedisAdmin
from backends.signing import SigningKey
from cockpit.config import Settings, load_settings
from cockpit.demo import past
from cockpit.demo.market import LISTINGS
from cockpit.demo.private_files import write_private
from cockpit.demo.traders import STRATEGIES
from cockpit.domain.breakers import Catalogue
from cockpit.domain.documents import rfc3339
from cockpit.domain.permissions import Role
from cockpit.operations import administration
from cockpit.operations.administration import Login

HOST: Final = "127.0.0.1"
COMPONENTS: Final = ("execution", "ingest", "risk", "automation")
OPERATORS: Final[Mapping[str, tuple[Role, str]]] = {
    "admin1": (Role.SAFETY_ADMIN, "person-a1"),
    "admin2": (Role.SAFETY_ADMIN, "person-a2"),
    "operator1": (Role.OPERATOR_ACT, "person-o1"),
    "operator2": (Role.OPERATOR_ACT, "person-o2"),
    "automation1": (Role.AUTOMATION_ROLE, "robot-1"),
    "monitor1": (Role.MONITORING_READ, "person-m1"),
}
_SETTINGS: Final = """\
# Written by `cockpit demo` at its first start. Passwords and keys in here are this demo's alone.
profile = "demo"
default_login = "operator1"
evidence_url = {evidence_url}
gateway_url = {gateway_url}
spool_dir = "spool"
metrics_port = {metrics_port}

[catalogue]
components = {components}
instruments = {instruments}
strategies = {strategies}

[limits]
quiet_period_s = 20

[gateways]
names = ["plant"]

# The venue last: a fault that begins during a run's first seconds fails it.
[probes]
default = ["redis-round-trip", "postgres-round-trip", "gateway-health", "paper-order", "latency"]

# The demo begins with a month that nobody measured, and says so beside every budget.
[slos]
simulated_before = "{simulated_before}"

# What the plant's runs leave, and the trading side's log files.
[runs]
results = "results/runs"
audit_logs = "audit_logs"

[guard]
login = "{guard}"

[exporter]
login = "{exporter}"

# Pages arrive at the plant: GET /pages of the gateway shows them.
[paging]
enabled = true
webhook_url = {webhook_url}

[authority_keys]
{key_id} = {public_key}
"""
GUARD: Final = "automation1"
EXPORTER: Final = "monitor1"


async def prepare(folder: Path, redis_url: str, postgres_dsn: str) -> tuple[Settings, str]:
    """Settings of the demo in `folder`, whose servers answer at these owner's addresses, and Redis' run id.

    The first time it makes keys and all logins, then the settings file as the last step: interrupted before
    that, it is simply done again. Later it repeats `init`, which upgrades, and mends ports.
    """
    owner = Login("owner", redis_url, postgres_dsn)
    keys = _keys(folder / "keys")
    path = folder / "config.toml"
    catalogue = Catalogue.build(COMPONENTS, LISTINGS, STRATEGIES)
    held: dict[str, str | None] = {}
    if path.exists():
        _mend_addresses(folder, owner)
        _complete(path)
        before = load_settings(path, env={})
        catalogue = before.catalogue
        held = {name: urlsplit(login.redis_url).password for name, login in before.logins.items()}
    postgres, redis = PostgresAdmin(postgres_dsn), RedisAdmin(redis_url)
    try:
        done = await administration.init(
            postgres,
            redis,
            catalogue,
            owner=owner,
            owner_key=keys["owner"],
            authority_key=keys["authority"],
            known=held,
        )
        if path.exists():
            _add_logins(path, done.services)
        await run_sql(postgres_dsn, "plant.sql")
        if not path.exists():
            simulated_before = await past.write(postgres_dsn)
            logins = [owner, *done.services]
            for name, (role, person) in OPERATORS.items():
                login, _ = await administration.add_operator(
                    postgres,
                    redis,
                    keys["owner"],
                    owner=owner,
                    name=name,
                    role=role,
                    person_id=person,
                    key_id=keys[name].key_id,
                    public_b64=keys[name].public_b64,
                )
                logins.append(login)
            write_private(path, _text(folder, catalogue, keys["authority"], logins, simulated_before))
    finally:
        await asyncio.gather(postgres.close(), redis.close())
    return load_settings(path, env={}), done.run_id


async def run_sql(dsn: str, *names: str) -> None:
    """Run SQL files of this package as the database's owner."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        for name in names:
            await connection.execute(files("cockpit").joinpath("demo", name).read_text("utf-8"))
    finally:
        await connection.close()


def _keys(folder: Path) -> dict[str, SigningKey]:
    folder.mkdir(mode=0o700, exist_ok=True)
    keys = {}
    for name in ("owner", "authority", *OPERATORS):
        path = folder / f"{name}.pem"
        if path.exists():
            keys[name] = SigningKey.load(path)
        else:
            keys[name] = SigningKey.generate()
            keys[name].save(path)
    return keys


def _text(
    folder: Path, catalogue: Catalogue, authority: SigningKey, logins: list[Login], simulated_before: datetime
) -> str:
    def names(scope: str) -> str:
        return json.dumps([n.partition(":")[2] for n in catalogue.ids if n.startswith(f"{scope}:")])

    gateway_url = f"http://{HOST}:{free_port()}"
    head = _SETTINGS.format(
        evidence_url=json.dumps((folder / "evidence").as_uri()),
        gateway_url=json.dumps(gateway_url),
        webhook_url=json.dumps(f"{gateway_url}/pages"),
        metrics_port=free_port(),
        simulated_before=rfc3339(simulated_before),
        guard=GUARD,
        exporter=EXPORTER,
        components=names("component"),
        instruments=names("instrument"),
        strategies=names("strategy"),
        key_id=authority.key_id,
        public_key=json.dumps(authority.public_b64),
    )
    for login in logins:
        key = Path("keys", f"{login.name}.pem")
        held = key if (folder / key).exists() else None
        head += f"\n[logins.{login.name}]\n{administration.credentials_toml(login, held)}"
    return head


def _mend_addresses(folder: Path, owner: Login) -> None:
    """Write the servers' ports of today, and a free one for the gateway, where they differ from the file's.

    Only ports are replaced, in the text as it stands, so that what somebody changed in it stays.
    """
    path = folder / "config.toml"
    before = load_settings(path, env={})
    held = before.logins["owner"]
    gateway = before.gateway_url or ""
    pairs = [(held.redis_url, _port(owner.redis_url)), (held.postgres_dsn, _port(owner.postgres_dsn))]
    if gateway:
        pairs.append((gateway, _port(gateway) if is_free(_port(gateway)) else free_port()))
    ports = {str(_port(url)): str(port) for url, port in pairs if _port(url) != port}
    if not ports:
        return
    for file in [path, *sorted((folder / "credentials").glob("*.toml"))]:
        text = file.read_text("utf-8")
        mended = re.sub(rf"(?<={re.escape(HOST)}:)(\d+)", lambda found: ports.get(found[1], found[1]), text)
        if mended != text:
            write_private(file, mended)


def _complete(path: Path) -> None:
    """Add what an older demo's settings lack: who guard and exporter are, where pages go and where runs leave
    their files, and a port for the metrics; and give the metrics another port where theirs is taken today."""
    text = path.read_text("utf-8")
    held = tomllib.loads(text)
    port = held.get("metrics_port")
    if port is None:
        text = re.sub(r"(?m)^(?!#)", f"metrics_port = {free_port()}\n", text, count=1)
    elif not is_free(port):
        text = re.sub(rf"(?m)^metrics_port *= *{port}\b", f"metrics_port = {free_port()}", text, count=1)
    for name, login in (("guard", GUARD), ("exporter", EXPORTER)):
        if name not in held and login in held.get("logins", {}):
            text = f'{text.rstrip()}\n\n[{name}]\nlogin = "{login}"\n'
    if "paging" not in held and isinstance(url := held.get("gateway_url"), str):
        text = f"{text.rstrip()}\n\n[paging]\nenabled = true\nwebhook_url = {json.dumps(f'{url}/pages')}\n"
    if "runs" not in held:
        text = f'{text.rstrip()}\n\n[runs]\nresults = "results/runs"\naudit_logs = "audit_logs"\n'
    if text != path.read_text("utf-8"):
        write_private(path, text)


def _add_logins(path: Path, services: Sequence[Login]) -> None:
    """Services that an older demo did not have."""
    text = path.read_text("utf-8")
    for login in services:
        text += f"\n[logins.{login.name}]\n{administration.credentials_toml(login, None)}"
    if services:
        write_private(path, text)


def _port(url: str) -> int:
    return urlsplit(url).port or 0


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port below the ephemeral range that is free now."""
    while not is_free(port := random.SystemRandom().randrange(20_000, 32_000)):
        pass
    return port
