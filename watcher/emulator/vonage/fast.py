"""graphql-core's executor, with a shorter way for what needs none of its machinery.

Nine fields in ten of an answer are plain values of a row that is there already: no argument, no resolver, no promise,
nothing that can fail. For each of them graphql-core builds a path, an info object and asks four times whether the value
is awaitable, which costs ten times the value itself. Here such fields are copied straight out of the row, and lists of
rows of statistics are copied whole; arguments, the same for every row of a list, are coerced once. Everything else
(parsing, validation, variables, fragments, directives, aliases, errors and their places) stays with graphql-core.

The methods overridden and used are not part of its public interface, hence the cap on its version and a test that
compares the answers of both executors. Writing an executor of our own would have been faster still; then nobody but
us would say what GraphQL means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from graphql import (
    GraphQLError,
    GraphQLField,
    GraphQLList,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    get_named_type,
    is_leaf_type,
)
from graphql.execution import Executor, get_argument_values
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet
from graphql.pyutils import Path


class Row(dict[str, Any]):
    """An object of the answer: its plain fields as JSON values, ready to be copied. `of` is what it stands for."""

    __slots__ = ("of",)

    def __init__(self, fields: dict[str, Any], of: Any = None) -> None:
        super().__init__(fields)
        self.of = of


class Leaves(list[dict[str, Any]]):
    """A list of objects that have plain fields only. A field that an object lacks stays out of the answer."""


class _Step(NamedTuple):
    """What to do for one response name: copy `name`, or resolve it with arguments that are the same for all rows."""

    response: str
    name: str
    details: FieldDetailsList
    field: GraphQLField | None  # None: copy
    arguments: Mapping[str, Any]


class FastExecutor(Executor[Any]):
    """See the module. One per request, so what it remembers lives as long as the nodes it names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._plans: dict[int, tuple[GroupedFieldSet, Sequence[_Step]]] = {}

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: GroupedFieldSet,
        position_context: Any,
    ) -> Any:
        plan = self._plan(parent_type, grouped_field_set) if isinstance(source_value, Row) else None
        if plan is None:
            return super().execute_fields(parent_type, source_value, path, grouped_field_set, position_context)
        answer: dict[str, Any] = {}
        for step in plan:
            if step.field is None:
                answer[step.response] = source_value[step.name]
            else:
                place = Path(path, step.response, parent_type.name)
                answer[step.response] = self._resolve(step, parent_type, source_value, place, position_context)
        return answer

    def complete_list_value(
        self,
        return_type: GraphQLList[GraphQLOutputType],
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        if not isinstance(result, Leaves):
            return super().complete_list_value(return_type, field_details_list, info, path, result, position_context)
        kind = get_named_type(return_type)
        assert isinstance(kind, GraphQLObjectType)
        grouped = self.collect_subfields(kind, field_details_list).grouped_field_set
        names = [(response, details[0].node.name.value) for response, details in grouped.items()]
        constant = {response: kind.name for response, name in names if name == "__typename"}
        names = [(response, name) for response, name in names if name != "__typename"]
        return [{**constant, **{response: row[name] for response, name in names if name in row}} for row in result]

    def _resolve(
        self, step: _Step, parent_type: GraphQLObjectType, source: Row, path: Path, position_context: Any
    ) -> Any:
        """As `Executor.execute_field`, without arguments to coerce and promises to wait for.

        Rows and lists of rows are completed here: seven calls less on the stack for each level of the query.
        """
        field = step.field
        assert field is not None
        info = self.build_resolve_info(field, [detail.node for detail in step.details], parent_type, path)
        try:
            result = field.resolve(source, info, **step.arguments) if field.resolve else source[step.name]
            kind = get_named_type(field.type)
            if isinstance(kind, GraphQLObjectType):
                if isinstance(result, Row):
                    grouped = self.collect_subfields(kind, step.details).grouped_field_set
                    return self.execute_fields(kind, result, path, grouped, position_context)
                if isinstance(result, list) and all(isinstance(item, Row) for item in result):
                    grouped = self.collect_subfields(kind, step.details).grouped_field_set
                    return [
                        self.execute_fields(kind, item, path.add_key(index), grouped, position_context)
                        for index, item in enumerate(result)
                    ]
            return self.complete_value(field.type, step.details, info, path, result, position_context)
        except GraphQLError as error:
            self.handle_field_error(error, field.type, step.details, path)
            return None

    def _plan(self, parent_type: GraphQLObjectType, grouped: GroupedFieldSet) -> Sequence[_Step] | None:
        """None where the long way has to find out what is wrong."""
        known = self._plans.get(id(grouped))
        if known is None:
            try:
                plan = [self._step(parent_type, response, details) for response, details in grouped.items()]
            except GraphQLError:
                return None
            known = self._plans[id(grouped)] = (grouped, plan)  # kept alive, so that its id stays its own
        return known[1]

    def _step(self, parent_type: GraphQLObjectType, response: str, details: FieldDetailsList) -> _Step:
        node = details[0].node
        field = self.schema.get_field(parent_type, node.name.value)
        assert field is not None  # validated
        if field.resolve is None and not field.args and is_leaf_type(get_named_type(field.type)):
            return _Step(response, node.name.value, details, None, {})
        arguments = get_argument_values(field, node, self.variable_values) if field.args else {}
        return _Step(response, node.name.value, details, field, arguments)
