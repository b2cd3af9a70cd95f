"""What is wrong with a scenario that no single value of it shows: references, sums, settings that do not go together.

Apart from `scenario`, so that turning a file into a world reads without its exceptions. Secrets are resolved here,
because one that is missing is a problem of the file like any other.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from watcher.clock import DAY
from watcher.emulator.settings import Once, epoch_problems, fault_problems, missing_secret
from watcher.emulator.twilio.endings import BY_WORD, Manner
from watcher.emulator.twilio.shapes import (
    ENDPOINTS,
    FAULTS,
    AccountShape,
    IncidentShape,
    ScenarioShape,
)
from watcher.errors import Problem
from watcher.yamlfile import Document, Loc

_MOST_ROOMS = 1_000_000


def contradictions(document: Document, shape: ScenarioShape, epoch: float) -> Iterator[Problem]:
    """What no single value shows."""
    yield from epoch_problems(document, shape.epoch)
    accounts: dict[str, AccountShape] = {}
    once = Once(document)
    for a, account in enumerate(shape.accounts):
        loc: Loc = ("accounts", a)
        yield from once.use("account", account.name, (*loc, "name"))
        if account.sid is not None:
            yield from once.use("sid", account.sid, (*loc, "sid"))
        for k, key in enumerate(account.api_keys):
            yield from once.use("sid", key.sid, (*loc, "api_keys", k, "sid"))
        yield from _account_problems(document, account, loc)
        yield from _room_problems(document, account, once, epoch, loc)
        accounts.setdefault(account.name, account)
    for i, incident in enumerate(shape.incidents):
        yield from _incident_problems(document, incident, accounts, ("incidents", i))
    known = {"account": list(accounts), "endpoint": ENDPOINTS}
    for f, fault in enumerate(shape.faults):
        loc = ("faults", f)
        yield from fault_problems(document, fault, fault.kind, rules=FAULTS, known=known, epoch=epoch, loc=loc)
        if fault.kind == "next_elsewhere" and not (fault.text or "").startswith(("http://", "https://")):
            what = "next_elsewhere has no origin to lead to"
            yield document.problem(loc, what, "add `text: https://elsewhere.example.com`")


def _account_problems(document: Document, account: AccountShape, loc: Loc) -> Iterator[Problem]:
    if account.auth_token is None and not account.api_keys:
        what = f"account {account.name} has neither auth_token nor api_keys"
        yield document.problem(loc, what, "add one of them")
    if account.auth_token is not None:
        yield from missing_secret(document, account.auth_token, (*loc, "auth_token"))
    for k, key in enumerate(account.api_keys):
        yield from missing_secret(document, key.secret, (*loc, "api_keys", k, "secret"))
    mix = account.mix
    for name in ("room_types", "regions", "sdks", "browsers"):
        if not sum(getattr(mix, name).values()):
            yield document.problem((*loc, "mix", name), f"the weights of {name} are all zero", "raise one of them")
    if account.endings is not None:
        yield from _ending_problems(document, account.endings, (*loc, "endings"))
    traffic, visibility = account.traffic, account.visibility
    kept = max(visibility.kept, visibility.kept_go) + 2 * DAY
    if traffic and traffic.rooms * kept / (traffic.length + traffic.gap) > _MOST_ROOMS:
        what = f"traffic makes more than {_MOST_ROOMS:,} rooms in the time they are kept"
        yield document.problem((*loc, "traffic"), what, "have fewer or longer ones")
    if visibility.slow.share and visibility.slow.by < visibility.delay:
        what = "slow rooms would come before the others"
        yield document.problem((*loc, "visibility", "slow"), what, "raise `by` above `delay`")
    if visibility.timeout + visibility.stuck > 1:
        what = "timeout and stuck are more than 100% together"
        yield document.problem((*loc, "visibility", "timeout"), what, "lower one of them")


def _room_problems(document: Document, account: AccountShape, once: Once, epoch: float, loc: Loc) -> Iterator[Problem]:
    for r, room in enumerate(account.rooms):
        place: Loc = (*loc, "rooms", r)
        start = room.start.at(epoch)
        if room.sid is not None:
            yield from once.use("sid", room.sid, (*place, "sid"))
        else:
            yield from once.use(f"at one time room of {account.name}", f"{room.name} at {start:.0f}", (*place, "name"))
        if room.people and room.participants is not None:
            what = "people and participants exclude each other"
            yield document.problem((*place, "participants"), what, "keep one of them", at_key=True)
        for p, person in enumerate(room.people):
            if str(person.ending) not in BY_WORD:
                yield _unknown_ending(document, str(person.ending), (*place, "people", p, "ending"))
            if person.join + person.stay > room.duration:
                what = f"{person.identity or 'somebody'} stays until after the room's end"
                yield document.problem((*place, "people", p, "stay"), what, "shorten the stay")


def _ending_problems(document: Document, endings: Mapping[str, float], loc: Loc) -> Iterator[Problem]:
    for word in endings:
        if word not in BY_WORD:
            yield _unknown_ending(document, word, (*loc, word))
    for manner in (Manner.ATTEMPT, Manner.LEAVE):
        shares = [share for word, share in endings.items() if word in BY_WORD and BY_WORD[word].manner is manner]
        if sum(shares) > 1 + 1e-9:
            what = "shares of attempts are" if manner is Manner.ATTEMPT else "shares of those who leave are"
            yield document.problem(loc, f"{what} more than 100% together", "lower some")


def _unknown_ending(document: Document, word: str, loc: Loc) -> Problem:
    near = difflib.get_close_matches(word, BY_WORD, n=1)
    remedy = f"did you mean `{near[0]}`?" if near else "use an end_reason, an error code or none"
    return document.problem(loc, f"unknown ending {word}", remedy)


def _incident_problems(
    document: Document, incident: IncidentShape, accounts: Mapping[str, AccountShape], loc: Loc
) -> Iterator[Problem]:
    account = accounts.get(incident.account)
    if account is None:
        known = ", ".join(accounts)
        yield document.problem((*loc, "account"), f"unknown account {incident.account}", f"use one of: {known}")
        return
    has = {room.name for room in account.rooms}
    for name in incident.rooms:
        if name not in has:
            what = f"account {incident.account} has no room {name}"
            yield document.problem((*loc, "rooms"), what, "name it under the account's rooms")
    if incident.rooms and incident.rooms_share is not None:
        what = "rooms and rooms_share exclude each other"
        yield document.problem((*loc, "rooms_share"), what, "keep one of them", at_key=True)
    for kind in ("regions", "sdks", "browsers"):
        mix = getattr(account.mix, kind)
        for name in getattr(incident, kind):
            if name not in mix:
                what = f"account {incident.account} has no {name} among its {kind}"
                yield document.problem((*loc, kind), what, "use " + ", ".join(mix))
    if not incident.endings:
        yield document.problem((*loc, "endings"), "endings are empty", "add one such as `53405: 10%`")
    yield from _ending_problems(document, incident.endings, (*loc, "endings"))
    if incident.duration <= 0:
        yield document.problem((*loc, "duration"), "duration is zero", "write it like 5m")
