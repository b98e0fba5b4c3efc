"""Half-open and close: from an authenticated command to a committed loosening or a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from backends.gateway import Gateway
from cockpit.authority.approval import Approval, approval_of, await_approval
from cockpit.authority.at_commit import left_to_commit, still_allowed, stop
from cockpit.authority.commit import commit
from cockpit.authority.decisions import Asked, refuse
from cockpit.authority.kill_review import unreviewed_kill
from cockpit.authority.loosening import Loosening, Step, draft
from cockpit.authority.means import Means
from cockpit.authority.override import (
    Override,
    bad_reason,
    break_glass,
    override_of,
    override_of_run,
    unreviewed,
)
from cockpit.authority.proof import Readers, live_findings, own_probes, probes_refusal
from cockpit.authority.rules import (
    Scene,
    checklist_refusal,
    close_refusal,
    doubts,
    half_open_refusal,
    needs_approval,
    rate_refusal,
)
from cockpit.authority.scenes import audited_scene
from cockpit.domain.checklist import Finding
from cockpit.domain.commands import Command
from cockpit.domain.permissions import Identity
from cockpit.domain.refusals import Code, Refused
from cockpit.domain.states import Transition

_RUN: Final = """
INSERT INTO probe_runs (run_id, breaker_id, redis_run_id, counter, request_id, login, person_id, probes,
                        required,
                        deadline)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, clock_timestamp() + make_interval(secs => $10))
ON CONFLICT (breaker_id, redis_run_id, counter) DO NOTHING RETURNING 1
"""
_USE: Final = """
UPDATE probe_runs SET used_by = $2
 WHERE run_id = $1 AND used_by IS NULL AND status = 'passed' AND close_until > clock_timestamp() RETURNING 1
"""
_LAST_SLOT: Final = "SELECT max(taken_at) AS last, clock_timestamp() AS now FROM reset_slots"
_SLOT: Final = "INSERT INTO reset_slots (breaker_id, commit_id) VALUES ($1, $2)"


class Resumption:
    """Decides half-open and close commands. `asked` has passed the inbox's checks."""

    def __init__(self, means: Means, readers: Readers) -> None:
        self._means = means
        self._readers = readers

    @property
    def gateway(self) -> Gateway | None:
        """The venue gateway that is asked; None where the settings name none."""
        return self._readers.gateway

    async def half_open(
        self, asked: Asked, command: Command, identity: Identity, approval: Approval | None = None
    ) -> None:
        """Begin a probe run, or ask for the second person that it needs."""
        try:
            await self._half_open(asked, command, identity, approval)
        except Refused as refused:
            await refuse(self._means, asked, command, identity.role.value, refused.refusal)

    async def close(self, asked: Asked, command: Command, identity: Identity) -> None:
        """Close into the quiet period."""
        try:
            await self._close(asked, command, identity)
        except Refused as refused:
            await refuse(self._means, asked, command, identity.role.value, refused.refusal)

    async def _half_open(
        self, asked: Asked, command: Command, identity: Identity, approval: Approval | None
    ) -> None:
        means, limits = self._means, self._means.limits
        stop(bad_reason(command))
        (world, scene, reason), checked = await asyncio.gather(
            audited_scene(means, command.breaker_id),
            live_findings(means, self._readers, command.breaker_id, command.reason),
        )
        stop(half_open_refusal(command, scene, limits))
        await self._kill_reviewed(command)
        stop(checklist_refusal(checked.findings))
        override = override_of(command)
        used = override if checked.overridden else None
        await self._reviewed(used)
        if needs_approval(command.breaker_id, limits) and approval is None:
            await await_approval(means, asked, command, identity)
            return
        run_id = str(uuid4())
        probes = means.settings.probes_for(command.breaker_id)
        required = min(limits.probes_required, len(probes))
        item = draft(
            means,
            world,
            commit_id=command.request_id,
            breaker_id=command.breaker_id,
            transition=Transition.BEGIN_PROBES,
            author=asked.author(identity.role.value),
            notes=command.notes,
            reason=reason,
            deadline_in=left_to_commit(asked, approval, limits.commit_deadline_s, scene.postgres_now),
            postgres_now=scene.postgres_now,
            details={
                "run_id_of_probes": run_id,
                "probes": list(probes),
                "checked": list(command.checked),
                "checklist": _lines(checked.findings),
                "approval": approval.details() if approval else None,
                "override": override.details(used is not None) if override else None,
            },
            message=f"{command.breaker_id} is HALF_OPEN · PROBING; run the probes now."
            + _said(override, used),
            run_deadline=world.now + timedelta(seconds=limits.run_deadline_s),
            request_ids=(command.request_id, *((approval.approval_id,) if approval else ())),
            extra={"run_id": run_id},
        )

        async def guard(connection: Any) -> None:
            await still_allowed(means, connection, command, approval, used)
            if used is not None:
                await break_glass(connection, used, command.breaker_id)
            epoch = item.document.epoch
            begun = await connection.fetchval(
                _RUN,
                run_id,
                command.breaker_id,
                epoch.run_id,
                epoch.counter,
                command.request_id,
                identity.login,
                identity.person_id,
                list(probes),
                required,
                limits.run_deadline_s,
            )
            if begun is None:
                raise Refused(Code.RUN_EXISTS, "This epoch had its probe run.", "Trip it again first.")

        await commit(means, self._armed(item, command, guard, approval, used))

    async def _close(self, asked: Asked, command: Command, identity: Identity) -> None:
        means, limits = self._means, self._means.limits
        world, scene, reason = await audited_scene(means, command.breaker_id)
        async with means.pool.acquire() as connection:
            stop(close_refusal(command, scene) or doubts(scene, limits))
            stop(await unreviewed_kill(connection, command.breaker_id))
            approval = await self._approval(connection, scene)
            slots = await connection.fetchrow(_LAST_SLOT)
            stop(rate_refusal(slots["last"], slots["now"], limits))
            override = await override_of_run(connection, scene)
            size = await means.sizes.of(connection, command.breaker_id)
        checked = await live_findings(
            means, self._readers, command.breaker_id, override.reason if override else ""
        )
        stop(checklist_refusal(checked.findings))
        used = override if checked.overridden else None
        await self._reviewed(used)
        answers = await own_probes(means, self._readers, world, command.breaker_id)
        stop(probes_refusal(answers, min(limits.probes_required, len(answers))))
        run = scene.run
        if run is None or run.close_until is None:
            raise Refused(Code.PROBES, "There is no passed probe run.")
        left = min(
            left_to_commit(asked, None, limits.commit_deadline_s, scene.postgres_now),
            run.close_until - scene.postgres_now,
            approval.expires_at - scene.postgres_now if approval else timedelta.max,
        )
        # The stores' clocks have gone on while the probes ran: the quiet period begins now.
        began = await means.redis.time()
        item = draft(
            means,
            world,
            commit_id=command.request_id,
            breaker_id=command.breaker_id,
            transition=Transition.CLOSE,
            author=asked.author(identity.role.value),
            notes=command.notes,
            reason=reason,
            deadline_in=left,
            postgres_now=scene.postgres_now,
            details={
                "run_id_of_probes": run.run_id,
                "passed": run.passed,
                "checklist": _lines(checked.findings),
                "override": override.details(used is not None) if override else None,
                "own_probes": [
                    f"{each.name}: {'passed' if each.passed else 'failed'}: {each.detail}" for each in answers
                ],
                "approval": approval.details() if approval else None,
            },
            message=(
                f"{command.breaker_id} is QUIET_PERIOD · LIMITED for {limits.quiet_period_s:g} s, "
                f"then CLOSED · TRADING.{_said(used, used)}"
            ),
            size=size,
            quiet_until=began + timedelta(seconds=limits.quiet_period_s),
            request_ids=(command.request_id,),
        )

        async def guard(connection: Any) -> None:
            await still_allowed(means, connection, command, approval, used)
            if used is not None:
                await break_glass(connection, used, command.breaker_id)
            slots = await connection.fetchrow(_LAST_SLOT)
            stop(rate_refusal(slots["last"], slots["now"], limits))
            if await connection.fetchval(_USE, run.run_id, command.request_id) is None:
                raise Refused(
                    Code.PROBES, "The probe run authorises no close any more.", "Trip it again first."
                )
            await connection.execute(_SLOT, command.breaker_id, command.request_id)

        await commit(means, self._armed(item, command, guard, approval, used))

    async def _kill_reviewed(self, command: Command) -> None:
        async with self._means.pool.acquire() as connection:
            stop(await unreviewed_kill(connection, command.breaker_id))

    async def _reviewed(self, override: Override | None) -> None:
        """One break-glass at a time: the last one is reviewed before the next (I23)."""
        if override is not None:
            async with self._means.pool.acquire() as connection:
                stop(await unreviewed(connection, override))

    def _armed(
        self,
        item: Loosening,
        command: Command,
        guard: Step,
        approval: Approval | None,
        override: Override | None,
    ) -> Loosening:
        """The loosening with its checks; the last one also says when its people's grants end."""

        async def recheck(connection: Any) -> datetime | None:
            return await still_allowed(self._means, connection, command, approval, override)

        return replace(item, guard=guard, recheck=recheck)

    async def _approval(self, connection: Any, scene: Scene) -> Approval | None:
        """The approval that covers this run, where the breaker needs one."""
        if not needs_approval(scene.breaker_id, self._means.limits):
            return None
        request_id = scene.run.request_id if scene.run else ""
        approval = await approval_of(connection, request_id, scene.breaker_id, scene.reading.epoch)
        if approval is None or approval.expires_at <= scene.postgres_now:
            raise Refused(
                Code.APPROVAL_VOID,
                "The second person's approval has expired or is for another epoch.",
                "Trip it again and ask for half-open and approval anew.",
            )
        return approval


def _said(override: Override | None, used: Override | None) -> str:
    """What became of a reason to pass over the error budgets."""
    if used is not None:
        return " Error budgets are overridden: somebody else must acknowledge the incident that this opened."
    return " The override is recorded and was not needed: no budget stands in the way." if override else ""


def _lines(findings: Sequence[Finding]) -> Mapping[str, str]:
    return {finding.item_id: finding.line for finding in findings}
