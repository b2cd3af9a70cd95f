"""Which rows of statistics reached the client: per stream, the ranks as merged intervals, and how often one came twice.

With it a test computes, from the server's side, the rows that were lost (visible, never handed out) and the share that
was read again. Bounded in streams and in intervals per stream; what the bounds cost is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from watcher.emulator.counting import merge
from watcher.model import Span

_MAX_STREAMS = 200_000
_MAX_SPANS = 200


@dataclass(slots=True)
class Handed:
    """Of one stream."""

    spans: list[Span] = field(default_factory=list)
    total: int = 0  # rows handed out, each time counted

    def unique(self, first: int = 0) -> int:
        """Different rows of rank `first` and above."""
        return sum(span.end - max(span.start, first) for span in self.spans if span.end > first)


class HandedOut:
    """Of all streams, by their keys."""

    def __init__(self) -> None:
        self._streams: dict[int, Handed] = {}
        self.dropped_streams = 0
        self.forgotten_spans = 0

    def add(self, stream: int, ranks: Sequence[int]) -> None:
        """These rows went out in an answer that was not spoiled."""
        handed = self._streams.get(stream)
        if handed is None:
            if len(self._streams) >= _MAX_STREAMS:
                self.dropped_streams += 1
                return
            handed = self._streams[stream] = Handed()
        handed.total += len(ranks)
        spans = handed.spans
        for span in _spans(ranks):
            if spans and span.start == spans[-1].end:
                spans[-1] = Span(spans[-1].start, span.end)  # the usual case: just the rows after the last ones
            elif not spans or span.start > spans[-1].end:
                spans.append(span)
            else:
                spans = merge([*spans, span])
        surplus = max(0, len(spans) - _MAX_SPANS)
        self.forgotten_spans += surplus
        handed.spans = spans[surplus:]

    def of(self, stream: int) -> Handed:
        """What is known of a stream."""
        return self._streams.get(stream) or Handed()

    def totals(self) -> tuple[int, int]:
        """Rows handed out, each time counted; and different rows."""
        streams = self._streams.values()
        return sum(handed.total for handed in streams), sum(handed.unique() for handed in streams)


def _spans(ranks: Sequence[int]) -> list[Span]:
    """Runs of ascending ranks."""
    if isinstance(ranks, range):
        return [Span(ranks.start, ranks.stop)] if ranks else []
    return merge([Span(rank, rank + 1) for rank in ranks])
