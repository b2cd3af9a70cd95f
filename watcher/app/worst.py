"""The calls behind a page, named in its text where the vendor's module can tell them (design, section 2: channel).

Which calls are bad is known when the answer is there and not much later, and only to the module that read them; rules
know series. So this stands between the two: transitions that fire get a line with the worst calls of their window, and
where a vendor tells of calls only afterwards, a line that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from watcher.alerts.wording import span
from watcher.errors import clip
from watcher.model import Answer, Series, State, Transition

WORST = "worst"  # the annotations' names
AFTERWARDS = "afterwards"
_MOST = 300  # characters


def named(transitions: Sequence[Transition], answers: Iterable[Answer]) -> tuple[Transition, ...]:
    """The transitions, with the worst calls in those that fire.

    `answers` are the newest of each query: what is judged may have waited for another one, as for a `require`.
    """
    found = tuple(transitions)
    if not found:
        return found
    for answer in answers:
        series = {(_labels(s), s.signal): s for s in answer.query.series}
        found = tuple(_named(transition, answer, series) for transition in found)
    return found


def _named(
    transition: Transition, answer: Answer, series: dict[tuple[frozenset[tuple[str, str]], str], Series]
) -> Transition:
    if transition.state is not State.FIRING or (answer.worst is None and not answer.query.amended):
        return transition
    names = ("account", "provider", "project", "product", "channel")
    place = frozenset((name, transition.labels[name]) for name in names if name in transition.labels)
    found = series.get((place, transition.signal))
    if found is None:
        return transition
    notes = {
        WORST: clip(answer.worst(found, transition.at), _MOST) if answer.worst is not None else "",
        AFTERWARDS: f"told after calls are over, up to {span(answer.query.delay)} later"
        if answer.query.amended
        else "",
    }
    return replace(transition, annotations={**transition.annotations, **{k: v for k, v in notes.items() if v}})


def _labels(series: Series) -> frozenset[tuple[str, str]]:
    return frozenset(series.labels().items())
