"""What is wrong with a scenario that no single value of it shows: references, sums, settings that do not go together.

Apart from `scenario`, so that turning a file into a world reads without its exceptions. Secrets are resolved here,
because one that is missing is a problem of the file like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)

from watcher.emulator.settings import Once, epoch_problems, fault_problems, missing_secret
from watcher.emulator.vonage.sessions import turns_kept
from watcher.emulator.vonage.shapes import (
    ENDPOINTS,
    FAULTS,
    IncidentShape,
    ProjectShape,
    ScenarioShape,
)
from watcher.errors import Problem
from watcher.secret import Secret
from watcher.yamlfile import Document, Loc

_LEAST_SECRET = 32  # bytes: what HS256 wants, and less than the vendor's own
_MOST_TURNS = 1_000_000


def contradictions(document: Document, shape: ScenarioShape, epoch: float) -> Iterator[Problem]:
    """What no single value shows: references, sums, and settings that do not go together."""
    yield from epoch_problems(document, shape.epoch)
    projects: dict[str, ProjectShape] = {}
    once = Once(document)
    for p, project in enumerate(shape.projects):
        loc: Loc = ("projects", p)
        named = (("project", "name"), ("key", "key"), ("application", "application"))
        for what, key in named:
            value = getattr(project, key)
            if value is not None:
                yield from once.use(what, value, (*loc, key))
        projects.setdefault(project.name, project)
        yield from _credentials(document, project, loc)
        yield from _session_contradictions(document, project, epoch, loc)
        traffic = project.traffic
        if traffic and turns_kept(traffic.sessions, traffic.length, traffic.gap) > _MOST_TURNS:
            what = f"traffic makes more than {_MOST_TURNS:,} sessions in 21 days"
            yield document.problem((*loc, "traffic"), what, "have fewer or longer ones")
        if project.webhooks and project.webhooks.signature:
            yield from _long_enough(document, project.webhooks.signature, (*loc, "webhooks", "signature"))
    for i, incident in enumerate(shape.incidents):
        yield from _incident_contradictions(document, incident, projects, ("incidents", i))
    known = {"project": sorted(projects), "endpoint": ENDPOINTS}
    for f, fault in enumerate(shape.faults):
        yield from fault_problems(
            document, fault, fault.kind, rules=FAULTS, known=known, epoch=epoch, loc=("faults", f)
        )


def _credentials(document: Document, project: ProjectShape, loc: Loc) -> Iterator[Problem]:
    legacy = (project.key, project.secret)
    keys = [key for key in (project.public_key, project.private_key) if key is not None]
    if all(part is not None for part in legacy) and project.application is None and not keys:
        assert project.secret is not None
        yield from _long_enough(document, project.secret, (*loc, "secret"))
    elif project.application is not None and len(keys) == 1 and legacy == (None, None):
        yield from _rsa(document, project, loc)
    else:
        what = f"project {project.name} has neither key and secret nor application and one of its RSA keys"
        yield document.problem(loc, what, "write `key` and `secret`, or `application` and `public_key`")


def _long_enough(document: Document, secret: Secret, loc: Loc) -> Iterator[Problem]:
    missing = list(missing_secret(document, secret, loc))
    yield from missing
    if not missing and len(secret.reveal().encode()) < _LEAST_SECRET:
        what = f"{loc[-1]} is shorter than {_LEAST_SECRET} characters"
        yield document.problem(loc, what, "the vendor's are longer; write a longer one")


def _rsa(document: Document, project: ProjectShape, loc: Loc) -> Iterator[Problem]:
    name, secret = ("public_key", project.public_key) if project.public_key else ("private_key", project.private_key)
    assert secret is not None
    place = (*loc, name)
    if missing := list(missing_secret(document, secret, place)):
        yield from missing
        return
    pem = secret.reveal().encode()
    try:
        key = load_pem_public_key(pem) if name == "public_key" else load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPublicKey | RSAPrivateKey):
        yield document.problem(place, f"{name} is no RSA key", "write one in PEM, or !file PATH")


def _session_contradictions(document: Document, project: ProjectShape, epoch: float, loc: Loc) -> Iterator[Problem]:
    names: set[str] = set()
    ids: set[str] = set()
    for s, session in enumerate(project.sessions):
        place: Loc = (*loc, "sessions", s)
        if session.name in names:
            yield document.problem((*place, "name"), f"session {session.name} is used twice", "give each its own")
        if session.id is not None and session.id in ids:
            yield document.problem((*place, "id"), f"id {session.id} is used twice", "give each its own")
        names.add(session.name)
        ids.add(session.id or "")
        before = float("-inf")
        for m, meeting in enumerate(session.meetings):
            if meeting.start.at(epoch) < before:
                what = f"meeting {m + 1} of {session.name} begins before the one before it has ended"
                yield document.problem((*place, "meetings", m, "start"), what, "put them in order, apart")
            before = meeting.start.at(epoch) + meeting.duration


def _incident_contradictions(
    document: Document, incident: IncidentShape, projects: Mapping[str, ProjectShape], loc: Loc
) -> Iterator[Problem]:
    project = projects.get(incident.project)
    if project is None:
        known = ", ".join(projects)
        yield document.problem((*loc, "project"), f"unknown project {incident.project}", f"use one of: {known}")
        return
    has = {session.name for session in project.sessions}
    for name in incident.sessions:
        if name not in has:
            what = f"project {incident.project} has no session {name}"
            yield document.problem((*loc, "sessions"), what, "name it under the project's sessions")
    if incident.sessions and incident.sessions_share is not None:
        what = "sessions and sessions_share exclude each other"
        yield document.problem((*loc, "sessions_share"), what, "keep one of them", at_key=True)
    if not incident.levels.levels():
        yield document.problem((*loc, "levels"), "levels are empty", "add one such as `videoPacketLoss: 8%`")
    if incident.duration <= 0:
        yield document.problem((*loc, "duration"), "duration is zero", "write it like 5m")
