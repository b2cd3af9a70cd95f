"""The configuration: composes each package's settings, checks them against each other, and freezes the result.

Settings live with their owner (a vendor's numbers with the vendor, routes with alerts); here is only what needs more
than one of them: which rule an account can feed, which queries the rules need, whether the plan's budget can serve them
without losing windows, and how soon each rule can page. Everything wrong with a configuration and its packs comes at
once (design, invariant 10). Nothing here reads a secret, so that `check` runs anywhere, but for
`secrets_missing`, which does it once, at start.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator

from watcher.alerts.route import OWN_RULES
from watcher.alerts.settings import AlertsSettings, RouteSettings
from watcher.alerts.settings import check as check_alerts
from watcher.alerts.settings import warnings as alerts_warnings
from watcher.alerts.targets import url_of
from watcher.budget.quota import Pool
from watcher.clock import DAY
from watcher.detection import shortly, too_late, within
from watcher.errors import ConfigError, Problem, clip
from watcher.listener import Http
from watcher.listener import check as check_listener
from watcher.model import USERS, Query
from watcher.providers.provider import Account, Provider
from watcher.providers.registry import PROVIDERS
from watcher.rules.pack import load_packs
from watcher.rules.rule import WEIGHT, Rule, feeds, needed_signals, remembered_signals, unfed
from watcher.rules.settings import Judging
from watcher.schedule.feasibility import overspent, promised_gap
from watcher.schedule.promise import longest_gaps
from watcher.secret import Secret, SecretMissing
from watcher.store import state_path
from watcher.yamlfile import Document, Duration, Loc, Strict
from watcher.yamlfile import load as load_yaml

T = TypeVar("T")

MAX_ACCOUNTS = 100
MIN_TOKEN = 16  # characters: nothing slows down whoever guesses


def _some(accounts: tuple[Mapping[str, Any], ...]) -> tuple[Mapping[str, Any], ...]:
    if not 0 < len(accounts) <= MAX_ACCOUNTS:
        raise ValueError(f"lists {len(accounts)}; list 1 to {MAX_ACCOUNTS} of them")
    return accounts


def _state_url(text: str) -> str:
    state_path(text)
    return text


class _Top(AlertsSettings):
    """The whole file, but for what is inside an account: that is its vendor's."""

    accounts: Annotated[tuple[Mapping[str, Any], ...], AfterValidator(_some)]
    rules: tuple[str, ...]
    state: Annotated[str, AfterValidator(_state_url)]
    history: Duration = 30 * DAY
    judging: Judging = Judging()
    http: Http = Http()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountConfig:
    """One account with what it needs to be looked at: every signal some rule asks for."""

    settings: Account
    provider: Provider[Any]
    needed: frozenset[str]
    pools: tuple[Pool, ...]
    queries: tuple[Query, ...]
    gaps: Mapping[str, float]
    """Query id -> the longest time between two looks that is promised, in seconds."""
    past: tuple[Query, ...] = ()
    """Outside the schedule: what the vendor tells of the past of series that some rule holds against it."""
    past_pools: tuple[Pool, ...] = ()
    """The pools of `past` in which no look is spent."""
    asked_pools: tuple[Pool, ...] = ()
    """The pools in which nothing is spent but what somebody asks for."""

    @property
    def name(self) -> str:
        return self.settings.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the rest of the program gets. `warnings` are allowed and probably not meant."""

    path: str
    accounts: tuple[AccountConfig, ...]
    rules: tuple[Rule, ...]
    alerts: AlertsSettings
    judging: Judging
    state: str
    history: int
    http: Http
    warnings: tuple[Problem, ...] = ()
    document: Document = field(repr=False)


def load(path: Path | str, *, pages: bool = True) -> Config:
    """Read a configuration and the packs it names. Raises `ConfigError` with every problem of all of them.

    Where nobody is paged by it (`plan`, `backtest`), a rule may lack a minimum behind its ratio.
    """
    return build(load_yaml(path), Path(path).parent, pages=pages)


def build(document: Document, folder: Path, *, pages: bool = True) -> Config:
    """The configuration in a document; relative paths start at `folder`. Raises `ConfigError`."""
    reader = _Reader(document)
    top = reader.attempt(lambda: document.parse(_Top))
    stanzas = list(_stanzas(document))
    parsed = [(i, p, s) for i in stanzas if (p := reader.provider(i)) and (s := reader.account(i, p))]
    reader.unique_names(parsed)
    reader.unique_credentials(parsed)
    reader.only_ones(parsed)
    paths = [folder / text for text in _packs(document)]
    rules = reader.attempt(lambda: load_packs(paths, pages=pages)) or ()
    reader.problems += _own_names(rules)
    if top is not None:
        reader.problems += check_alerts(document, top)
        reader.problems += check_listener(document, top.http)
    if top is None or len(parsed) < len(stanzas):
        raise ConfigError(reader.problems)
    needed = frozenset(needed_signals(rules) | {USERS})
    routes = top.routes
    accounts = [reader.compose(i, provider, settings, needed, rules, routes) for i, provider, settings in parsed]
    reader.problems += _unfed(rules, accounts)
    reader.problems += _weightless(rules, accounts)
    for (index, _, _), account in zip(parsed, accounts, strict=True):
        reader.problems += _too_much(document, index, account)
        reader.problems += _too_late(account, rules, top)
    if reader.problems:
        raise ConfigError(reader.problems)
    return Config(
        path=document.file,
        accounts=tuple(accounts),
        rules=rules,
        alerts=AlertsSettings.model_construct(**{name: getattr(top, name) for name in AlertsSettings.model_fields}),
        judging=_judging(top.judging, accounts),
        state=_state(top.state, folder),
        history=top.history,
        http=top.http,
        warnings=tuple(_warnings(document, top, rules, accounts, named=paths)),
        document=document,
    )


def secrets_missing(config: Config) -> list[Problem]:
    """Read every secret; what cannot be read, with the place that names it. Also targets that Apprise refuses."""
    document = config.document
    found = check_alerts(document, config.alerts, secrets=True)
    for name in ("token", "hook_token"):
        secret: Secret | None = getattr(config.http, name)
        if secret is None:
            continue
        try:
            secret.resolve()
        except SecretMissing as missing:
            found.append(document.problem(("http", name), f"http.{name}: {missing}"))
        else:
            if len(secret.reveal()) < MIN_TOKEN:
                what = f"http.{name} is shorter than {MIN_TOKEN} characters"
                found.append(document.problem(("http", name), what, "make one: openssl rand -hex 32"))
    for index, account in enumerate(config.accounts):
        for loc, secret in _secrets(account.settings, ("accounts", index)):
            try:
                secret.resolve()
            except SecretMissing as missing:
                found.append(document.problem(loc, f"{loc[-1]}: {missing}"))
    return found


# ── the parts ────────────────────────────────────────────────────────────────────────────────────────────────────────

_Parsed = tuple[int, Provider[Any], Account]


class _Reader:
    """Gathers problems, so that one does not hide the next."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def attempt(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except ConfigError as error:
            self.problems += error.problems
            return None

    def provider(self, index: int) -> Provider[Any] | None:
        loc: Loc = ("accounts", index)
        word = self.document.data["accounts"][index].get("provider")
        known = ", ".join(PROVIDERS)
        if word is None:
            what = f"accounts[{index}].provider is missing"
            self.problems.append(self.document.problem(loc, what, f"add `provider:` ({known})", at_key=True))
        elif not isinstance(word, str) or word not in PROVIDERS:
            what = f"unknown provider {clip(str(word), 40)}"
            self.problems.append(self.document.problem((*loc, "provider"), what, f"use one of {known}"))
        else:
            return PROVIDERS[word]
        return None

    def account(self, index: int, provider: Provider[Any]) -> Account | None:
        settings: Account | None = self.attempt(lambda: self.document.parse(provider.settings, ("accounts", index)))
        return settings

    def unique_names(self, parsed: Sequence[_Parsed]) -> None:
        seen: set[str] = set()
        for index, _, settings in parsed:
            if settings.name in seen:
                what = f"account {settings.name} exists twice"
                self.problems.append(self.document.problem(("accounts", index, "name"), what, "give each its own name"))
            seen.add(settings.name)

    def unique_credentials(self, parsed: Sequence[_Parsed]) -> None:
        """An account owns its quotas: the same credential twice would be two budgets for one."""
        seen: dict[tuple[object, ...], str] = {}
        for index, _, settings in parsed:
            together: dict[Loc, tuple[Secret, ...]] = {}  # user and password stand side by side
            for loc, secret in _secrets(settings, ()):
                together[loc[:-1]] = (*together.get(loc[:-1], ()), secret)
            owners = [seen.setdefault((settings.provider, *pair), settings.name) for pair in together.values()]
            other = next((owner for owner in owners if owner != settings.name), None)
            if other is not None:
                what = f"account {settings.name} has the credential of {other}: each would spend the whole budget"
                self.problems.append(
                    self.document.problem(("accounts", index), what, "make them one account with several projects")
                )

    def only_ones(self, parsed: Sequence[_Parsed]) -> None:
        """Where a vendor counts what a second account could not know of, there is only one."""
        first: dict[str, str] = {}
        for index, provider, settings in parsed:
            other = first.setdefault(settings.provider, settings.name)
            if provider.only_one and other != settings.name:
                what = f"account {settings.name} is a second {settings.provider} account: {provider.only_one}"
                self.problems.append(
                    self.document.problem(("accounts", index), what, f"make its projects projects of {other}")
                )

    def compose(
        self,
        index: int,
        provider: Provider[Any],
        settings: Account,
        needed: frozenset[str],
        rules: Sequence[Rule],
        routes: Sequence[RouteSettings],
    ) -> AccountConfig:
        faults = provider.check(settings, needed)
        self.problems += [
            self.document.problem(("accounts", index, *fault.loc), fault.what, fault.remedy) for fault in faults
        ]
        queries = () if faults else provider.queries(settings, needed)
        kept = {} if faults else {pool.id: pool for pool in provider.pools(settings)}
        spent = {pool for query in queries for pool in query.pools}
        pools = tuple(pool for id_, pool in kept.items() if id_ in spent)
        past = provider.past(settings, remembered_signals(rules)) if queries else ()
        past = tuple(query for query in past if kept.keys() >= set(query.pools))
        past_pools = tuple(kept[id_] for id_ in dict.fromkeys(p for q in past for p in q.pools) if id_ not in spent)
        spent |= {pool.id for pool in past_pools}
        asked = () if faults else provider.asked(settings)
        return AccountConfig(
            settings=settings,
            provider=provider,
            needed=needed,
            pools=pools,
            queries=queries,
            gaps=_gaps(queries, pools, within(rules, queries, routes)),
            past=past,
            past_pools=past_pools,
            asked_pools=tuple(kept[id_] for id_ in asked if id_ in kept and id_ not in spent),
        )


def _gaps(queries: Sequence[Query], pools: Sequence[Pool], bounds: Mapping[str, float]) -> dict[str, float]:
    """Query id -> the longest gap promised: by the adaptive schedule where a day is to be divided, else by the even."""
    if divides_a_day(pools):
        return longest_gaps(queries, pools, bounds)
    return {query.id: gap for query, gap in promised_gap(queries, pools).items()}


def divides_a_day(pools: Iterable[Pool]) -> bool:
    """Whether a day's budget is to be spent where it buys most; else each query is looked at as often as it helps."""
    return any(pool.day is not None for pool in pools)


def _secrets(value: object, loc: Loc) -> Iterator[tuple[Loc, Secret]]:
    """Every secret inside an account's settings, with its place."""
    if isinstance(value, Secret):
        yield loc, value
    elif isinstance(value, Strict):
        for name, inner in value:
            yield from _secrets(inner, (*loc, name))
    elif isinstance(value, tuple):
        for index, inner in enumerate(value):
            yield from _secrets(inner, (*loc, index))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _secrets(inner, (*loc, key))


def _stanzas(document: Document) -> Iterator[int]:
    """The accounts that are mappings at all, whatever else is wrong with the file."""
    accounts = document.data.get("accounts") if isinstance(document.data, Mapping) else None
    for index, stanza in enumerate(accounts[:MAX_ACCOUNTS] if isinstance(accounts, tuple) else ()):
        if isinstance(stanza, Mapping):
            yield index


def _packs(document: Document) -> Iterator[str]:
    """The rule packs that are named, whatever else is wrong with the file."""
    rules = document.data.get("rules") if isinstance(document.data, Mapping) else None
    for text in rules if isinstance(rules, tuple) else ():
        if isinstance(text, str):
            yield text


def _state(text: str, folder: Path) -> str:
    """The state's URL with a relative path made to start at the configuration's folder."""
    prefix = "sqlite:///"
    if text.startswith(prefix) and not text.startswith(prefix + "/"):
        return f"{prefix}{(folder / text.removeprefix(prefix)).absolute()}"
    return text


def _at(rule: Rule, what: str, remedy: str) -> Problem:
    return Problem(*rule.place, what, remedy)


def _own_names(rules: Sequence[Rule]) -> Iterator[Problem]:
    for rule in rules:
        if rule.name.startswith(OWN_RULES):
            yield _at(rule, f"rule {rule.name} has a name of the daemon's own alerts", f"do not begin with {OWN_RULES}")


def _waits_for_provider(rule: Rule, accounts: Sequence[AccountConfig]) -> bool:
    """A rule of a vendor that is not configured: a shipped pack that is not in use, rather than a mistake."""
    providers = rule.where.get("provider")
    return providers is not None and not providers & {a.settings.provider for a in accounts}


def _unfed(rules: Sequence[Rule], accounts: Sequence[AccountConfig]) -> Iterator[Problem]:
    if any(not account.queries for account in accounts):
        return  # what is wrong with that account is said already
    used = [rule for rule in rules if not _waits_for_provider(rule, accounts)]
    series = [s for account in accounts for query in account.queries for s in query.series]
    for rule, reason in unfed(used, series):
        lacking = [a for a in accounts if not any(s.signal == rule.signal for q in a.queries for s in q.series)]
        why = next((a.provider.missing[rule.signal] for a in lacking if rule.signal in a.provider.missing), "")
        yield _at(rule, f"{reason}{f' ({why})' if why else ''}", "mend `where` and `signal`, or take the rule out")


def _weightless(rules: Sequence[Rule], accounts: Sequence[AccountConfig]) -> Iterator[Problem]:
    """Rules that would wait for a weight that never comes, and then fire unguarded."""
    series = [(a.provider.unweighted, s) for a in accounts for query in a.queries for s in query.series]
    for rule in rules:
        if any(companion.signal == WEIGHT for companion in rule.require):
            fed = [s.signal in unweighted for unweighted, s in series if feeds(rule, s)]
            if fed and all(fed):
                what = f"{rule.name} requires a weight, but {rule.signal} comes without one"
                yield _at(rule, what, "require users instead: `require: {users: {above: 20}}`")


def _too_much(document: Document, index: int, account: AccountConfig) -> Iterator[Problem]:
    for shortfall in overspent(account.queries, account.pools):
        yield document.problem(("accounts", index), f"account {account.name}: {shortfall.what}", shortfall.remedy)


def _too_late(account: AccountConfig, rules: Sequence[Rule], top: _Top) -> Iterator[Problem]:
    if any(overspent(account.queries, account.pools)):
        return  # windows would be lost: what is to be done about that changes every promise
    for late in too_late(rules, account.queries, account.pools, top.routes, top.judging.undecided_for):
        promised = shortly(late.rule.detect_within or 0)
        what = (
            f"{late.rule.name} promises a page within {promised}, but {account.name} can take {shortly(late.can_take)}"
        )
        yield _at(late.rule, what, ", or ".join(late.remedies))


def _judging(written: Judging, accounts: Sequence[AccountConfig]) -> Judging:
    """As written; an unwritten horizon reaches as far back as some account's windows may still change."""
    if "horizon" in written.model_fields_set:
        return written
    return written.model_copy(update={"horizon": max([written.horizon, *map(_amended, accounts)])})


def _amended(account: AccountConfig) -> int:
    return max((math.ceil(query.amended) for query in account.queries), default=0)


def _warnings(
    document: Document,
    top: _Top,
    rules: Sequence[Rule],
    accounts: Sequence[AccountConfig],
    *,
    named: Collection[Path],
) -> Iterator[Problem]:
    """`named`: the packs and folders as the configuration names them."""
    yield from alerts_warnings(document, top)
    for index, account in enumerate(accounts):
        for loc, secret in _secrets(account.settings, ("accounts", index)):
            if secret.kind == "literal":
                yield document.problem(loc, f"{loc[-1]} stands in the file", "name it: !env NAME, !file PATH")
    for name, token in (("token", top.http.token), ("hook_token", top.http.hook_token)):
        if token is not None and token.kind == "literal":
            yield document.problem(("http", name), f"http.{name} stands in the file", "name it: !env NAME, !file PATH")
    for name, target in top.targets.items():
        if url_of(target).kind == "literal":
            yield document.problem(("targets", name), f"the URL of {name} stands in the file", "use !env or !file")
    yield from _forgotten(top, rules, accounts)
    for index, account in enumerate(accounts):
        if (needed := _amended(account)) > top.judging.horizon and "horizon" in top.judging.model_fields_set:
            what = f"windows of {account.name} may change for {shortly(needed)}, and `judging.horizon` ends that sooner"
            yield document.problem(("accounts", index), what, f"leave it out, or write {shortly(needed)}")
    waiting = sorted({rule.place.file for rule in rules if _waits_for_provider(rule, accounts)})
    for file in (file for file in waiting if Path(file) in named):  # in a folder it is a shipped pack that waits
        yield Problem(file, 0, 0, "has rules for a provider that is not configured", "they are not judged")


def _forgotten(top: _Top, rules: Sequence[Rule], accounts: Sequence[AccountConfig]) -> Iterator[Problem]:
    """Rules that look back further than anything is kept, and whether the vendor's own statistics help."""
    reach = {series.signal: query.reach for a in accounts for query in a.past for series in query.series}
    for rule, part in ((r, p) for r in rules for p in r.parts):
        if part.baseline is None or part.baseline.reach <= top.history:
            continue
        days, kept = part.baseline.reach / DAY, top.history / DAY
        told = reach.get(part.signal)
        filled = "no vendor tells of the time before the first look"
        if told is not None:
            most = min(told, top.history) / DAY
            filled = f"the vendor's statistics tell of the {most:.0f} days before the first look, forgotten as early"
        what = f"{rule.name} looks back for {days:.0f} days, and `history` keeps {kept:.0f}; {filled}"
        yield _at(rule, what, "raise `history`, or name fewer weeks: with less than half of them it stays silent")
