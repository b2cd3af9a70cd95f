"""The REST calls a monitor needs: who streams, one stream, who is connected (dossier, section 6).

They show the present, not the store: what happened a moment ago is there. 404 means that nobody has connected to the
session yet (INFERRED: or that it has been over for as long as the store remembers), 408 that an id cannot be one; no
timeout. Errors are JSON where the request accepts it, else XML; 401 for unified applications, 403 for legacy projects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import msgspec

from watcher.emulator.breakage import mix
from watcher.emulator.faults import Fault
from watcher.emulator.replies import JSON, Reply
from watcher.emulator.vonage.bend import unknown
from watcher.emulator.vonage.pages import Store
from watcher.emulator.vonage.sessions import Meeting, Session
from watcher.emulator.vonage.tokens import Denied
from watcher.emulator.vonage.world import RETENTION, Answers

_UUID = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One REST request. `stream_id` only for a single stream."""

    endpoint: str  # streams, stream or connections
    session_id: str
    stream_id: str
    accepts_json: bool


def respond(call: Call, store: Store, *, now: float, answers: Answers, faults: Mapping[str, Fault]) -> Reply:
    """The answer to a call by somebody who may ask."""
    if not store.sessions.well_formed(call.session_id):
        return problem(408, "Invalid session ID", call)
    session = store.sessions.find(call.session_id)
    if session is None or not _known(session, now):
        return problem(404, "Session not found", call)
    meeting = next((m for m in session.meetings if m.start <= now < m.end), None)
    match call.endpoint:
        case "streams":
            return _list(_streams(store, session, meeting, now, faults), answers, faults)
        case "connections":
            return _connections(store, session, meeting, now, answers, faults)
        case _:
            return _stream(call, _streams(store, session, meeting, now, faults))


def _known(session: Session, now: float) -> bool:
    """Somebody has connected, and not too long ago."""
    return session.created <= now and session.meetings[-1].end > now - RETENTION


def _streams(
    store: Store, session: Session, meeting: Meeting | None, now: float, faults: Mapping[str, Fault]
) -> list[dict[str, Any]]:
    """An audio-only stream has no videoType (dossier, 6.1)."""
    if meeting is None:
        return []
    return [
        {
            "id": publisher.id,
            **({} if publisher.audio_only else {"videoType": unknown(faults, "camera")}),
            "name": "",
            "layoutClassList": [],
        }
        for publisher in store.lives.crew(session, meeting).publishers
        if publisher.start <= now < publisher.end
    ]


def _list(items: list[dict[str, Any]], answers: Answers, faults: Mapping[str, Fault]) -> Reply:
    body: dict[str, Any] = {"count": len(items)}
    if items or answers.empty_items == "list":
        body["items"] = mix(items, faults)
    return Reply(body=msgspec.json.encode(body))


def _stream(call: Call, streams: list[dict[str, Any]]) -> Reply:
    if len(call.stream_id) != _UUID or call.stream_id.count("-") != 4:
        return problem(408, "Invalid stream ID", call)
    found = next((stream for stream in streams if stream["id"] == call.stream_id), None)
    return Reply(body=msgspec.json.encode(found)) if found else problem(404, "Stream not found", call)


def _connections(
    store: Store,
    session: Session,
    meeting: Meeting | None,
    now: float,
    answers: Answers,
    faults: Mapping[str, Fault],
) -> Reply:
    """Those who are there, and who left in the last minute, as Disconnected (INFERRED)."""
    crew = store.lives.crew(session, meeting).connections if meeting else ()
    items = [
        {
            "connectionId": connection.id,
            "createdAt": round(connection.start * 1000),
            "connectionState": unknown(faults, "Connected" if now < connection.end else "Disconnected"),
        }
        for connection in crew
        if connection.start <= now < connection.end + 60
    ]
    body: dict[str, Any] = {
        "count": len(items),
        "projectId": store.project.id,
        "sessionId": session.session_id,
    }
    if items or answers.empty_items == "list":
        body["items"] = mix(items, faults)
    return Reply(body=msgspec.json.encode(body))


def refused(denied: Denied, call: Call, *, legacy: bool) -> Reply:
    """Wrong credentials."""
    return problem(403 if legacy else 401, denied.message, call)


def problem(status: int, message: str, call: Call) -> Reply:
    """An error in the REST API's shape."""
    if call.accepts_json:
        body = msgspec.json.encode({"code": -1, "message": message, "description": message})
        return Reply(status=status, body=body, media=JSON)
    text = f"<errorPayload><code>-1</code><message>{escape(message)}</message></errorPayload>"
    return Reply(status=status, body=text.encode(), media="application/xml")
