"""Columns after a restart: read again from the recorded points, as far back as the alerts' memories need them.

A companion is needed as far back as whatever joins it, so the earliest mark of a project decides for all its series; a
share over a whole account decides for all of its projects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from watcher.model import PointsOf, Query, Series
from watcher.rules.known import KEPT, Known, Project, project_of
from watcher.rules.memory import Body, series_of
from watcher.rules.rule import Rule


def recall_columns(
    known: Known,
    bodies: Sequence[Body],
    queries: Sequence[Query],
    covered: Mapping[str, int],
    points: PointsOf,
    rules: Sequence[Rule],
) -> None:
    """Fill the columns of every query that was ever answered."""
    since: dict[Project, int] = {}
    holes: dict[Series, tuple[tuple[int, int], ...]] = {}
    for body in sorted(bodies, key=lambda body: -body.mark.at):
        series = series_of(body)
        since[project_of(series)] = body.mark.at
        holes[series] = body.holes
    for query in queries:
        if query.id not in covered:
            continue
        until = covered[query.id]
        look_back = max((rule.windows(query.width) for rule in rules), default=0)
        for series in query.series:
            projects = project_of(series), project_of(series._replace(project=""))
            known.recall(
                query,
                series,
                covered=until,
                since=min((since[project] for project in projects if project in since), default=until - KEPT),
                look_back=look_back,
                holes=holes.get(series, ()),
                points=points,
            )
