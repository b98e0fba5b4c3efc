"""What `[catalogue]`, `[limits]` and `[probes]` say: which breakers there are, by which numbers they resume.

Each function raises `BadSettings` where a field cannot be used.
"""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal, InvalidOperation
from typing import Final

from cockpit.config_fields import BadSettings, Table, shown
from cockpit.domain.breakers import Catalogue, InvalidBreakerId
from cockpit.domain.limits import Limits
from cockpit.domain.probe_names import ProbeName

DEFAULT_PROBES: Final = tuple(probe.value for probe in ProbeName)
MAX_COMMIT_DEADLINE_S: Final = 30  # the contract's
_MOST_PROBES: Final = 50
_WHOLE: Final = frozenset({"probes", "probes_required"})


def read_catalogue(table: Table) -> Catalogue:
    """`[catalogue]`: what there is besides global, and what stands above what."""
    table.only(("components", "instruments", "strategies", "parents"))
    components, instruments, strategies = (
        table.names(key, ()) for key in ("components", "instruments", "strategies")
    )
    try:
        return Catalogue.build(components, instruments, strategies, table.table("parents").texts())
    except InvalidBreakerId as error:
        raise BadSettings(f"catalogue: {error}") from None


def read_limits(table: Table) -> Limits:
    """`[limits]`; what it does not name has its default."""
    table.only({each.name for each in fields(Limits)})
    defaults = Limits()
    values: dict[str, object] = {}
    for key in table.values:
        if key == "approval_scopes":
            values[key] = table.names(key)
        elif key == "size_share":
            values[key] = _share(table.values[key])
        else:
            values[key] = table.number(key, getattr(defaults, key), whole=key in _WHOLE)
    limits = Limits(**values)  # type: ignore[arg-type]
    if limits.probes > _MOST_PROBES:
        raise BadSettings(
            f"limits.probes: {limits.probes} is more than the {_MOST_PROBES} that a run may have"
        )
    if limits.probes_required > limits.probes:
        raise BadSettings(
            f"limits.probes_required: {limits.probes_required} is more than limits.probes ({limits.probes})"
        )
    if limits.commit_deadline_s > MAX_COMMIT_DEADLINE_S:
        raise BadSettings("limits.commit_deadline_s: a loosening commits within 30 s; write 30 or less")
    return limits


def _share(value: object) -> Decimal:
    try:
        share = Decimal(str(value)) if isinstance(value, (str, int, float)) else Decimal(0)
    except InvalidOperation:
        share = Decimal(0)
    if isinstance(value, bool) or not share.is_finite() or not 0 < share <= 1:
        raise BadSettings(f'limits.size_share: {shown(value)} is not a share; write "0.25" for a quarter')
    return share


def check_scopes(limits: Limits, catalogue: Catalogue) -> None:
    """`limits.approval_scopes` names breakers of the catalogue only."""
    for name in limits.approval_scopes:
        if name not in catalogue:
            raise BadSettings(f"limits.approval_scopes: {shown(name)} is not in the catalogue")


def read_probes(table: Table, catalogue: Catalogue, count: int) -> dict[str, tuple[str, ...]]:
    """`[probes]`: `count` names for each breaker that has its own, and for `default`."""
    probes = {"default": (DEFAULT_PROBES * (count // len(DEFAULT_PROBES) + 1))[:count]}
    for key in table.values:
        if key != "default" and key not in catalogue:
            raise BadSettings(f"{table.at(key)}: not a breaker of the catalogue, nor default")
        value = table.values[key]
        chosen = tuple(value) if isinstance(value, list) else ()
        for name in chosen:
            if name not in DEFAULT_PROBES:
                raise BadSettings(
                    f"{table.at(key)}: {shown(name)} is no probe; {', '.join(DEFAULT_PROBES)} are"
                )
        probes[key] = chosen
    for key, chosen in probes.items():
        if len(chosen) != count:
            raise BadSettings(f"{table.at(key)}: {len(chosen)} probes; limits.probes asks for {count}")
    return probes
