"""Objectives from files: OpenSLO v1 YAML (kinds SLO and SLI), and the cockpit's own kind Threshold.

What is read is a strict part of OpenSLO v1: rolling windows, one objective, Occurrences or Timeslices. What
OpenSLO has no field for stands in `metadata.annotations` under `cockpit/`:

    cockpit/breaker: component:execution      the breaker that a spent budget concerns (always)
    cockpit/fresh: 60s                        how old the newest sample may be
    cockpit/consecutive-over: 5 orders        a breach counts once more than these are bad one after another
    cockpit/classification: data_quality      of the incident that a breach opens; other where it is not there

A plain threshold has no budget, and so is no SLO. It has the same metadata, and

    apiVersion: ops-cockpit/v1
    kind: Threshold
    spec:
      description: …
      metricSource: {type: Postgres, spec: {sli: operations}}   or {figure: …}, or a Prometheus query
      statistic: latest | ratio | failure-ratio                 of the sample or of the window's events
      window: 1h                                                not with `latest`
      op: lte
      value: 0.02
      unit: share of failed operations

Source: OpenSLO specification v1; the operations runbook's operational SLOs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, Final

from backends.openslo_fields import BadObjective, Fields
from backends.openslo_objects import Pending, plain_name, read_slo, read_threshold
from backends.openslo_sources import Sli, read_sli
from backends.yaml_tree import MAX_BYTES, BadYaml, Items, Table, read_documents
from cockpit.domain.breakers import Catalogue
from cockpit.domain.slos import Slo, SloBook, Threshold

__all__ = ["BadObjective", "FileObjects", "book_of", "load_book", "objective_files", "read_file"]

OPENSLO: Final = "openslo/v1"
OURS: Final = "ops-cockpit/v1"
_KINDS: Final = {"SLO": OPENSLO, "SLI": OPENSLO, "Threshold": OURS}


@dataclass(frozen=True, slots=True)
class FileObjects:
    """What one file holds."""

    file: str
    slos: tuple[Slo | Pending, ...]
    thresholds: tuple[Threshold, ...]
    slis: tuple[tuple[str, int, Sli], ...]


def load_book(folders: Sequence[Path | Traversable], catalogue: Catalogue) -> SloBook:
    """All objectives in the *.yaml and *.yml files of `folders`.

    Raises:
        BadObjective: the first fault, as one line with file and line.
    """
    files = (file for folder in folders for file in objective_files(folder))
    return book_of([read_file(str(file), read_bytes(file), catalogue) for file in files])


def objective_files(folder: Path | Traversable) -> tuple[Path | Traversable, ...]:
    """The files of one folder that hold objectives, by name; hidden ones (editors' drafts) do not.

    Raises:
        BadObjective: the folder cannot be read, holds none, or something of such a name that is no file.
    """
    try:
        found = [
            each
            for each in folder.iterdir()
            if each.name.endswith((".yaml", ".yml")) and not each.name.startswith(".") and _there(each)
        ]
    except OSError as error:
        why = f"cannot be read: {error.strerror}; name a folder of *.yaml files"
        raise BadObjective(str(folder), 0, why) from None
    if not found:
        raise BadObjective(str(folder), 0, "holds no *.yaml file; put objectives there or do not name it")
    return tuple(sorted(found, key=lambda each: each.name))


def _there(each: Path | Traversable) -> bool:
    """A link that leads nowhere is an editor's lock. Whatever else is no plain file took an objective's place
    or never was one: left out in silence, it could hide that an objective is gone.

    Raises:
        BadObjective: it is a folder, a pipe, a device…
        OSError: it cannot be looked at.
    """
    if not isinstance(each, os.PathLike):
        plain, kind = each.is_file(), "a folder"
    else:
        try:
            mode = Path(each).stat().st_mode
        except FileNotFoundError:
            return False
        plain, kind = stat.S_ISREG(mode), _kind_of(mode)
    if not plain:
        raise BadObjective(
            str(each), 0, f"is {kind}, not a file; put the objectives' file there or delete it"
        )
    return True


def _kind_of(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def read_file(file: str, data: bytes, catalogue: Catalogue) -> FileObjects:
    """The objects in one file's bytes.

    Raises:
        BadObjective: as one line with file and line.
    """
    try:
        documents = read_documents(data)
    except BadYaml as error:
        where = f"{error.path}: " if error.path else ""
        raise BadObjective(file, error.line, f"{where}{error.why}") from None
    if not documents:
        raise BadObjective(file, 1, "holds no document; write an SLO, or delete the file")
    slos: list[Slo | Pending] = []
    thresholds: list[Threshold] = []
    slis: list[tuple[str, int, Sli]] = []
    for node in documents:
        if not isinstance(node, Table):
            what = "a list" if isinstance(node, Items) else "a text"  # not which: it may be anybody's file
            raise BadObjective(file, node.line, f"{what} is no object; write apiVersion, kind, …")
        document = Fields(file, "", node)
        document.only(("apiVersion", "kind", "metadata", "spec"))
        match _kind(document):
            case "SLO":
                slos.append(read_slo(document, catalogue))
            case "SLI":
                metadata = document.fields("metadata", "give it a name")
                spec = document.fields("spec", "give it a ratioMetric or a thresholdMetric")
                slis.append((plain_name(metadata), document.line, read_sli(spec)))
            case _:
                thresholds.append(read_threshold(document, catalogue))
    return FileObjects(file, tuple(slos), tuple(thresholds), tuple(slis))


def book_of(files: Sequence[FileObjects]) -> SloBook:
    """One book of all files' objects.

    Raises:
        BadObjective: a name stands twice, or a reference leads nowhere.
    """
    slis: dict[str, Sli] = {}
    _distinct("SLI", ((name, each.file, line) for each in files for name, line, _ in each.slis))
    for each in files:
        slis |= {name: sli for name, _, sli in each.slis}
    slos = tuple(
        slo.resolved(slis) if isinstance(slo, Pending) else slo for each in files for slo in each.slos
    )
    thresholds = tuple(threshold for each in files for threshold in each.thresholds)
    objectives: tuple[Slo | Threshold, ...] = (*slos, *thresholds)
    _distinct("objective", ((each.name, each.file, each.line) for each in objectives))
    return SloBook(slos, thresholds, datetime.now(UTC))


def _distinct(kind: str, named: Iterable[tuple[str, str, int]]) -> None:
    seen: dict[str, str] = {}
    for name, file, line in named:
        if name in seen:
            why = f"metadata.name: the {kind} {name!r} is already in {seen[name]}; give it another name"
            raise BadObjective(file, line, why)
        seen[name] = f"{file}:{line}"


def _kind(document: Fields) -> str:
    version = document.choice("apiVersion", (OPENSLO, OURS))
    kind = document.text("kind", "write SLO, SLI or Threshold")
    if _KINDS.get(kind) == version:
        return kind
    right = " or ".join(each for each, of in _KINDS.items() if of == version)
    raise document.fault("kind", f"{kind[:60]!r} of {version} is not read here; write {right}")


def read_bytes(file: Path | Traversable) -> bytes:
    """The bytes of one file, at most one more than are taken.

    Raises:
        BadObjective: it cannot be read.
    """
    try:
        with _opened(file) as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        why = f"cannot be read: {error.strerror}; make it readable for this user"
        raise BadObjective(str(file), 1, why) from None


def _opened(file: Path | Traversable) -> IO[bytes]:
    """Never waits: a pipe that took the file's place since it was listed has no end that anybody writes."""
    if not isinstance(file, os.PathLike):
        return file.open("rb")
    number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        mode = os.fstat(number).st_mode
        if not stat.S_ISREG(mode):
            why = f"is {_kind_of(mode)}, not a file; put the objectives' file there"
            raise BadObjective(str(file), 0, why)
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise
