"""A scrape as text: OpenMetrics or the classic Prometheus format, whichever the client asks for."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from cockpit.domain.breakers import Catalogue
from cockpit.exporter.breaker_metrics import add_breakers
from cockpit.exporter.collection import Answer, Scrape
from cockpit.exporter.desk_metrics import add_desk
from cockpit.exporter.families import Families
from cockpit.exporter.objective_metrics import add_objectives

PYTHON: Final = platform.python_version()


class Page:
    """What one scrape tells, written once for each format that is asked for."""

    def __init__(self, scrape: Scrape, catalogue: Catalogue) -> None:
        self.scrape = scrape
        self._registry = CollectorRegistry()
        self._registry.register(families_of(scrape, catalogue))
        self._written: dict[str, bytes] = {}

    def text(self, accept: str) -> tuple[bytes, str]:
        """The body and its content type, for an `Accept` header."""
        try:
            encode, kind = choose_encoder(accept)
        except (TypeError, ValueError):  # a version in it that is no number
            encode, kind = choose_encoder("")
        if kind not in self._written:
            self._written[kind] = encode(self._registry)
        return self._written[kind], kind


def families_of(scrape: Scrape, catalogue: Catalogue) -> Families:
    families = Families()
    add_breakers(families, scrape.breakers.value, catalogue)
    if scrape.desk.value is not None:
        desk, counts = scrape.desk.value
        add_desk(families, desk, counts, scrape.breakers.value, catalogue)
    if scrape.objectives.value is not None:
        add_objectives(families, scrape.objectives.value)
    sources: dict[str, Answer[Any]] = {
        "redis": scrape.breakers,
        "postgres": scrape.desk,
        "objectives": scrape.objectives,
    }
    for source, answer in sources.items():
        families.add("exporter_source_up", float(answer.value is not None), source=source)
        families.add("exporter_source_duration_seconds", answer.duration_s, source=source)
    families.add("exporter_scrape_duration_seconds", scrape.duration_s)
    families.add("exporter_build_info", 1.0, version=_version(), python=PYTHON)
    return families


def _version() -> str:
    try:
        return version("ops-cockpit")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"
