"""The texts of the queries, and how many nodes each may hold at most (dossier sections 3.6, 4.1, 7). Pure.

Few texts, each always the same for a project and a size of batch: what changes goes into variables, what repeats into
fragments. A server that keeps its parsed documents then reads each once. Only the project's id stands in the text: its
type changed over the years, and a quoted literal suits every server since 2022 (section 1.4).

Nodes are counted by the pages, as if every page were full. The vendor's own example counts what exists, which is never
more, so a query that fits by this count fits by either. Slow fields (the minutes of sessions) are never asked for.
"""

from __future__ import annotations

import base64
import json
import math
from functools import lru_cache

SESSIONS = 50  # ids in one call
MEETINGS = 4  # of a session, on the first page
PEOPLE = 100  # publishers, connections or subscribers of a meeting, on each page
SUMMARIES = 1000
ROWS = (8, 64, 1000)  # sizes of a page of statistics
STREAMS = 64  # streams read by one call
LISTED = 10  # meetings of a session, on each page of their list
_SAME = 2  # meetings of one id within two seconds: one that ended just then, under one reading of `start`

_STATS = (
    "createdAt audioPacketLoss audioLatencyMs audioBitrateKbps videoPacketLoss videoLatencyMs videoBitrateKbps "
    "videoResolution"
)
_PAGE = "pageInfo{hasNextPage endCursor}"
_CONNECTION = "connectionId createdAt destroyedAt sdkType sdkVersion browser browserVersion country"
_PARTY = "connectionId createdAt destroyedAt stream{streamId} streamStatsCollection{totalCount}"
_MEDIA = {
    "publishers": "hasAudio hasVideo",
    "subscribers": "hasAudio:subscribeToAudio hasVideo:subscribeToVideo",
}
_OWN = {"publishers": "", "subscribers": "subscriberId "}


def cursor(offset: int) -> str:
    """The cursor of a page after `offset` rows, made by hand (section 7.2); none for the first page."""
    return base64.b64encode(f"insights-resource:{offset}".encode()).decode() if offset else ""


def stamp(at: float) -> int:
    """An instant as the vendor reads whole numbers of more than ten digits: in milliseconds."""
    return math.floor(at * 1000)


def counts_nodes(sessions: int) -> int:
    """The most nodes of `counts` for so many sessions."""
    return 1 + sessions * (1 + MEETINGS * (1 + 2 * PEOPLE))


def read_nodes(streams: int, rows: int) -> int:
    """The most nodes of `read` for so many streams."""
    return 1 + streams * (3 + rows)


def summaries_nodes() -> int:
    return 1 + SUMMARIES * 11


def counts(project: str) -> str:
    """Step A: who is in the meetings of some sessions, and how many rows each stream has."""
    inside = (
        f"sessionId meetings(start:$since,first:{MEETINGS},endCursor:$after){{{_PAGE} resources{{"
        f"meetingId createdAt destroyedAt "
        f"connections(first:{PEOPLE}){{{_PAGE} resources{{{_CONNECTION}}}}} "
        f"publishers(first:{PEOPLE}){{{_PAGE} resources{{{_PARTY}}}}}}}}}"
    )
    return _query(
        project,
        "Counts($ids:[String]!,$since:Date!,$after:String)",
        f"found:sessions(sessionIds:$ids,first:{SESSIONS}){{resources{{{inside}}}}}",
    )


def probe(project: str) -> str:
    """The smallest query of a session there is: answered, it proves that the add-on is there (section 4.2)."""
    return _query(project, "Probe($ids:[String]!)", "found:sessions(sessionIds:$ids,first:1){resources{sessionId}}")


def more(project: str, kind: str) -> str:
    """A further page of a meeting's `connections`, `publishers` or `subscribers`."""
    fields = {
        "connections": _CONNECTION,
        "publishers": _PARTY,
        "subscribers": f"subscriberId {_PARTY}",
    }[kind]
    return _query(
        project,
        "More($id:String!,$meeting:String,$skip:String,$at:String,$first:Int!)",
        "found:sessions(sessionIds:[$id],first:1){resources{sessionId "
        "meetings(meetingId:$meeting,first:1,endCursor:$skip){resources{meetingId createdAt "
        f"{kind}(first:$first,endCursor:$at){{{_PAGE} resources{{{fields}}}}}}}}}}}}}",
    )


@lru_cache(maxsize=256)
def read(project: str, kind: str, streams: int) -> str:
    """Step B: new rows of that many `publishers` or `subscribers`, each by its place in its meeting."""
    names = range(streams)
    declared = ",".join(f"$s{i}:String!,$m{i}:String,$k{i}:String,$p{i}:String,$c{i}:String" for i in names)
    aliases = " ".join(
        f"r{i}:sessions(sessionIds:[$s{i}],first:1){{resources{{meetings(meetingId:$m{i},first:1,endCursor:$k{i})"
        f"{{resources{{{kind}(first:1,endCursor:$p{i}){{resources{{{_OWN[kind]}stream{{streamId}} "
        f"streamStatsCollection(first:$n,endCursor:$c{i}){{...Rows}}}}}}}}}}}}}}"
        for i in names
    )
    collection = {"publishers": "Publisher", "subscribers": "Subscriber"}[kind] + "StreamStatsCollection"
    fragment = f" fragment Rows on {collection}{{totalCount {_PAGE} resources{{{_MEDIA[kind]} {_STATS}}}}}"
    return _query(project, f"Read($n:Int!,{declared})", aliases) + fragment


def meetings(project: str) -> str:
    """A session's meetings of a span, and how many were in each; nobody in particular."""
    return _query(
        project,
        "Meetings($ids:[String]!,$from:Date!,$until:Date!,$at:String)",
        "found:sessions(sessionIds:$ids,first:1){resources{sessionId "
        f"meetings(start:$from,end:$until,first:{LISTED},endCursor:$at){{{_PAGE} resources{{"
        "meetingId createdAt destroyedAt connections(first:1){totalCount} subscribers(first:1){totalCount}}}}}",
    )


def whole(project: str, kind: str) -> str:
    """A page of a meeting's `connections`, or of its `publishers` or `subscribers` with their first `$rows` rows.

    No cursor is made by hand, so this is read wherever those are refused or are not worth it. The meeting is found by
    its beginning (`beginning`), since those of one id differ in nothing else.
    """
    declared = "$id:String!,$meeting:String,$from:Date!,$until:Date!,$at:String,$first:Int!"
    fields = _CONNECTION
    if kind != "connections":
        declared += ",$rows:Int!"
        fields = (
            f"{_OWN[kind]}connectionId createdAt destroyedAt stream{{streamId}} "
            f"streamStatsCollection(first:$rows){{totalCount resources{{{_MEDIA[kind]} {_STATS}}}}}"
        )
    return _query(
        project,
        f"Whole({declared})",
        "found:sessions(sessionIds:[$id],first:1){resources{sessionId "
        f"meetings(meetingId:$meeting,start:$from,end:$until,first:{_SAME}){{resources{{createdAt "
        f"{kind}(first:$first,endCursor:$at){{totalCount {_PAGE} resources{{{fields}}}}}}}}}}}}}",
    )


def beginning(began: int) -> dict[str, int]:
    """`$from` and `$until` of a meeting's beginning, in milliseconds: right whether the vendor selects meetings by
    their creation or by overlap (section 7.1), in whatever order."""
    return {"from": began - 1000, "until": began + 1000}


def whole_fits(nodes: int, rows: int) -> int:
    """How many people, with so many rows each, a page of `whole` may hold."""
    return max(1, min(1000, (nodes // _SAME - 2) // (2 + rows)))


def summaries(project: str) -> str:
    """Discovery: the sessions with meetings since an instant."""
    return _query(
        project,
        "Found($start:Date!,$at:String)",
        f"found:sessionSummaries(start:$start,first:{SUMMARIES},endCursor:$at)"
        f"{{{_PAGE} resources{{sessionId meetings(first:10){{resources{{createdAt destroyedAt}}}}}}}}",
    )


def daily(project: str, group: str) -> str:
    """Project insights by day; `group` is one of the vendor's groupings, or empty."""
    grouped = f",groupBy:[{group}]" if group else ""
    label = {"COUNTRY": "country ", "SDK_TYPE": "sdkType ", "BROWSER": "browser "}.get(group, "")
    attempts = "attempts failures"
    leg = "videoBitrateKbpsAvg latencyMsAvg"
    return (
        f"query Daily($start:Date!,$end:Date!,$at:String){{project(projectId:{json.dumps(project)}){{"
        f"projectData(start:$start,end:$end,interval:DAILY{grouped},first:{PEOPLE},endCursor:$at){{{_PAGE} resources{{"
        f"intervalStart {label}usage{{streamedPublishedMinutes streamedSubscribedMinutes}} "
        f"quality{{publisher{{{leg}}} subscriber{{{leg}}}}} "
        f"errors{{connect{{{attempts}}} publish{{{attempts}}} subscribe{{{attempts}}}}}}}}}}}}}"
    )


def _query(project: str, head: str, inside: str) -> str:
    return f"query {head}{{project(projectId:{json.dumps(project)}){{sessionData{{{inside}}}}}}}"
