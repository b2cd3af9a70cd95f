"""What the rules would have paged with no budget and no delay: every window judged at its event time.

The engine's settled timeline does not depend on how points are cut (design, invariant 3), so it is fed half an hour of
all series at a time, and what it says is then told at the event times, in their order, through the same routes and
outboxes. Feeding it window by window would say the same thirty times more slowly.
"""

from __future__ import annotations

from dataclasses import replace

from watcher.backtest.recording import Recording
from watcher.backtest.replay import Messages, SteppingClock
from watcher.backtest.source import points_of, remember
from watcher.clock import MINUTE
from watcher.config import Config
from watcher.model import Answer, Commit, Query, Span, Transition
from watcher.rules.engine import Engine

_PIECE = 30 * MINUTE


async def judge_all(
    config: Config, recording: Recording, past: Recording | None = None
) -> tuple[Messages, Engine, float]:
    """Judge every window of the recording, tell everything at its event time."""
    clock = SteppingClock(recording.begin)
    messages = Messages(config, clock)
    engine = Engine(rules=config.rules, settings=config.judging)
    queries = [query for account in config.accounts for query in account.queries]
    told = [query for account in config.accounts for query in account.past]
    remember(engine, queries, told, past, recording.begin)
    piece = min(_PIECE, config.judging.horizon // 2)
    async with messages.opened():
        for begin in range(recording.begin, recording.end, piece):
            end = min(begin + piece, recording.end)
            said: list[Transition] = []
            for query in queries:
                answer = _answer(query, recording, Span(begin, end))
                if answer is not None:
                    said += engine.receive(answer, float(end)).transitions
                    await messages.recorder.record(Commit(points=answer.points))
            if (due := engine.due()) is not None and due <= end + piece:
                said += engine.tick(due).transitions
            for transition in sorted(said, key=lambda t: t.at):
                await _wait(messages, clock, transition.at)
                await messages.recorder.record(Commit(transitions=[replace(transition, known_at=clock.now())]))
                await messages.deliver()
        await _wait(messages, clock, recording.end)
        await messages.finish()
    return messages, engine, clock.now()


async def _wait(messages: Messages, clock: SteppingClock, until: float) -> None:
    """Messages that grouping held back leave on the way."""
    while messages.due <= until:
        clock.set(messages.due)
        await messages.deliver()
    clock.set(until)


def _answer(query: Query, recording: Recording, span: Span) -> Answer | None:
    """The windows whose event time lies in (start, end]; None where there are none on the query's grid."""
    width = query.width
    asked = Span(span.start // width * width, span.end // width * width)
    if asked.start >= asked.end:
        return None
    found = (points_of(recording.columns, series, width, asked) for series in query.series)
    return Answer(
        query=query,
        asked=asked,
        settled=asked.end,
        points=tuple(p for p in found if p is not None),
        received_at=float(span.end),
    )
