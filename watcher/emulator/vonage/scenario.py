"""Scenarios of the Vonage emulator: a YAML file and its frozen result.

What decides is the file alone; nothing here reads a clock. Relative moments count from the `epoch` that the caller
passes (usually when the emulator starts), or from the file's own. The format is told in `shapes`; everything wrong
with a file is told at once, with its place (`contradictions` has what no single value shows).
"""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from watcher.emulator.chance import key_of
from watcher.emulator.settings import fault
from watcher.emulator.vonage.contradictions import contradictions
from watcher.emulator.vonage.shapes import (
    FAULTS,
    HooksShape,
    IncidentShape,
    OutageShape,
    ProjectShape,
    ScenarioShape,
    SessionShape,
    TrafficShape,
)
from watcher.emulator.vonage.world import (
    HEALTHY,
    ROLES,
    Answers,
    Crowd,
    Generated,
    Hooks,
    Incident,
    Limits,
    Maintenance,
    MeetingPlan,
    Named,
    Outage,
    Project,
    SampleStyle,
    Scenario,
    Visibility,
)
from watcher.errors import ConfigError
from watcher.secret import Secret
from watcher.yamlfile import Document, load, loads


def read(path: Path | str, *, epoch: float) -> Scenario:
    """The scenario in a file. Raises `ConfigError` with everything that is wrong."""
    return _scenario(load(path), epoch)


def reads(text: str, *, epoch: float, name: str = "<scenario>") -> Scenario:
    """The scenario in a text; `name` stands for the file in problems. Raises `ConfigError`."""
    return _scenario(loads(text, name), epoch)


# ── from one to the other ────────────────────────────────────────────────────────────────────────────────────────────


def _scenario(document: Document, epoch: float) -> Scenario:
    shape = document.parse(ScenarioShape)
    zero = epoch if shape.epoch is None else shape.epoch.seconds
    problems = list(contradictions(document, shape, zero))
    if problems:
        raise ConfigError(problems)
    limits, maintenance = shape.limits, shape.maintenance
    return Scenario(
        seed=shape.seed,
        epoch=zero,
        jitter=shape.jitter,
        projects=tuple(_project(project, shape.seed, zero) for project in shape.projects),
        limits=Limits(
            requests=limits.requests,
            seconds=limits.window,
            nodes=limits.nodes,
            rest_requests=limits.rest_requests,
            rest_seconds=limits.rest_window,
            throttle=limits.throttle,
        ),
        answers=Answers(**shape.answers.model_dump()),
        maintenance=Maintenance(
            zone=maintenance.zone,
            further=tuple(_outage(window, zero) for window in maintenance.windows),
            answer=maintenance.answer,
        ),
        daily_delay=shape.daily_delay,
        incidents=tuple(_incident(incident, i, shape.seed, zero) for i, incident in enumerate(shape.incidents)),
        faults=tuple(fault(f, f.kind, zero, FAULTS) for f in shape.faults),
    )


def _project(shape: ProjectShape, seed: int, epoch: float) -> Project:
    identity = shape.key or shape.application or ""
    rows, late = shape.rows, shape.visibility.late
    return Project(
        name=shape.name,
        id=identity,
        kind="legacy" if shape.key else "unified",
        secret=_secret(shape),
        advanced=shape.advanced,
        key=key_of(seed, "vonage", identity),
        generated=_generated(shape.traffic) if shape.traffic else None,
        crowd=Crowd(**shape.crowd.model_dump()),
        named=tuple(_named(session, identity, epoch) for session in shape.sessions),
        healthy={**HEALTHY, **shape.healthy.levels()},
        samples=SampleStyle(
            dropped=rows.dropped,
            null_latency=rows.null_latency,
            bitrate_factor=rows.bitrate_factor,
            percent_loss=rows.loss == "percent",
            early_pair=rows.early_pair,
            amended=rows.amended.share,
            amend_after=rows.amended.after,
            amend_factor=rows.amended.factor,
        ),
        visibility=Visibility(
            mode=shape.visibility.mode,
            lag=shape.visibility.lag,
            ten_minute_rule=shape.visibility.ten_minute_rule,
            late=late.share,
            late_by=late.by,
        ),
        hooks=_hooks(shape.webhooks) if shape.webhooks else None,
    )


def _secret(shape: ProjectShape) -> Secret:
    """What signatures are checked with. Everything was resolved when contradictions were looked for."""
    if shape.secret is not None:
        return shape.secret
    if shape.public_key is not None:
        return shape.public_key
    assert shape.private_key is not None
    private = load_pem_private_key(shape.private_key.reveal().encode(), None)
    return Secret.of(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def _generated(shape: TrafficShape) -> Generated:
    return Generated(
        rooms=shape.sessions,
        participants=shape.participants,
        length=shape.length,
        gap=shape.gap,
        day=shape.day.day(),
    )


def _named(shape: SessionShape, identity: str, epoch: float) -> Named:
    plans = []
    for meeting in shape.meetings:
        start = meeting.start.at(epoch)
        plans.append(MeetingPlan(start=start, end=start + meeting.duration, participants=meeting.participants))
    place = f"{key_of(0, shape.name):016x}"
    text = f"1~{identity}~~{round(plans[0].start * 1000)}~{place}~"
    made_up = "2_" + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    return Named(name=shape.name, session_id=shape.id or made_up, media_mode=shape.media_mode, meetings=tuple(plans))


def _hooks(shape: HooksShape) -> Hooks:
    return Hooks(
        url=shape.url,
        signature=shape.signature,
        delay=shape.delay,
        duplicates=shape.duplicates,
        lost=shape.lost,
        attempts=shape.retry.attempts,
        backoff=shape.retry.backoff,
        gives_up=shape.gives_up,
    )


def _outage(shape: OutageShape, epoch: float) -> Outage:
    start = shape.start.at(epoch)
    end = start + shape.duration
    return Outage(start=start, end=end, complete=end + shape.backfill)


def _incident(shape: IncidentShape, index: int, seed: int, epoch: float) -> Incident:
    start = shape.start.at(epoch)
    return Incident(
        key=key_of(seed, "incident", str(index)),
        project=shape.project,
        sessions=shape.sessions,
        sessions_share=1.0 if shape.sessions_share is None else shape.sessions_share,
        streams=shape.streams,
        roles=shape.roles or ROLES,
        start=start,
        end=start + shape.duration,
        levels=shape.levels.levels(),
    )
