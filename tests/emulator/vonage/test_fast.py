"""The short way of executing gives what graphql-core alone gives, values and errors alike."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import execute, parse
from graphql.execution import ExecutionResult

from tests.emulator.vonage.helpers import KEY, NOON, plain, project, scenario
from tests.emulator.vonage.test_graph import GOLDEN, STEP_A
from watcher.emulator.faults import Fault
from watcher.emulator.vonage.daily import Nightly
from watcher.emulator.vonage.fast import FastExecutor
from watcher.emulator.vonage.graph import Graph, Question
from watcher.emulator.vonage.life import Lives
from watcher.emulator.vonage.pages import Asking, Store
from watcher.emulator.vonage.sessions import Sessions
from watcher.emulator.vonage.view import View

WORLD = scenario(
    plain(
        projects=[project(traffic={"sessions": 8, "participants": 3, "length": "30m"})],
        incidents=[{"project": "classroom", "start": "+11h", "duration": "1h", "levels": {"videoPacketLoss": "9%"}}],
    )
)
STORE = WORLD.projects[0]
SESSIONS = Sessions(STORE)
IDS = [session.session_id for session in SESSIONS.within(NOON - 600, NOON - 300)]
BOARD = next(iter(SESSIONS.named))

INSIDE = """query ($ids: [String]!) {{ project(projectId: 12345678) {{ sessionData {{
  sessions(sessionIds: $ids) {} }} }} }}"""

QUERIES = [
    INSIDE.format(GOLDEN),
    STEP_A.replace("$since", "0", 1).replace(", 0: Date!", "").replace("start: $since", "first: 3"),
    INSIDE.format(
        "{ resources { __typename id: sessionId ... on Session { mediaMode } participantMinutes { from3To6Publishers }"
        " meetings(first: 2) { pageInfo { __typename hasNextPage } resources { publisherMinutes subscribers(first: 2) {"
        " maxConcurrent resources { stream { videoType } streamStatsCollection { resources { __typename createdAt"
        " loss: videoPacketLoss } } } } } } } }"
    ),
    INSIDE.format('{ resources { sessionId meetings(endCursor: "?") { totalCount } } }'),
    INSIDE.format("{ resources { meetings { resources { publishers(first: -1) { totalCount } createdAt } } } }"),
    INSIDE.format("{ resources { meetings(start: 5) { resources { createdAt } } } }"),
    """{ project(projectId: 1) { __typename } a: project(projectId: 12345678) { sessionData {
      sessionSummaries(start: 1767261600) { totalCount resources { sessionId subscriberMinutes
        meetings { resources { totalStreams totalSubscribers } } } } } } }""",
    """{ project(projectId: 12345678) { projectData(start: 0, groupBy: [SDK_TYPE, BROWSER], first: 3) { interval
      resources { sdkType browser usage { hlsMinutes }
        errors { connect { failures } guidConnect { failures } } } } } }""",
]


def asking(faults: dict[str, Fault]) -> Asking:
    """A request at noon."""
    return Asking(
        store=Store(
            project=STORE,
            sessions=SESSIONS,
            lives=Lives(WORLD.incidents),
            nightly=Nightly(project=STORE, incidents=WORLD.incidents, delay=0, jitter=0),
        ),
        known={KEY: STORE},
        view=View(now=NOON, visibility=STORE.visibility, outages=()),
        answers=WORLD.answers,
        jitter=0.05,
        faults=faults,
        unreachable="",
        most_nodes=500_000,
    )


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("fault", ["", "partial", "shuffled", "duplicates", "missing_fields", "unknown_values"])
def test_both_executors_agree(query: str, fault: str) -> None:
    """The same data in the same order, the same errors at the same places."""
    graph = Graph(coded=False)
    faults = {fault: Fault(kind=fault, share=0.5)} if fault else {}
    variables: dict[str, Any] = {"ids": [BOARD, *IDS]}
    results = []
    for executor in (FastExecutor, None):
        result = execute(
            graph.schema,
            parse(query),
            context_value=asking(faults),
            variable_values=variables,
            field_resolver=lambda source, info: source.get(info.field_name),
            executor_class=executor,
        )
        assert isinstance(result, ExecutionResult)
        results.append(result)
    short, long = results
    assert [error.formatted for error in short.errors or ()] == [error.formatted for error in long.errors or ()]
    if fault == "missing_fields":
        assert without_nulls(short.data) == without_nulls(long.data)
    else:
        assert list(walk(short.data)) == list(walk(long.data))


def test_a_query_of_too_many_nodes_stops_early() -> None:
    """Nothing is made once the limit is passed, however much the query asks for."""
    graph = Graph(coded=False)
    question = graph.read(QUERIES[0])
    assert isinstance(question, Question)
    ask = asking({})
    ask.most_nodes = 20
    answered = graph.answer(question, ask=ask, variables={"ids": [BOARD, *IDS]}, name=None)
    assert answered.too_large
    assert answered.codes == (1014,)
    assert ask.handed == []


def without_nulls(value: Any) -> Any:
    """A field that is missing is absent on the short way and null on the long one."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def walk(value: Any, place: tuple[Any, ...] = ()) -> Any:
    """Every value with its place, in order."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from walk(inner, (*place, name))
    elif isinstance(value, list):
        yield place, len(value)
        for index, inner in enumerate(value):
            yield from walk(inner, (*place, index))
    else:
        yield place, value
