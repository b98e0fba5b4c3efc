"""The spool by itself: durable, private, locked while somebody delivers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import SignedCommand
from cockpit.domain.documents import Epoch
from cockpit.domain.refusals import StoreUnreachable
from cockpit.operations.spool import Spool, SpooledTrip
from cockpit.operations.trip import TripPorts, retry, waiting

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Applied:
    epoch = Epoch("run", 7)
    event_delivered = True
    note: str | None = None
    audit_seq = None
    evidence_link = None


class Row:
    status = "new"
    outcome = None


def spooled(event_id: str, login: str = "admin1") -> SpooledTrip:
    return SpooledTrip(event_id, GLOBAL, login, NOW, SignedCommand(b"{}", "key", "signature"))


def test_an_entry_is_private_and_survives_until_delivered(tmp_path: Path) -> None:  # F7
    spool = Spool(tmp_path / "spool")
    held = spool.write(spooled("one"))
    [file] = (tmp_path / "spool").iterdir()
    assert (file.stat().st_mode & 0o077, (tmp_path / "spool").stat().st_mode & 0o077) == (0, 0)
    held.release()
    assert Spool(tmp_path / "spool").entries() == ([spooled("one")], [])
    again = spool.claim(spooled("one"))
    assert again is not None
    again.delivered()
    assert spool.entries() == ([], [])
    assert spool.claim(spooled("one")) is None


def test_only_one_delivers_at_a_time(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with spool.write(spooled("one")):
        assert spool.claim(spooled("one")) is None
    held = spool.claim(spooled("one"))
    assert held is not None
    held.release()


def test_a_late_one_says_when_it_was_asked_for(tmp_path: Path) -> None:  # I8
    spool = Spool(tmp_path)
    for event_id, login in (("one", "admin1"), ("two", "operator1")):
        spool.write(spooled(event_id, login)).release()
    (tmp_path / "three.trip.json").write_text("{")
    (tmp_path / "four.trip.part").write_text("half a wri")
    sent: list[SpooledTrip] = []

    def redis(entry: SpooledTrip) -> Applied:
        sent.append(entry)
        return Applied()

    def recorded(entry: SpooledTrip) -> None:
        raise AssertionError(entry)

    ports = TripPorts(redis, recorded, spool, late_trip_s=5)  # type: ignore[arg-type]
    [outcome] = retry(ports, "admin1", NOW + timedelta(hours=2))
    assert [entry.event_id for entry in sent] == ["one"]
    assert "Delivered late: requested at 2026-01-01T00:00:00" in outcome.message
    line = waiting(spool, "admin1")
    assert "1 of other logins" in line
    assert "1 damaged" in line


class Unheard(Applied):
    event_delivered = False
    note = "event not delivered (stream)"


def test_a_trip_whose_event_redis_did_not_take_is_recorded_and_not_tripped_again(tmp_path: Path) -> None:
    # I8, I20: else nobody could tell whose it is, nor that it began a kill switch
    spool = Spool(tmp_path)
    spool.write(spooled("one")).release()
    sent: list[str] = []
    asked: list[str] = []
    away = [True]

    def redis(entry: SpooledTrip) -> Unheard:
        sent.append(entry.event_id)
        return Unheard()

    def recorded(entry: SpooledTrip) -> Row:
        asked.append(entry.event_id)
        if away:
            raise StoreUnreachable("Postgres", "no answer")
        return Row()

    ports = TripPorts(redis, recorded, spool, late_trip_s=5)  # type: ignore[arg-type]
    [outcome] = retry(ports, "admin1", NOW)
    assert (outcome.word, outcome.redis, outcome.postgres) == ("done", True, False)
    assert "waits in the spool to be recorded" in outcome.message
    assert [entry.counted for entry in spool.entries()[0]] == [True]
    retry(ports, "admin1", NOW)
    away.clear()
    [outcome] = retry(ports, "admin1", NOW)
    assert (outcome.word, outcome.redis, outcome.postgres) == ("done", True, True)
    assert (sent, asked) == (["one"], ["one"] * 3)
    assert spool.entries() == ([], []) and not list(tmp_path.iterdir())
