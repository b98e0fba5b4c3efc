"""Objectives wired for every entry point: the files, the sources and the agreed exclusions as one reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING

from cockpit.config_fields import BadSettings
from cockpit.domain.slo_reports import SliReading
from cockpit.domain.slos import Exclusion, SourceKind
from cockpit.operations.slo_reading import Objective, ObjectiveSource, SloReader

if TYPE_CHECKING:
    from cockpit.config import Settings

__all__ = ["folders_of", "open_objectives"]


def open_objectives(settings: Settings, dsn: str) -> SloReader:
    """A reader of the settings' objectives that reads Postgres as the login of `dsn`. Nothing is connected to
    before its first `read`; the caller closes it.

    Raises:
        BadSettings: a file of objectives is wrong; the message names file, line and field.
    """
    from backends.openslo import BadObjective
    from backends.sli_store import SliStore
    from backends.slo_folder import SloFolder

    try:
        folder = SloFolder(settings.shipped_slos, settings.slo_folders, settings.catalogue)
        folder.book()
    except (BadObjective, OSError) as error:
        raise BadSettings(f"slos: {error}") from None
    store = SliStore(dsn)
    prometheus = _prometheus(settings.prometheus_url)
    sources = {SourceKind.POSTGRES: store, SourceKind.PROMETHEUS: prometheus}
    return SloReader(folder, store, sources, settings.simulated_before)


def folders_of(settings: Settings) -> Sequence[Path | Traversable]:
    """Where the settings' objectives are written down: those that come with the cockpit, then one's own."""
    shipped = [files("runbooks").joinpath("slos")] if settings.shipped_slos else []
    return [*shipped, *settings.slo_folders]


def _prometheus(url: str | None) -> ObjectiveSource:
    if url is None:
        return _NoPrometheus()
    from backends.prometheus import PrometheusSource

    return PrometheusSource(url)


class _NoPrometheus:
    """What objectives are told that ask for a Prometheus where the settings name none."""

    async def read(
        self, objectives: Sequence[Objective], exclusions: Sequence[Exclusion]
    ) -> Mapping[str, SliReading]:
        at = datetime.now(UTC)
        why = "no prometheus_url is set; write it into the settings, or COCKPIT_PROMETHEUS_URL"
        return {each.name: SliReading(at=at, fault=why) for each in objectives}

    async def close(self) -> None:
        return
