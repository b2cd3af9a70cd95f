"""The durable record of what an account has spent: no request leaves without it (design, section 4, invariant 1).

The order of things is the guarantee. A spend is decided and counted in memory in one step, then written, and only then
handed to the caller; whatever happens after that, the worst is a request counted that never left. If it cannot be
written, no request leaves. A refund is the caller's word that not one byte was written, and is durable too.

Stamps are vendor time as far as it is known (`vendorclock`). They are corrected when more is known, by recording the
same id again: a late arrival, a first `Date`, the end of a doubt about the clock. A request that has not answered when
the next one is decided may have arrived at any time until then, and is stamped so.

Where there is no record of a day, what was spent in it is unknown (a lost volume, another host), so the share of it
that has passed counts as spent, as a marker that the next start finds. Only at a start: while running, the record is
here. Two cases are not defended beyond that, as nothing could tell: a wall clock set forward while the *machine* was
down, and the vendor's own clock being stepped; in both, the first answers put it right, and no stamp is left later than
the time that they tell.

Considered and not taken: counting in the store with SQL. It would put the same decision into two languages, and the
decision is what must be proved.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from watcher.budget.book import ASSUMED, Book
from watcher.budget.pace import LONGEST_REQUEST, Pace
from watcher.budget.quota import SECOND, Block, Kind, Pool, Quota, Refusal, decide, earliest, view, weighing
from watcher.budget.usage import Counts, Usage
from watcher.budget.vendorclock import ARRIVAL, Saved, VendorClock
from watcher.clock import DAY, HOUR, MINUTE, Clock, day_start, minute_start
from watcher.errors import ProviderError, Reason, StoreError
from watcher.model import LedgerStore, Spend
from watcher.workers import Workers

KEEP = 2 * DAY + HOUR
"""Seconds for which a spend is kept in memory, and must be kept in the store: today, yesterday and every doubt."""

_CLOCK = "clock"
_BLIND = "blind/"


class Ledger:
    """One account's budget. One process may hold it at a time (the store's lock sees to that)."""

    def __init__(
        self,
        *,
        account: str,
        pools: Sequence[Pool],
        store: LedgerStore,
        clock: Clock,
        workers: Workers,
        boot: str = "",
    ) -> None:
        """`boot` names this boot of the machine; with it, clock steps while the daemon was down are seen too."""
        self.account = account
        self.pools = tuple(pools)
        self.counts = Counts()
        self._store = store
        self._clock = clock
        self._workers = workers
        self._boot = boot
        self._book = Book(self.pools)
        self._pace = Pace(self.pools, opened=-math.inf)  # until `open`
        self._time = VendorClock(now=0.0, mono=0.0, boot=boot)  # until `open`
        self._saved: Saved | None = None
        self._opened = 0.0
        self._pruned = -math.inf
        self._blocks: dict[str, Block] = {}
        self._refused_by_vendor = dict.fromkeys(self._book.pools, 0)
        self._granted = dict.fromkeys(self._book.pools, 0)
        self._recorded: set[tuple[str, float]] = set()  # (pool, start of day) that had a record before this start
        self._unsure: dict[str, bool] = {}  # id -> whether it was stamped on this very timeline
        self._sent: dict[str, float] = {}  # id -> monotonic time of spending, while an answer may correct the stamp
        self._waiting: set[str] = set()  # not answered yet
        self._dirty: set[str] = set()  # corrected in memory, not yet in the store
        self._notes: dict[str, str] = {}  # to be written with the next spends

    # ── start ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def open(self) -> None:
        """Read the record, and write down what is assumed. Raises `StoreError`."""
        now, mono = self._clock.now(), self._clock.monotonic()
        store, account = self._store, self.account

        def notes() -> tuple[str | None, dict[str, str | None]]:
            return store.note(account, _CLOCK), {pool: store.note(account, _BLIND + pool) for pool in self._book.pools}

        clock, blind = await self._workers.run(notes)
        self._saved = Saved.parse(clock) if clock else None
        self._time = VendorClock(now=now, mono=mono, boot=self._boot, saved=self._saved)
        self._opened = mono
        self._pace = Pace(self.pools, opened=mono, longest=LONGEST_REQUEST * max(1.0, self._clock.rate))
        self._blocks = {pool: block for pool, text in blind.items() if text and (block := _parse_block(text))}
        await self._load()
        await self._write(self._assume())

    async def _load(self) -> None:
        """Count the spends of earlier runs that are not counted yet."""
        since = self._time.at(self._clock.monotonic()) - KEEP
        shared = self._time.same_boot
        for spend in await self._workers.run(lambda: self._store.spends(self.account, since)):
            if spend.id in self._book:
                continue
            unsure = spend.at >= self._time.loaded_unsure_since and not spend.id.startswith(ASSUMED)
            if unsure:
                self._unsure[spend.id] = shared
            else:
                self._time.not_before(spend.at, self._opened)
            self._book.add(spend, doubt=max(0.0, spend.skew - self._time.skew) if unsure and shared else 0.0)
            self._recorded.update((pool, day_start(spend.at)) for pool in spend.pools)

    def _assume(self) -> list[Spend]:
        """Markers for each daily quota whose day, at the time of the start, had passed in part without a record."""
        at = self._time.at(self._opened)
        markers = []
        for day in sorted({day_start(at - self._time.skew), day_start(at)}):
            for pool in self.pools:
                if pool.day is None or (pool.id, day) in self._recorded:
                    continue
                units = math.ceil(min(at - day, DAY) / DAY * pool.day.allowed)
                marker = Spend(
                    id=f"{ASSUMED}{pool.id}:{day:.0f}",
                    account=self.account,
                    pools=(pool.id,),
                    at=day,
                    skew=0.0,
                    units=units,
                )
                markers.append(marker)
                self._recorded.add((pool.id, day))
                self._book.add(marker)
                self._count(assumed_units=units)
        return markers

    # ── spending ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def spend(self, pools: Sequence[str]) -> Spend | Refusal:
        """One request of all these pools, recorded durably before this returns, or the reason why not.

        A refusal's `at` is an instant of the run clock; it may move later while an earlier request has not answered.
        Raises `StoreError` where it cannot be recorded: nothing is granted then.
        """
        now, mono = self._read()
        at = self._time.at(mono)
        self._forget(at)
        self._overtake(at)
        decision = decide(
            [self._book.pools[pool] for pool in pools],
            self._book,
            at,
            skew=self._time.skew,
            doubt=self._time.doubt,
            blocks=self._live_blocks(at),
        )
        if isinstance(decision, Refusal):
            self._count(refused=1)
            return replace(decision, at=_later(now, decision.at - at))
        for pool in pools:
            if (wait := self._pace.free_at(pool, mono) - mono) > 0:
                self._count(refused=1)
                return Refusal(at=_later(now, wait), pool=pool, window=SECOND, reason=Reason.BUDGET)
        spend = Spend(
            id=uuid.uuid4().hex,
            account=self.account,
            pools=tuple(pools),
            at=at,
            skew=self._time.skew + self._time.doubt,
        )
        self._book.add(spend, doubt=self._time.doubt)
        if self._time.unsure_since is not None:
            self._unsure[spend.id] = True
        try:
            await self._write([spend])
        except StoreError:
            self._discard(spend.id)
            raise
        self._sent[spend.id] = mono
        self._waiting.add(spend.id)
        self._pace.sent(spend.id, spend.pools, mono)
        self._count(granted=1)
        for pool in spend.pools:
            self._granted[pool] += 1
        return spend

    async def refund(self, spend: Spend) -> None:
        """Take a spend back, durably. Only the caller can know that not one byte of the request was written.

        Raises `StoreError`; the spend stands then.
        """
        await self._run(lambda: self._store.refund(spend.id))
        self._pace.refunded(spend.id)
        self._discard(spend.id)
        self._count(refunded=1)

    async def answered(self, spend: Spend, vendor_time: float | None) -> None:
        """The vendor answered this request, with this `Date` (Unix seconds) or none: learn the time, correct the stamp.

        Where the store fails, what was learned holds in memory and is written with the next spend.
        """
        now, mono = self._read()
        self._pace.answered(spend.id, mono)
        sent = self._sent.pop(spend.id, None)
        self._waiting.discard(spend.id)
        if sent is None or spend.id not in self._book:
            return
        arrived_by = math.inf
        markers: list[Spend] = []
        if vendor_time is not None:
            first = not self._time.learned
            lesson = self._time.learn(sent=sent, received=mono, date=vendor_time, now=now)
            self._count(dates_not_believed=not lesson.believed)
            if lesson.settled:
                self._settle(lesson.shift)
            if abs(lesson.shift) > HOUR:  # the record was read, or pruned, by a clock that was far off
                await self._load()
            if lesson.settled and first:
                markers = self._assume()
            if lesson.believed:
                self._bring_back(self._time.at(mono))
                arrived_by = vendor_time + 1.0
        self._correct(spend.id, self._time.at(sent), min(arrived_by, self._time.at(mono) + self._time.half))
        await self._try_to_write(markers)

    async def exhausted(self, pool: str, until: float | None, reason: Reason) -> None:
        """The vendor refused a pool: ask nothing of it until `until` (run clock), durably.

        None means what the refusal itself says: a day's quota until the next 00:00 UTC, any other until the next
        minute. Never further than the next 00:00 UTC, whatever the vendor wishes. Where the store fails, it holds in
        memory and is written with the next spend.
        """
        now, mono = self._read()
        at = self._time.at(mono)
        midnight = day_start(at) + DAY
        daily = reason is Reason.DAY_QUOTA
        end = midnight if daily else minute_start(at) + MINUTE
        if until is not None:
            end = min(max(at, at + until - now), midnight)
        standing = self._blocks.get(pool)
        if standing is None or standing.until < end:
            self._blocks[pool] = Block(until=end, window="day" if daily else "minute", reason=reason)
        self._refused_by_vendor[pool] += 1
        self._notes[_BLIND + pool] = _block_text(self._blocks[pool])
        await self._try_to_write([])

    async def refused(self, pools: Sequence[str], error: ProviderError) -> None:
        """A request of these pools failed so: where that was a quota, they are `exhausted`."""
        if error.reason in (Reason.DAY_QUOTA, Reason.RATE):
            until = None if error.retry_after is None else self._clock.now() + error.retry_after
            for pool in pools:
                await self.exhausted(pool, until, error.reason)

    # ── what others ask ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def offset(self) -> float:
        """Vendor time less run clock, in seconds, as learned."""
        return self.vendor_now() - self._clock.now()

    async def wait_until(self, at: float) -> None:
        """Sleep until an instant of the run clock: a quota per second is waited for, not given up for."""
        await self._clock.sleep_until(at)

    def vendor_now(self) -> float:
        """Vendor time: for the arithmetic of slots. Does not step when the wall clock does."""
        return self._time.at(self._clock.monotonic())

    def usage(self, now: float) -> tuple[Usage, ...]:
        """Every quota of every pool as it stands at `now` (run clock)."""
        ahead = self.offset
        blocks = self._live_blocks(now + ahead)
        return tuple(
            self._usage(pool, quota, now + ahead, ahead, blocks.get(pool.id))
            for pool in self.pools
            for quota in pool.quotas
        )

    def _usage(self, pool: Pool, quota: Quota, at: float, ahead: float, block: Block | None) -> Usage:
        weights, skew = view(quota, self._book, pool.id, self._time.skew, self._time.doubt)
        late = skew if quota.kind is Kind.DAY else 0.0  # the day as decisions see it: begun once it has for sure
        width = quota.window_seconds
        start = (at - late) // width * width
        spent = float(self._book.requests(pool.id, quota, start))
        if quota.kind is Kind.DAY:
            spent += self._book.assumed(pool.id, start)
        blocked = block.until + self._time.skew if block else None
        left, free_at = max(0.0, quota.allowed - weighing(quota, weights, at, skew)), earliest(quota, weights, skew)
        if quota.kind is Kind.SECOND:
            mono = self._clock.monotonic()
            left, free_at = float(self._pace.left(pool.id, mono)), at + self._pace.free_at(pool.id, mono) - mono
        return Usage(
            account=self.account,
            family=pool.family,
            pool=pool.id,
            window=quota.window,
            window_seconds=width,
            limit=quota.limit,
            allowed=quota.allowed,
            spent=spent,
            left=left,
            resets_at=start + width + late - ahead,
            free_at=max(at, free_at, blocked or at) - ahead,
            blocked_until=blocked - ahead if blocked else None,
            reason=block.reason if block else None,
            worst=self._book.worst(pool.id, quota),
            total=self._book.total(pool.id),
            refused_by_vendor=self._refused_by_vendor[pool.id],
            granted=self._granted[pool.id],
            capped=pool.capped,
        )

    # ── stamps ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _read(self) -> tuple[float, float]:
        """Both clocks, compared."""
        now, mono = self._clock.now(), self._clock.monotonic()
        if self._time.watch(now, mono) != 0.0:
            self._count(clock_steps=1)
        return now, mono

    def _overtake(self, at: float) -> None:
        """Stamp requests that have not answered as late as they may have arrived."""
        longest = LONGEST_REQUEST * max(1.0, self._clock.rate)
        for spend_id in tuple(self._waiting):
            spend, doubt = self._book[spend_id]
            last = self._time.at(self._sent[spend_id]) + longest
            if min(at, last) > spend.at + ARRIVAL:
                self._restamp(spend_id, at=min(at, last), skew=spend.skew, doubt=doubt)
            if at >= last:
                self._waiting.discard(spend_id)

    def _settle(self, shift: float) -> None:
        """A doubt about the clock is over: move the stamps made in it, and take the doubt off them."""
        for spend_id, on_this_timeline in self._unsure.items():
            spend, doubt = self._book[spend_id]
            move = shift if on_this_timeline else max(0.0, shift)  # of another boot: count it as late as it may be
            self._restamp(spend_id, at=spend.at + move, skew=spend.skew - doubt, doubt=0.0)
        self._unsure.clear()

    def _bring_back(self, at: float) -> None:
        """Nothing was sent later than now: what a vendor clock that has been taken back dated so was sent by now.

        As late as it may have been, so that it counts in this minute and today. Else a clock that jumps ahead for an
        hour would leave a minute of tomorrow full, and every minute until then.
        """
        self._pruned = min(self._pruned, at)
        for spend_id in self._book.later(at + self._time.skew):
            spend, doubt = self._book[spend_id]
            self._restamp(spend_id, at=min(spend.at, at), skew=min(spend.skew, self._time.skew) + doubt, doubt=doubt)
        last = day_start(at) + DAY
        for pool, block in self._blocks.items():
            if block.until > last:
                self._blocks[pool] = replace(block, until=last)
                self._notes[_BLIND + pool] = _block_text(self._blocks[pool])

    def _correct(self, spend_id: str, sent: float, arrived_by: float) -> None:
        """Stamp a request anew where its stamp does not span what is known: it arrived between these instants."""
        spend, doubt = self._book[spend_id]
        first = min(sent - self._time.half, arrived_by)
        known = spend.skew - doubt
        if first < spend.at - known or arrived_by > spend.at + known:
            half = (arrived_by - first) / 2
            self._restamp(spend_id, at=first + half, skew=max(self._time.skew, half) + doubt, doubt=doubt)

    def _restamp(self, spend_id: str, *, at: float, skew: float, doubt: float) -> None:
        spend = self._book[spend_id].spend
        if (at, skew) != (spend.at, spend.skew):
            self._book.add(replace(spend, at=at, skew=skew), doubt=doubt)
            self._dirty.add(spend_id)
            self._count(restamped=1)

    def _discard(self, spend_id: str) -> None:
        """Count and remember a spend no longer."""
        self._book.remove(spend_id)
        self._sent.pop(spend_id, None)
        self._unsure.pop(spend_id, None)
        self._waiting.discard(spend_id)
        self._dirty.discard(spend_id)

    def _forget(self, at: float) -> None:
        """Now and then, drop what can weigh on nothing any more: memory stays bounded."""
        if at < self._pruned + HOUR:
            return
        self._pruned = at
        for spend_id in self._book.prune(at - KEEP):
            self._discard(spend_id)
        self._recorded = {(pool, day) for pool, day in self._recorded if day >= day_start(at - KEEP)}

    # ── the store ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _write(self, spends: Sequence[Spend]) -> None:
        """Make everything durable: what is known of the clock first, for that is what stamps are read by."""
        saved = None if self._time.covers(self._saved) else self._time.saved()
        notes, dirty = self._notes, self._dirty
        rows = [self._book[spend_id].spend for spend_id in dirty] + list(spends)
        self._notes, self._dirty = {}, set()

        def write() -> None:
            if saved is not None:
                self._store.put_note(self.account, _CLOCK, saved.text())
            for key, text in notes.items():
                self._store.put_note(self.account, key, text)
            for row in rows:
                self._store.record_spend(row)

        if saved is None and not notes and not rows:
            return
        try:
            await self._run(write)
        except StoreError:
            self._notes = {**notes, **self._notes}
            self._dirty |= {spend_id for spend_id in dirty if spend_id in self._book}
            raise
        self._saved = saved or self._saved

    async def _try_to_write(self, spends: Sequence[Spend]) -> None:
        """Write what is only a correction: where the store fails, the next spend tries again, and must succeed."""
        self._dirty.update(spend.id for spend in spends)
        try:
            await self._write([])
        except StoreError:
            return

    async def _run(self, call: Callable[[], None]) -> None:
        try:
            await self._workers.run(call)
        except StoreError:
            self._count(store_failures=1)
            raise

    def _live_blocks(self, at: float) -> dict[str, Block]:
        return {pool: block for pool, block in self._blocks.items() if block.until + self._time.skew > at}

    def _count(self, **steps: int) -> None:
        self.counts = replace(self.counts, **{name: getattr(self.counts, name) + n for name, n in steps.items()})


def _later(now: float, wait: float) -> float:
    """`now + wait`, rounded up to the millisecond: who wakes then is not refused for a rounding error."""
    return math.ceil((now + wait) * 1000 + 1) / 1000


def _block_text(block: Block) -> str:
    return json.dumps({"until": block.until, "window": block.window, "reason": block.reason.value})


def _parse_block(text: str) -> Block | None:
    """None where it is not one: a foreign note must not stop the daemon."""
    try:
        data = json.loads(text)
        return Block(until=float(data["until"]), window=str(data["window"]), reason=Reason(data["reason"]))
    except (ValueError, TypeError, KeyError):
        return None
