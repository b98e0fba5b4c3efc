"""The stores behind the screen, opened in the order in which it can show something.

Importing them takes longer than drawing the first frame, so each `load_…` is called in a thread while the
screen already takes keys; `open_…` then only makes objects. Nothing is connected here: each store connects at
its first use.
"""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING, Final

from cockpit.config import BadSettings, Credentials, Settings

if TYPE_CHECKING:
    from backends.redis_store import RedisStore
    from cockpit.desk import Desk
    from cockpit.feeds import ObjectivesSide
    from cockpit.incident_feeds import MinutesSide
    from cockpit.recon_feed import ReconSide

_FOR_STATES: Final = (
    "backends.redis_store",
    "widgets.breaker_rows",
    "widgets.next_steps",
    "widgets.size_words",
)
_FOR_ALL: Final = (
    "cockpit.desk",
    "cockpit.incident_feeds",
    "cockpit.recon_feed",
    "cockpit.switch_desk",
    "cockpit.cli.tripping",
    "cockpit.operations.audit_verify",
    "backends.postgres_store",
    "backends.evidence",
    "backends.gateway",
)
_FOR_DIALOGS: Final = (
    "widgets.trip_dialog",
    "widgets.views",
    "widgets.half_open_dialog",
    "widgets.close_dialog",
    "widgets.approve_dialog",
    "widgets.acknowledge_dialog",
    "widgets.details",
    "widgets.exclude_dialog",
    "widgets.end_dialogs",
    "cockpit.screens.audit",
    "cockpit.screens.slos",
    "cockpit.screens.triggers",
    "widgets.new_incident_dialog",
    "cockpit.screens.incidents",
    "cockpit.screens.first_minutes",
    "cockpit.cli.killing",
    "backends.gate_acks",
    "widgets.kill_dialogs",
    "widgets.mode_dialog",
    "widgets.switch_dialogs",
    "widgets.latch_dialog",
    "cockpit.screens.reconciliation",
)
_FOR_SLOS: Final = ("widgets.slo_strip", "widgets.halts_due", "cockpit.objectives")


def load_redis() -> None:
    """What reads the breakers and draws them."""
    _load(_FOR_STATES)


def load_rest() -> None:
    """What everything else needs that a key may ask for."""
    _load(_FOR_ALL)


def load_dialogs() -> None:
    """So that the first trip by key opens as fast as the second."""
    _load(_FOR_DIALOGS)


def load_objectives() -> None:
    """What reads the objectives and says what they ask for."""
    _load(_FOR_SLOS)


def open_objectives(settings: Settings, credentials: Credentials) -> ObjectivesSide:
    """This login's reader of the objectives.

    Raises:
        BadSettings: a file of objectives or an address cannot be used.
    """
    from cockpit.cli.wiring import postgres_address
    from cockpit.objectives import open_objectives as opened

    return opened(settings, postgres_address(credentials))


def open_first_minutes(settings: Settings, credentials: Credentials, desk: Desk) -> MinutesSide:
    """This login's reader of the first-five-minutes page."""
    from backends.gateway import Gateway
    from backends.playbook_folder import shipped_playbooks
    from backends.postgres_store import PostgresStore
    from backends.run_folder import RunFolders
    from cockpit.cli.wiring import postgres_address
    from cockpit.minutes_reader import MinutesReader
    from cockpit.operations.first_minutes import FirstMinutesPorts

    store = PostgresStore(postgres_address(credentials))
    gateway = Gateway(settings.gateway_url) if settings.gateway_url else None
    watched = settings.run_results or settings.audit_logs
    runs = RunFolders(settings.run_results, settings.audit_logs) if watched else None
    ports = FirstMinutesPorts(
        desk=store,
        catalogue=settings.catalogue,
        breakers=desk.stores.redis,
        gateway=gateway,
        runs=runs,
        fresh_s=settings.limits.reconciliation_fresh_s,
    )
    return MinutesReader(store, ports, shipped_playbooks, gateway, runs)


def open_reconciliation(credentials: Credentials) -> ReconSide:
    """This login's reader of the reconciliation runs."""
    from backends.reconciliation_store import ReconciliationStore
    from cockpit.cli.wiring import postgres_address

    return ReconciliationStore(postgres_address(credentials))


def _load(modules: tuple[str, ...]) -> None:
    for module in modules:
        import_module(module)


def open_redis(settings: Settings, credentials: Credentials) -> RedisStore:
    """
    Raises:
        BadSettings: the address cannot be used.
    """
    from backends.redis_connection import BadRedisUrl
    from backends.redis_store import RedisStore
    from cockpit.cli.wiring import authority_ring, redis_address

    try:
        return RedisStore(redis_address(credentials), settings.catalogue, authority_ring(settings))
    except BadRedisUrl as error:
        raise BadSettings(f"logins.{credentials.name}.{error}") from error


def open_desk(settings: Settings, credentials: Credentials, redis: RedisStore | None = None) -> Desk:
    """This login's stores, with the Redis that is open already.

    Raises:
        BadSettings: an address or the signing key cannot be used.
    """
    from backends.gateway import Gateway
    from backends.postgres_store import PostgresStore
    from backends.signing import KeyRing, canonical, sign_command
    from cockpit.cli.tripping import login_of, sign_if_possible, trip_ports
    from cockpit.cli.wiring import EvidenceShelf, PayloadKey, authority_ring, postgres_address, signing_key
    from cockpit.desk import Desk, Stores
    from cockpit.operations.audit_verify import VerifyPorts

    ring = authority_ring(settings)
    postgres = PostgresStore(postgres_address(credentials))

    class ReadEvidence(EvidenceShelf):
        async def ping(self) -> float:
            begin = time.perf_counter()
            await self.get("transitions/none.json")
            return (time.perf_counter() - begin) * 1_000

    evidence = ReadEvidence(settings)
    verify = VerifyPorts(
        postgres, evidence, ring, lambda keys: KeyRing({**keys, **settings.authority_keys}), canonical
    )
    stores = Stores(
        login=login_of(credentials),
        redis=redis or open_redis(settings, credentials),
        postgres=postgres,
        evidence=evidence,
        gateway=Gateway(settings.gateway_url) if settings.gateway_url else None,
        trips=trip_ports(settings, credentials),
        sign_trip=lambda command: sign_if_possible(command, credentials),
        sign=lambda command: sign_command(command, signing_key(credentials)),
        sign_payload=lambda fields: PayloadKey(signing_key(credentials))(fields),  # noqa: PLW0108 - read at use
        verify=verify,
    )
    return Desk(settings, stores)
