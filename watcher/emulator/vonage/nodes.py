"""Counting the nodes that a query's pages could hold, before it runs (dossier, 4.1).

Each object of a page counts, times the pages above it. The vendor's own example, two sessions with meetings of ten,
publishers and statistics of fifty each, is 51,023. A collection asked only for its `totalCount` costs nothing.

A fragment is counted once and multiplied where it is spread, so a query of fragments within fragments is counted as
quickly as it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    get_named_type,
)
from graphql.execution import VariableValues, get_argument_values

SMALL, LARGE, MOST = 10, 50, 1000
"""The default (and largest) page of meetings, the default of all others, and the largest of those."""


def page_limits(field_type: str) -> tuple[int, int]:
    """Default and largest `first` of a collection, by the name of its type."""
    return (SMALL, SMALL) if field_type in ("Meetings", "MeetingSummaries") else (LARGE, MOST)


@dataclass(slots=True, kw_only=True)
class Count:
    """Counts one operation."""

    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: VariableValues
    slow: bool = False  # whether a field was asked for that the vendor calls slow
    _known: dict[str, int] = field(default_factory=dict)
    _lists: dict[str, bool] = field(default_factory=dict)

    def operation(self, operation: OperationDefinitionNode) -> int:
        """The nodes of the whole query."""
        root = self.schema.query_type
        assert root is not None
        return self._selection(operation.selection_set, root)

    def _selection(self, selection: SelectionSetNode | None, kind: GraphQLNamedType | None) -> int:
        if selection is None or not isinstance(kind, GraphQLObjectType):
            return 0
        nodes = 0
        for item in selection.selections:
            if isinstance(item, FieldNode):
                nodes += self._field(item, kind)
            elif isinstance(item, InlineFragmentNode):
                nodes += self._selection(item.selection_set, kind)
            elif isinstance(item, FragmentSpreadNode):
                nodes += self._fragment(item.name.value, kind)
        return nodes

    def _fragment(self, name: str, kind: GraphQLObjectType) -> int:
        if name not in self._known:
            self._known[name] = 0  # a cycle, which validation has refused already, ends here
            self._known[name] = self._selection(self.fragments[name].selection_set, kind)
        return self._known[name]

    def _field(self, node: FieldNode, parent: GraphQLObjectType) -> int:
        name = node.name.value
        definition = parent.fields.get(name)
        if definition is None:
            return 0
        self.slow |= name in ("publisherMinutes", "subscriberMinutes", "participantMinutes")
        kind = get_named_type(definition.type)
        if name == "resources":  # the page's size was taken where its collection stands
            return self._selection(node.selection_set, kind)
        inner = self._selection(node.selection_set, kind)
        if name == "project":
            return 1 + inner
        if "first" not in definition.args:
            return inner
        if not self._lists_resources(node.selection_set):
            return 0
        given = get_argument_values(definition, node, self.variables)
        return self._size(name, kind.name, given) * (1 + inner)

    def _size(self, name: str, kind: str, given: Mapping[str, Any]) -> int:
        default, most = page_limits(kind)
        size = max(0, min(given.get("first") or default, most))
        return min(size, len(given["sessionIds"])) if name == "sessions" else size

    def _lists_resources(self, selection: SelectionSetNode | None) -> bool:
        return any(self._lists_one(item) for item in selection.selections) if selection else False

    def _lists_one(self, item: SelectionNode) -> bool:
        if isinstance(item, FieldNode):
            return item.name.value == "resources"
        if isinstance(item, InlineFragmentNode):
            return self._lists_resources(item.selection_set)
        assert isinstance(item, FragmentSpreadNode)
        name = item.name.value
        if name not in self._lists:
            self._lists[name] = False
            self._lists[name] = self._lists_resources(self.fragments[name].selection_set)
        return self._lists[name]
