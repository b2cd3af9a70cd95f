"""GraphQL requests from text to answer: read, count the nodes, run, and put errors into the vendor's shape.

Reading (parsing and validating) costs more than anything else, so the last documents are remembered by their text; a
client that keeps its texts and changes variables is answered three times as fast. A query of more nodes than allowed is
answered with the vendor's misleading words: that the add-on is missing (dossier, 4.2). Which objects count is a switch:
those that exist, counted page by page before each is made (the one real response came from a query whose pages could
have held millions), or those that the pages could hold, counted before anything runs (`nodes`).

Errors carry `errorCode` beside `message` (dossier, 4.3). HTTP 200 for errors of execution and 400 for a query that
cannot be read are INFERRED.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

from graphql import (
    ConstValueNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLScalarType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    StringValueNode,
    build_schema,
    execute,
    parse,
    validate,
)
from graphql.execution import ExecutionResult, get_variable_values

from watcher.emulator.vonage.fast import FastExecutor
from watcher.emulator.vonage.nodes import Count
from watcher.emulator.vonage.pages import MESSAGES, Asking
from watcher.emulator.vonage.resolvers import attach
from watcher.errors import clip

ENDPOINTS = ("projectData", "sessions", "sessionSummaries")
MAX_TEXT = 2_000_000

_MAX_TOKENS = 400_000
_MAX_ERRORS = 20
_KEPT_DOCUMENTS = 16
_KEPT_CHARACTERS = 30_000  # of their texts: a parsed document takes a hundred bytes for each, so 3 MB
_SCHEMA = Path(__file__).parent.parent / "vonage.graphql"
_STAMP = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?(Z|[+-]\d\d:?\d\d)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request that could be read. `endpoint` is what it asks about, for faults and counts."""

    document: DocumentNode
    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came of a question. `data` is absent (not null) where nothing was run."""

    status: int
    body: dict[str, Any]
    nodes: int = 0
    slow: bool = False
    too_large: bool = False

    @property
    def codes(self) -> tuple[int, ...]:
        """The error codes in it."""
        return tuple(error.get("errorCode", 0) for error in self.body.get("errors", ()))


class Graph:
    """The schema, and the documents read last."""

    def __init__(self, *, coded: bool) -> None:
        self.schema = _schema()
        self._coded = coded
        self._read: OrderedDict[str, Question | Answered] = OrderedDict()
        self._characters = 0

    def read(self, text: str) -> Question | Answered:
        """The question in a text, or the errors of a text that is none."""
        if text in self._read:
            self._read.move_to_end(text)
            return self._read[text]
        question = self._parse(text)
        self._read[text] = question
        self._characters += len(text)
        while len(self._read) > _KEPT_DOCUMENTS or (self._characters > _KEPT_CHARACTERS and len(self._read) > 1):
            oldest, _ = self._read.popitem(last=False)
            self._characters -= len(oldest)
        return question

    def answer(self, question: Question, *, ask: Asking, variables: Mapping[str, Any], name: str | None) -> Answered:
        """Run a question for a project."""
        operation = _operation(question.document, name)
        if operation is None:
            return self._refuse([GraphQLError("Unknown or missing operation name.")])
        values = get_variable_values(self.schema, operation.variable_definitions or (), dict(variables))
        if isinstance(values, list):
            return self._refuse(values)
        count = Count(schema=self.schema, fragments=_fragments(question.document), variables=values)
        try:
            pages = count.operation(operation)
        except GraphQLError as error:
            return self._refuse([error])
        if ask.answers.nodes == "pages":
            if pages > ask.most_nodes:
                return Answered(status=200, body=failed(1014), nodes=pages, too_large=True)
            ask.most_nodes = pages  # what exists is never more
        result = execute(
            self.schema,
            question.document,
            context_value=ask,
            variable_values=dict(variables),
            operation_name=name,
            field_resolver=_plain,
            executor_class=FastExecutor,
            is_awaitable=_never,
        )
        assert isinstance(result, ExecutionResult)
        nodes = pages if ask.answers.nodes == "pages" else ask.nodes
        if ask.nodes > ask.most_nodes:
            return Answered(status=200, body=failed(1014), nodes=nodes, too_large=True)
        body: dict[str, Any] = {}
        if result.errors:
            body["errors"] = [self._formatted(error) for error in result.errors]
        return Answered(status=200, body={**body, "data": result.data}, nodes=nodes, slow=count.slow)

    def _parse(self, text: str) -> Question | Answered:
        try:
            document = parse(text, max_tokens=_MAX_TOKENS, allow_empty_selection_sets=False)
            errors = validate(self.schema, document, max_errors=_MAX_ERRORS)
        except GraphQLError as error:
            return self._refuse([error])
        except RecursionError:
            return self._refuse([GraphQLError("The query is nested too deeply.")])
        if errors:
            return self._refuse(errors)
        if any(o.operation is not OperationType.QUERY for o in _operations(document)):
            return self._refuse([GraphQLError("Only queries are answered.")])
        return Question(document=document, endpoint=_endpoint(document))

    def _refuse(self, errors: Sequence[GraphQLError]) -> Answered:
        return Answered(status=400, body={"errors": [self._formatted(error) for error in errors]})

    def _formatted(self, error: GraphQLError) -> dict[str, Any]:
        """Message, locations, path, errorCode: the order of the documented example."""
        shaped: dict[str, Any] = {"message": clip(error.message, 300)}
        if error.locations:
            shaped["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
        if error.path is not None:
            shaped["path"] = list(error.path)
        code = (error.extensions or {}).get("errorCode")
        if code is None and self._coded:
            code = _code_of(error)
        if code is not None:
            shaped["errorCode"] = code
        return shaped


def failed(code: int) -> dict[str, Any]:
    """The body that an error code has outside of any execution, as the documented example has it."""
    path = ["project", "sessionData"] if code in (1014, 1017, 1018) else ["project"]
    data: dict[str, Any] = {"project": {"sessionData": None}} if len(path) == 2 else {"project": None}
    error = {"message": MESSAGES[code], "locations": [{"line": 2, "column": 3}], "path": path, "errorCode": code}
    return {"errors": [error], "data": data}


def unauthenticated(code: int, message: str = "") -> dict[str, Any]:
    """The other shape: a body with one error and no data."""
    return {"error": {"errorCode": code, "message": message or MESSAGES[code]}}


def _code_of(error: GraphQLError) -> int:
    """The code that the vendor's list has for such a mistake, where the scenario wants codes (INFERRED)."""
    message = error.message
    if "is required" in message or "to be provided" in message:
        return 1013
    if "Int cannot represent" in message:
        return 1006
    if "Enum 'Interval' cannot represent" in message:
        return 1003
    return 1022


# ── the document ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _operations(document: DocumentNode) -> list[OperationDefinitionNode]:
    return [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]


def _operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode | None:
    operations = _operations(document)
    if name:
        return next((o for o in operations if o.name and o.name.value == name), None)
    return operations[0] if len(operations) == 1 else None


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}


def _endpoint(document: DocumentNode) -> str:
    """The first of `ENDPOINTS` that is asked for; empty where none is."""
    fragments = _fragments(document)
    spread: set[str] = set()

    def search(selection: SelectionSetNode | None) -> str:
        for item in selection.selections if selection else ():
            if isinstance(item, FieldNode):
                if item.name.value in ENDPOINTS:
                    return item.name.value
                if item.name.value == "session":
                    return "sessions"
                found = search(item.selection_set)
            elif isinstance(item, InlineFragmentNode):
                found = search(item.selection_set)
            else:
                assert isinstance(item, FragmentSpreadNode)
                if item.name.value in spread:
                    continue
                spread.add(item.name.value)
                found = search(fragments[item.name.value].selection_set)
            if found:
                return found
        return ""

    return next((found for operation in _operations(document) if (found := search(operation.selection_set))), "")


# ── the schema ───────────────────────────────────────────────────────────────────────────────────────────────────────


@cache  # it holds nothing of any project: those come with the question
def _schema() -> GraphQLSchema:
    schema = build_schema(_SCHEMA.read_text(encoding="utf-8"))
    for name, read in (("Date", _instant), ("IntOrString", _identifier)):
        scalar = schema.type_map[name]
        assert isinstance(scalar, GraphQLScalarType)
        scalar.coerce_input_value = read
        scalar.coerce_input_literal = _literally(read)
    attach(schema)
    return schema


def _literally(read: Any) -> Any:
    def of_node(node: ConstValueNode) -> Any:
        if isinstance(node, IntValueNode):
            return read(int(node.value) if len(node.value) <= 20 else node.value)
        if isinstance(node, StringValueNode):
            return read(node.value)
        raise GraphQLError("Expected a string or an integer.", node)

    return of_node


def _identifier(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise GraphQLError("IntOrString cannot represent that value.")
    return str(value)


def _instant(value: object) -> float:
    """Unix seconds of a date in any of the three forms (dossier, 2.3); digits in quotes work as well."""
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,16}", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**16:
        return float(value) if len(str(abs(value))) <= 10 else value / 1000
    if isinstance(value, str) and _STAMP.match(value):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            at = None
        if at is not None:
            seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
            if math.isfinite(seconds):
                return seconds
    raise GraphQLError("Date cannot represent that value.")


def _plain(source: Any, info: Any, **given: Any) -> Any:
    return source[info.field_name]


def _never(value: object) -> TypeGuard[Awaitable[Any]]:
    return False
