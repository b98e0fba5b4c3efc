"""The vectors of docs/contract.md, so that what another team builds from them is what this gate does."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from backends.gate import Gate
from backends.signing import key_id_of
from cockpit.domain.breakers import Catalogue

PAGE = Path(__file__).resolve().parents[2] / "docs" / "contract.md"
VECTORS: dict[str, Any] = json.loads(
    re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[-1]
)
CATALOGUE = Catalogue.build(["execution"], ["BTC-USD"], [])
UNCHANGED = {"case": "as given", "key": None, "value": None, "expected": VECTORS["expected"]}


@pytest.mark.parametrize("change", [UNCHANGED, *VECTORS["changes"]], ids=lambda change: change["case"])
async def test_vector(change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:  # I4 I5
    values = dict(VECTORS["values"])
    if change["key"] is not None:
        assert change["key"] in values
        values[change["key"]] = change["value"]
    moment = datetime.fromisoformat(VECTORS["time"])
    info = f"# Server\r\nrun_id:{VECTORS['run_id']}\r\n".encode()
    time = [str(int(moment.timestamp())).encode(), b"0"]

    async def fetch(self: Gate, question: Any) -> Any:
        keys = [key for name in question.breakers for key in (f"trip:{name}", f"breaker:{name}")]
        raw = [values[key] for key in (*keys, "circuit_breaker:state")]
        return [value if value is None else value.encode() for value in raw], info, time

    # The server's run id and clock are part of a vector, and no real server can be given them.
    monkeypatch.setattr(Gate, "_fetch", fetch)
    from redis.asyncio import Redis

    gate = Gate(Redis(), CATALOGUE, {VECTORS["key_id"]: VECTORS["public_key_base64"]})
    decision = await gate.decide("BTC-USD")
    expected = change["expected"]
    assert decision.effective_state == expected["effective_state"]
    assert decision.halted_by == expected["halted_by"]
    if "size_share" in expected:
        assert str(decision.size_share) == expected["size_share"]
        assert decision.epoch is not None
        assert decision.epoch.counter == expected["epoch"]
    if "permits" in expected:
        assert sorted(decision.permits) == expected["permits"]
        assert (decision.mode, decision.latched) == (expected["mode"], expected["latched"])


def test_key_id_is_derived() -> None:
    import base64

    assert key_id_of(base64.b64decode(VECTORS["public_key_base64"])) == VECTORS["key_id"]
