"""Which running calls and which of their users a sample is made of (dossier sections 8.1, 8.2, 9). Pure.

Calls: the largest first, since a sample of few calls shall cover many users; or the worst first by the freeze rates
that the list gives, each against Agora's own line, for those who would rather hear of the worst calls than of most
users. Only calls: inside a call users are drawn without regard to how they fare, or the figures would say so.

Users are drawn by a hash of their session's id, so that the next look meets the same ones again and a value changes
because the network did, not because the sample did. Whoever asks for one call (`callview`) is no sample: there the
worst are read first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal

from watcher.providers.agora.inspector.rows import Call, Session

AUDIO_FREEZE, VIDEO_FREEZE = 0.03, 0.05  # Agora's lines for a user in a call (section 9)


def calls(running: Iterable[Call], first: Literal["largest", "worst"], most: int) -> tuple[Call, ...]:
    """Up to `most` of the running calls; of alike ones the newest."""

    def size(call: Call) -> tuple[float, ...]:
        return -float(call.peak_users or 0), -call.created

    def badness(call: Call) -> tuple[float, ...]:
        return -_freezes(call), *size(call)

    ranked = sorted(running, key=lambda call: (*(size if first == "largest" else badness)(call), call.id))
    return tuple(ranked[:most])


def users(there: Sequence[Session], most: int) -> tuple[Session, ...]:
    """Up to `most` of the sessions, the same ones whenever they are there."""
    return tuple(sorted(there, key=lambda session: (_draw(session.sid), session.sid))[:most])


def worst_first(there: Iterable[Session]) -> tuple[Session, ...]:
    """All sessions, those that froze most first; those alike as samples draw them."""
    return tuple(sorted(there, key=lambda session: (-_freezes(session), _draw(session.sid), session.sid)))


def _freezes(of: Call | Session) -> float:
    """The worse of the two freeze rates, as a multiple of Agora's own line."""
    return max((of.audio_freeze or 0.0) / AUDIO_FREEZE, (of.video_freeze or 0.0) / VIDEO_FREEZE)


def _draw(sid: str) -> bytes:
    return hashlib.blake2b(sid.encode(), digest_size=8).digest()
