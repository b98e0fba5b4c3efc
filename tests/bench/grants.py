"""State documents signed by a key of our own, as the authority leaves them: for figures that only read."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from redis import Redis

from backends.signing import KeyRing, SigningKey, canonical, sign_document
from cockpit.domain.breakers import GLOBAL, Catalogue
from cockpit.domain.documents import Document, Epoch
from cockpit.domain.legacy import legacy_fields
from cockpit.domain.states import State


def close_all(owner_url: str, catalogue: Catalogue) -> dict[str, bytes]:
    """Empty the server and write each breaker of the catalogue CLOSED; returns the authority's keys."""
    key = SigningKey.generate()
    with Redis.from_url(owner_url) as owner:
        owner.flushall()
        run_id = str(owner.info("server")["run_id"])
        batch = owner.pipeline(transaction=False)
        for name in catalogue.everything:
            document = Document(
                breaker_id=name,
                state=State.CLOSED,
                epoch=Epoch(run_id, 1),
                ancestors=catalogue.ancestors(name),
                version=1,
                actor="authority",
                reason="operational",
                notes="granted for a measurement",
                event_id=str(uuid4()),
                issued_at=datetime.now(UTC),
            )
            batch.set(f"trip:{name}", 1)
            batch.set(f"breaker:{name}", sign_document(document, key))
            if name == GLOBAL:
                batch.set("circuit_breaker:state", canonical(legacy_fields(document, None)))
        batch.execute()
    return {key.key_id: key.public_key}


def keyring(keys: dict[str, bytes]) -> KeyRing:
    return KeyRing(keys)
