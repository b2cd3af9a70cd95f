"""By which clients a value is made: SDK, browser and country of the connections behind streams (dossier, 3.1). Pure.

Connections are read with every look, to count people; what they are costs no request and no node more. A publisher's
stream has the client of its connection. There is no media region in these rows, so none is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from sys import intern
from typing import NamedTuple

import numpy as np

from watcher.errors import clip
from watcher.model import Dimension, Group, Rest, Split
from watcher.providers.vonage import wire
from watcher.providers.vonage.points import Bools, Ints, Scale, Votes, measure

MAX_CLIENTS = 5000  # kinds of client of a project: text of end users, so it is bounded
_MAX_NAME = 40
_MOST_GROUPS = 20  # of a dimension, the largest: what others are in stands out from nothing
_NOBODY = Rest(0.0, 0.0)


class Client(NamedTuple):
    """Empty where the vendor does not say."""

    sdk: str = ""
    browser: str = ""
    country: str = ""


DIMENSIONS = (Dimension.SDK, Dimension.BROWSER, Dimension.COUNTRY)  # as the fields of `Client`


def client_of(party: wire.Party) -> Client:
    """`js 2.27.3`, `Chrome 118`, `US`"""
    return Client(
        sdk=_text(party.sdk_type, party.sdk_version),
        browser=_text(party.browser, party.browser_version),
        country=_text(party.country),
    )


def _text(*parts: str | None) -> str:
    return intern(clip(" ".join(part for part in parts if part), _MAX_NAME))


def splits(
    votes: Votes,
    chosen: Bools,
    clients: Ints,
    known: Sequence[Client],
    *,
    signal: str,
    scale: Scale,
    lines: Mapping[str, float],
) -> tuple[Split, ...]:
    """A signal over the chosen streams by dimension; `clients[i]` is the place in `known` of `votes.stream[i]`'s."""
    found = []
    for column, dimension in enumerate(DIMENSIONS):
        names = np.array([client[column] for client in known] + [""])[clients]  # -1, not known, is the last
        groups = tuple(_groups(votes, chosen, names, signal, scale, lines))
        if groups:
            found.append(Split(dimension=dimension, groups=groups, counts="streams"))
    return tuple(found)


def _groups(
    votes: Votes,
    chosen: Bools,
    names: np.ndarray[tuple[int, ...], np.dtype[np.str_]],
    signal: str,
    scale: Scale,
    lines: Mapping[str, float],
) -> Iterator[Group]:
    present, counts = np.unique(names[chosen & (names != "")], return_counts=True)
    for name in present[np.argsort(-counts, kind="stable")][:_MOST_GROUPS].tolist():
        mine = names == name
        own = measure(votes, chosen & mine, [signal], scale, lines).get(signal)
        rest = measure(votes, chosen & ~mine, [signal], scale, lines).get(signal)
        if own is not None:
            yield Group(name, own.value, own.weight, Rest(rest.value, rest.weight) if rest is not None else _NOBODY)
