"""By which clients a value is made: SDK, browser and media region of those who left (dossier, section 2). Pure.

Rows of participants say it themselves, so it costs no request. The vendor names no country; the region is where the
media went, which is near enough to find a provider's trouble and no place of a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from watcher.model import Dimension, Group, Rest, Split
from watcher.providers.twilio.memory import Stay
from watcher.providers.twilio.points import counts_for

DIMENSIONS = (Dimension.SDK, Dimension.BROWSER, Dimension.MEDIA_REGION)  # as the fields of `rows.Client`
_MOST_GROUPS = 20  # of a dimension, the largest


def splits(stays: Collection[Stay], signal: str) -> tuple[Split, ...]:
    """A share of these stays by dimension, as far as rows name one."""
    whole = sum(counts_for(stay, signal) for stay in stays) / len(stays) if stays else 0.0
    found = ((dimension, tuple(_groups(stays, signal, column))) for column, dimension in enumerate(DIMENSIONS))
    return tuple(
        Split(dimension=dimension, groups=groups, counts="participants", whole=whole)
        for dimension, groups in found
        if groups
    )


def _groups(stays: Collection[Stay], signal: str, column: int) -> Iterator[Group]:
    people, bad = Counter[str](), Counter[str]()
    for stay in stays:
        name = stay.client[column]
        people[name] += 1
        bad[name] += counts_for(stay, signal)
    for name, count in people.most_common(_MOST_GROUPS):
        if name:
            others = len(stays) - count
            rest = Rest((bad.total() - bad[name]) / others if others else 0.0, float(others))
            yield Group(name, bad[name] / count, float(count), rest)
