"""Every metric that the exporter serves: its name, its labels, what it means.

Names that end in `_total` are counters, all others gauges. A value that is not known is absent, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class MetricName:
    """`labels` are exactly those of each sample, in their order."""

    name: str
    labels: tuple[str, ...]
    help: str

    @property
    def counts(self) -> bool:
        return self.name.endswith("_total")


_BREAKERS: Final = """
cb_staleness_seconds | | 0 where the state of every breaker was verified in this scrape, else 999999.
breaker_state | breaker_id | What orders meet: 0 CLOSED, 1 OPEN or doubt, 2 HALF_OPEN, 3 QUIET_PERIOD.
breaker_own_state | breaker_id | The same without the breaker's ancestors.
breaker_doubt | breaker_id | 1 where it reads OPEN and no current document says so.
breaker_size_share | breaker_id | Share of normal order size that orders meet; 0 while halted.
breaker_epoch | breaker_id | Trip counter of the current epoch.
breaker_trips_total | breaker_id | Trips by the counter in Redis, which starts at 1; a restore raises it too.
breaker_resets_total | breaker_id | Closes that were committed, by the audit log.
breaker_probe_success_ratio | breaker_id | Passed share of the probes of this epoch's run, for an hour.
breaker_size_limits | breaker_id | Caps on order size that are in force.
switch_set | switch | 1 while a symbol's mode or latch, or the halt of withdrawals, is set or in doubt.
"""
_OBJECTIVES: Final = """
slo_info | slo breaker_id title | 1 for each objective that has an error budget.
slo_objective | slo | Share of good events that is promised.
slo_window_seconds | slo | Length of the rolling window of the error budget.
slo_state | slo state | 1 for the state that the budget is in, 0 for the others.
slo_error_budget_remaining_ratio | slo | What is left: 1 whole, 0 spent, negative overspent.
slo_error_budget_exhausted_in_seconds | slo | Until it is spent, at the worse of the last five minutes' \
and the last hour's rate of bad events.
slo_events | slo outcome | Events in the window that counted, good and bad; agreed exclusions are left out.
slo_excluded_events | slo | Events of the window that agreed exclusions leave out.
slo_burn_rate | slo window | How many times faster than sustainable the budget was spent.
slo_burn_threshold | slo window | Burn rate above which the alert of this long window fires.
slo_burn_fired | slo severity window | 1 while this window and its short one burn too fast.
slo_consecutive_bad | slo | Orders since the 5-minute rate fell under the objective; \
bars in a row over the bound. Where the objective limits them.
slo_breached | slo | 1 while slo_consecutive_bad is over what the objective allows.
slo_last_sample_timestamp_seconds | slo | When the newest sample was observed.
slo_threshold_info | threshold breaker_id op unit title | 1 for each plain threshold.
slo_threshold_bound | threshold | What the value is held against.
slo_threshold_value | threshold | The value that is judged.
slo_threshold_state | threshold state | 1 for the state that the threshold is in, 0 for the others.
slo_threshold_last_sample_timestamp_seconds | threshold | When the newest sample was observed.
slo_faults | | Faults of objective files and of sources as a whole.
"""
_SERVICES: Final = """
authority_up | | 1 while an authority holds the lease; without one nothing resumes.
authority_lease_age_seconds | | Since the authority's last sign of life, by the database's clock.
authority_term | | Number of the authority's term.
authority_queue_length | | Requests that wait for the authority.
authority_evidence_ok | | 1 while the evidence store takes what it is given.
authority_evidence_backlog | | Evidence objects that are not written yet.
authority_redis_ok | | 1 while the authority reads Redis.
authority_budgets_ok | | 1 while the authority reads error budgets; without them nothing resumes.
authority_clock_skew_seconds | | Difference between the two stores' clocks.
authority_pending_trips | | Trips that Postgres holds and Redis has not confirmed.
audit_head_seq | | Newest entry of the audit chain.
audit_anchor_seq | | Newest entry under a signed head.
audit_chain_ok | | 1 while the authority finds the audit chain intact.
audit_chain_verified_timestamp_seconds | | When the chain was last verified.
audit_chain_full_verified_timestamp_seconds | | When it was last verified from its first entry.
incidents_unacknowledged | severity | Open incidents that nobody acknowledged, people's own trips left out.
guard_up | | 1 while a guard holds its lease; without one nothing trips by itself.
guard_lease_age_seconds | | Since the guard's last sign of life, by the database's clock.
guard_term | | Number of the guard's term.
guard_faults | | What the guard itself says is wrong with it.
guard_trigger_info | rule mode effect aim unit title | 1 for each automatic trigger.
guard_trigger_state | rule state | 1 for the state that the trigger is in, 0 for the others.
guard_trigger_value | rule | The value that the trigger judges.
guard_trigger_threshold | rule | The value from which the trigger fires.
guard_trigger_fraction | rule | How much of the way to the threshold is gone; 1 at the threshold.
guard_trigger_breach_in_seconds | rule | Until the threshold is reached at the rate of the last minutes.
guard_trigger_firings_total | rule mode | What the trigger did (live) or would have done (shadow).
pager_up | | 1 while a pager gives signs of life; without one nobody is paged. Absent where none ever ran.
pager_age_seconds | | Since the newest sign of life of a pager, by the database's clock.
pager_faults | | What the living pagers say is wrong with their receivers.
pages_waiting | | Pages that are not at every receiver yet.
pages_failed | | Deliveries of pages that failed and were not made since.
pages_given_up | severity | Deliveries that a receiver refused for good; told for a day, \
and while the incident is unacknowledged. At most 50 are looked at, the given-up ones first.
exporter_build_info | version python | 1; which exporter this is.
exporter_source_up | source | 1 where this source could be read in this scrape.
exporter_source_duration_seconds | source | What reading this source took in this scrape.
exporter_scrape_duration_seconds | | What reading all of them took.
"""


def _parsed(*tables: str) -> Mapping[str, MetricName]:
    rows = [line.split("|", 2) for table in tables for line in table.strip().splitlines()]
    names = [MetricName(name.strip(), tuple(labels.split()), text.strip()) for name, labels, text in rows]
    return {each.name: each for each in names}


METRICS: Final = _parsed(_BREAKERS, _OBJECTIVES, _SERVICES)
