"""All that one page about an incident's first minutes shows, of one reading. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cockpit.domain.communications import CommunicationRow, of_story
from cockpit.domain.incident_story import IncidentStory
from cockpit.domain.playbooks import Chosen, Playbook, Ticked, choose, progress
from cockpit.domain.triage import FirstMinutes


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """`story` is None where `story_fault` says why; where `playbooks` is empty, `playbooks_fault` says why.
    `monotonic` is this process's clock when it was read."""

    minutes: FirstMinutes
    story: IncidentStory | None
    playbooks: tuple[Playbook, ...]
    monotonic: float
    story_fault: str = ""
    playbooks_fault: str = ""

    @property
    def incident_id(self) -> str:
        return self.minutes.incident_id

    @property
    def chosen(self) -> Chosen | None:
        """The playbook that fits best; None where there is none at all."""
        return choose(self.playbooks, self.minutes) if self.playbooks else None

    def offered(self) -> Sequence[Playbook]:
        """The best one, those nearly as good, then the rest: what one may turn the pages through."""
        chosen = self.chosen
        if chosen is None:
            return ()
        return tuple(dict.fromkeys((chosen.playbook, *chosen.others, *self.playbooks)))

    def steps(self, playbook: Playbook) -> tuple[Ticked, ...]:
        """The steps of one playbook with what their checks say."""
        return progress(playbook, self.minutes)

    @property
    def communication(self) -> tuple[CommunicationRow, ...]:
        """Who must hear of it; empty where the story is unread."""
        return () if self.story is None else of_story(self.story)

    def age_s(self, monotonic: float) -> float:
        """Seconds since the reading."""
        return max(0.0, monotonic - self.monotonic)

    def now(self, monotonic: float) -> datetime:
        """The clock of the reading, carried on: the database's, where it could be read."""
        return self.minutes.at + timedelta(seconds=self.age_s(monotonic))
