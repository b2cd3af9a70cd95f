"""Scenarios of the Twilio emulator: a YAML file and its frozen result.

What decides is the file alone; nothing here reads a clock. Relative moments count from the `epoch` that the caller
passes (usually when the emulator starts), or from the file's own. The format is told in `shapes`; everything wrong
with a file is told at once, with its place (`contradictions` has what no single value shows).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path

from watcher.emulator.chance import key_of
from watcher.emulator.settings import fault
from watcher.emulator.twilio.contradictions import contradictions
from watcher.emulator.twilio.endings import BY_WORD, HEALTHY
from watcher.emulator.twilio.shapes import (
    FAULTS,
    AccountShape,
    IncidentShape,
    PersonShape,
    RoomShape,
    ScenarioShape,
    TrafficShape,
    VisibilityShape,
)
from watcher.emulator.twilio.world import (
    Account,
    Answers,
    ApiKey,
    Backlog,
    Crowd,
    Generated,
    Incident,
    Limits,
    Mix,
    Named,
    Person,
    Scenario,
    Visibility,
    Weights,
    made_up_sid,
)
from watcher.errors import ConfigError
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
    limits = shape.limits
    return Scenario(
        seed=shape.seed,
        epoch=zero,
        accounts=tuple(_account(account, shape.seed, zero) for account in shape.accounts),
        limits=Limits(
            concurrent=limits.concurrent,
            per_second=limits.per_second,
            latency=limits.latency,
            retry_after=limits.retry_after,
            retry_seconds=limits.retry_in,
        ),
        answers=Answers(**shape.answers.model_dump()),
        incidents=tuple(_incident(incident, i, shape.seed, zero) for i, incident in enumerate(shape.incidents)),
        faults=tuple(fault(f, f.kind, zero, FAULTS) for f in shape.faults),
    )


def _account(shape: AccountShape, seed: int, epoch: float) -> Account:
    return Account(
        name=shape.name,
        sid=shape.sid or made_up_sid("AC", key_of(0, "twilio", shape.name)),
        auth_token=shape.auth_token,
        api_keys=tuple(ApiKey(sid=key.sid, secret=key.secret) for key in shape.api_keys),
        key=key_of(seed, "twilio", shape.name),
        generated=_generated(shape.traffic) if shape.traffic else None,
        crowd=Crowd(**shape.crowd.model_dump()),
        mix=Mix(
            room_types=_weights({str(name): weight for name, weight in shape.mix.room_types.items()}),
            regions=_weights(shape.mix.regions),
            sdks=_weights(shape.mix.sdks),
            browsers=_weights(shape.mix.browsers),
        ),
        named=tuple(_named(room, shape.name, epoch) for room in shape.rooms),
        endings=HEALTHY if shape.endings is None else dict(shape.endings),
        conflicts=shape.conflicts,
        no_duration=shape.no_duration,
        visibility=_visibility(shape.visibility, epoch),
    )


def _weights(weights: Mapping[str, float]) -> Weights:
    total = sum(weights.values())
    return tuple(zip(weights, accumulate(weight / total for weight in weights.values()), strict=True))


def _generated(shape: TrafficShape) -> Generated:
    return Generated(
        rooms=shape.rooms,
        participants=shape.participants,
        length=shape.length,
        vary=shape.vary,
        gap=shape.gap,
        day=shape.day.day(),
    )


def _named(shape: RoomShape, account: str, epoch: float) -> Named:
    start = shape.start.at(epoch)
    people = tuple(_person(person) for person in shape.people)
    return Named(
        name=shape.name,
        sid=shape.sid or made_up_sid("RM", key_of(0, account, shape.name, str(round(start - epoch)))),
        start=start,
        end=start + shape.duration,
        participants=0 if people else shape.participants or 2,
        people=people,
        room_type=shape.type,
        region=shape.region,
        method=shape.method,
        completed=shape.completed,
        recorded=shape.recorded,
        callback=shape.status_callback,
    )


def _person(shape: PersonShape) -> Person:
    ending = BY_WORD[str(shape.ending)]
    return Person(
        identity=shape.identity,
        join=shape.join,
        stay=shape.stay,
        ending=ending,
        code=ending.code if shape.error_code is None else shape.error_code or None,
        region=shape.region,
        sdk=shape.sdk,
        browser=shape.browser,
    )


def _visibility(shape: VisibilityShape, epoch: float) -> Visibility:
    backlogs = sorted(shape.backlogs, key=lambda one: one.start.at(epoch))
    return Visibility(
        delay=shape.delay,
        slow=shape.slow.share,
        slowest=shape.slow.by,
        settle=shape.settle,
        kept=shape.kept,
        kept_go=shape.kept_go,
        running=shape.running == "shown",
        lag=shape.lag,
        late=shape.late.share,
        late_by=shape.late.by,
        amended=shape.amended,
        timeout=shape.timeout,
        stuck=shape.stuck,
        not_started=shape.not_started,
        backlogs=tuple(Backlog(start=one.start.at(epoch), end=one.start.at(epoch) + one.duration) for one in backlogs),
    )


def _incident(shape: IncidentShape, index: int, seed: int, epoch: float) -> Incident:
    start = shape.start.at(epoch)
    return Incident(
        key=key_of(seed, "incident", str(index)),
        account=shape.account,
        rooms=shape.rooms,
        rooms_share=1.0 if shape.rooms_share is None else shape.rooms_share,
        regions=shape.regions,
        sdks=shape.sdks,
        browsers=shape.browsers,
        start=start,
        end=start + shape.duration,
        endings=dict(shape.endings),
    )
