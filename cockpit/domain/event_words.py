"""What an event of an incident's story says beyond its kind, in one line for people. Pure.

Each kind that the authority and the guard write has its own words; what a kind has besides, and all of a kind
that is not known here, follows by name, so that nothing recorded is left out. Only what names the event for
machines, or what everybody sees beside it, is: ids, digests, the incident itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from cockpit.domain.incident_story import StoryEvent
from cockpit.domain.text import clean

MOST_WORDS: Final = 400
_MOST_VALUE: Final = 200
_MOST_ITEMS: Final = 20
_FOR_MACHINES: Final = frozenset({"incident_id", "event_id", "firing_id", "action_id", "line"})


class _Facts:
    """An event's details, each told once."""

    def __init__(self, details: Mapping[str, object], notes: str) -> None:
        self._left = {name: value for name, value in details.items() if name not in _FOR_MACHINES}
        self._notes = notes

    def take(self, name: str) -> str:
        """As text, "" where it says nothing."""
        return _said(self._left.pop(name, None))

    def put(self, form: str, name: str) -> str:
        """In a phrase with `{}` in it; "" where there is nothing to put there."""
        told = self.take(name)
        return form.format(told) if told else ""

    def news(self, name: str) -> str:
        """A text that the notes may say already: then it is not said twice."""
        told = self.take(name)
        return "" if told in self._notes else told

    def links(self) -> str:
        """Breakers and objectives."""
        found = (self.take("breaker_id"), self.take("breakers"), self.put("SLO {}", "slos"))
        return ", ".join(part for part in found if part)

    def rest(self) -> list[str]:
        told = [(name, self.take(name)) for name in tuple(self._left)]
        return [f"{clean(name, 40).replace('_', ' ')} {text}" for name, text in told if text]


Words = Callable[[_Facts], list[str]]


def event_words(event: StoryEvent) -> str:
    """Without its notes; "" where the kind says everything. Nothing in it acts on a terminal (I26)."""
    facts = _Facts(event.details, clean(event.notes))
    words = _WORDS.get(event.kind, _nothing)(facts) + facts.rest()
    return clean("; ".join(filter(None, words)), MOST_WORDS)


def event_line(event: StoryEvent) -> str:
    """`event_words` and the notes."""
    return "; ".join(part for part in (event_words(event), clean(event.notes, 1_000)) if part)


def _said(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        value = [f"{name} {_said(each)}" for name, each in list(value.items())[: _MOST_ITEMS + 1]]
    if isinstance(value, list | tuple):
        shown = [text for each in value[:_MOST_ITEMS] if (text := _said(each))]
        more = [f"{len(value) - _MOST_ITEMS} more"] if len(value) > _MOST_ITEMS else []
        return clean(", ".join(shown + more), _MOST_VALUE)
    return clean(str(value), _MOST_VALUE)


def _nothing(_facts: _Facts) -> list[str]:
    return []


def _opened(facts: _Facts) -> list[str]:
    head = " ".join(filter(None, (facts.take("severity"), facts.take("classification"))))
    about = facts.links()
    told = [head, facts.put("from {}", "source"), f"about {about}" if about else ""]
    return [*told, *_objective(facts), *_epoch(facts)]


def _fired(facts: _Facts) -> list[str]:
    rule, figures = facts.put("rule {}", "rule"), facts.put("value {}", "value")
    return [rule + facts.put(" of {}", "subject"), figures + facts.put(" against {}", "threshold")]


def _tripped(facts: _Facts) -> list[str]:
    name = facts.take("breaker_id")
    what = facts.take("what")
    return [what if name in what else ": ".join(filter(None, (name, what))), *_epoch(facts)]


def _epoch(facts: _Facts) -> list[str]:
    counter = facts.put("epoch {}", "epoch") or facts.put("epoch {}", "counter")
    return [counter + facts.put(" of run {}" if counter else "run {}", "run_id")]


def _from_to(name: str) -> Words:
    """`from P2 to P1`; `to operator2` where there was none."""

    def words(facts: _Facts) -> list[str]:
        return [" ".join(filter(None, (facts.put("from {}", "before"), facts.put("to {}", name))))]

    return words


def _escalated(facts: _Facts) -> list[str]:
    return [*_from_to("severity")(facts), *_objective(facts)]


def _objective(facts: _Facts) -> list[str]:
    """How an objective stands."""
    state = ": ".join(filter(None, (facts.take("slo"), facts.take("state"))))
    left = facts.put("{} of its budget left", "remaining")
    return [state, facts.put("as grave as {}", "level"), facts.news("why"), left]


def _expired(facts: _Facts) -> list[str]:
    facts.take("title")  # the incident's own
    return [facts.put("acknowledged by {}", "acknowledged_by"), facts.put("and nothing for {} s", "after_s")]


def _acknowledged(facts: _Facts) -> list[str]:
    facts.take("title")
    return []


def _linked(facts: _Facts) -> list[str]:
    links = facts.links()
    return [f"to {links}" if links else ""]


def _action(facts: _Facts) -> list[str]:
    return [facts.take("what"), facts.put("for {}", "owner"), facts.put("due {}", "due_at")]


def _merged(facts: _Facts) -> list[str]:
    return [facts.put("into {}", "title") + facts.put(" ({})", "into")]


def _took_over(facts: _Facts) -> list[str]:
    links = facts.links()
    return [facts.take("title") + facts.put(" ({})", "from"), f"with {links}" if links else ""]


def _resolved(facts: _Facts) -> list[str]:
    return [facts.news("root_cause")]


def _plainly(*names: str, form: str = "{}") -> Words:
    return lambda facts: [facts.put(form, name) for name in names]


_WORDS: Final[Mapping[str, Words]] = {
    "opened": _opened,
    "fired": _fired,
    "tripped": _tripped,
    "acknowledged": _acknowledged,
    "ack-expired": _expired,
    "escalated": _escalated,
    "assigned": _from_to("owner"),
    "classified": _from_to("classification"),
    "snoozed": _plainly("until", form="until {}"),
    "linked": _linked,
    "told": _plainly("audience"),
    "action": _action,
    "done": _plainly("what"),
    "merged": _merged,
    "took-over": _took_over,
    "resolved": _resolved,
    "slo-breach": _objective,
    "slo-eased": _objective,
    "slo-recovered": _objective,
    "paged-again": _plainly("receivers", form="to {}"),
    "kill-switch-reviewed": _plainly("approved_by", form="approved by {}"),
}
"""What has no words of its own here, as `noted` and what a run's file says, is told by `rest`."""
