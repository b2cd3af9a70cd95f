"""The calls behind a page, named in its text where the vendor's module can tell them (design, section 2: channel).

Which calls are bad is known when the answer is there and not much later, and only to the module that read them; rules
know series. So this stands between the two: transitions that fire get a line with the worst calls of their window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from watcher.errors import clip
from watcher.model import Answer, Series, State, Transition

WORST = "worst"  # the annotation's name
_MOST = 300  # characters


def named(transitions: Sequence[Transition], answer: Answer) -> tuple[Transition, ...]:
    """The transitions, with the worst calls in those that fire because of this answer."""
    if answer.worst is None:
        return tuple(transitions)
    series = {(_labels(s), s.signal): s for s in answer.query.series}
    return tuple(_named(transition, answer, series) for transition in transitions)


def _named(
    transition: Transition, answer: Answer, series: dict[tuple[frozenset[tuple[str, str]], str], Series]
) -> Transition:
    if transition.state is not State.FIRING or answer.worst is None:
        return transition
    names = ("account", "provider", "project", "product", "channel")
    place = frozenset((name, transition.labels[name]) for name in names if name in transition.labels)
    found = series.get((place, transition.signal))
    text = answer.worst(found, transition.at) if found is not None else ""
    if not text:
        return transition
    return replace(transition, annotations={**transition.annotations, WORST: clip(text, _MOST)})


def _labels(series: Series) -> frozenset[tuple[str, str]]:
    return frozenset(series.labels().items())
