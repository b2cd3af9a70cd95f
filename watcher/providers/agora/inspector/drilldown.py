"""One call as a whole, for whoever asks "who is affected?": all its users, within a cap (dossier section 8.5).

    list -> the largest running call (or that of a channel) -> all pages of sessions -> metrics, 20 users a request

A call of 1,000 users is 61 requests. The cap is kept to the request: the first is spent already, each further one is
asked of the purse, and where either ends, the picture is of those read so far and says of how many. Users are read in
the order in which samples draw them, so that what is read first is no worse or better than what is not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from watcher.model import Purse, Span
from watcher.providers.agora.inspector import choice
from watcher.providers.agora.inspector.client import MAX_SIDS, InspectorClient
from watcher.providers.agora.inspector.figures import WANTED, Votes
from watcher.providers.agora.inspector.lossunit import LossUnit
from watcher.providers.agora.inspector.rows import Call, Session
from watcher.providers.agora.inspector.settings import CallInspector
from watcher.providers.agora.values import Oddity, Row, Tally

Dimension = Literal["sdk", "platform", "network", "device"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One call: its users, and what was read of them in `requests` requests."""

    call: Call
    sessions: tuple[Session, ...]
    read: frozenset[str]
    votes: Votes
    requests: int

    @property
    def share(self) -> float:
        """Of the users found, those whose streams were read."""
        return len(self.read) / len(self.sessions) if self.sessions else 0.0

    def rows(self, product: str, signal: str, dimension: Dimension) -> tuple[Row, ...]:
        """A signal by group of users, the largest mean first; one product only, since their losses do not compare."""
        values = self.votes.overall(product, signal)
        groups: dict[str, list[float]] = defaultdict(list)
        for session in self.sessions:
            if session.sid in values:
                groups[getattr(session, dimension)].append(values[session.sid].value)
        rows = (
            Row(dimension=dimension, value=name, users=float(len(found)), metric=sum(found) / len(found))
            for name, found in groups.items()
        )
        return tuple(sorted(rows, key=lambda row: (-row.metric, row.value)))


async def drill_down(
    client: InspectorClient,
    app_id: str,
    listing: Span,
    span: Span,
    settings: CallInspector,
    purse: Purse,
    tally: Tally,
    *,
    most: int,
    channel: str = "",
) -> Picture | None:
    """Read the largest call that runs in `span` with at most `most` requests; None where none runs.

    `listing` is where calls are looked for; both lie inside the plan's numbers. Raises `ProviderError`.
    """
    budget = _Budget(purse=purse, most=most)
    listed = await client.lists(app_id, listing, purse, tally, channel=channel)
    chosen = choice.calls((call for call in listed.calls if call.runs_in(*span)), "largest", 1)
    if not chosen:
        return None
    (call,) = chosen
    sessions = [s for s in await _sessions(client, app_id, call, span, budget, purse, tally) if s.there_in(*span)]
    votes = Votes(
        loss_scale=settings.loss_scale,
        lines={"video_loss": settings.lines.video_loss, "audio_loss": settings.lines.audio_loss},
    )
    read: set[str] = set()
    order = choice.users(sessions, len(sessions))
    for part in (order[at : at + MAX_SIDS] for at in range(0, len(order), MAX_SIDS)):
        if not await budget.more():
            tally[Oddity.UNREAD] += len(order) - len(read)
            break
        sids = [session.sid for session in part]
        streams = await client.metrics(app_id, call.id, span, sids, purse, tally, wanted=WANTED)
        for session in part:
            own = [stream for stream in streams if stream.sid == session.sid]
            votes.take(session.sid, own, frozenset({session.sid} if session.is_web else ()))
        read |= set(sids)
    LossUnit(settings.loss).check(votes, tally)
    return Picture(call=call, sessions=tuple(sessions), read=frozenset(read), votes=votes, requests=budget.spent)


async def _sessions(
    client: InspectorClient, app_id: str, call: Call, span: Span, budget: _Budget, purse: Purse, tally: Tally
) -> Sequence[Session]:
    """All pages of a call's sessions, as far as the budget goes."""
    found: dict[str, Session] = {}
    number = 1
    while await budget.more():
        page = await client.sessions(app_id, call.id, span, purse, tally, page=number)
        before = len(found)
        found |= {session.sid: session for session in page.sessions}
        if again := before + len(page.sessions) - len(found):
            tally[Oddity.REPEATED] += again
        if page.page.last or len(found) == before:  # the last page, or one that repeats
            break
        number += 1
    return tuple(found.values())


@dataclass(slots=True, kw_only=True)
class _Budget:
    """Requests of one drill-down; the first is spent already."""

    purse: Purse
    most: int
    spent: int = 1

    async def more(self) -> bool:
        if self.spent >= self.most or not await self.purse.spend():
            return False
        self.spent += 1
        return True
