"""What the book keeps as spends come and go is what counting them anew would give."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from watcher.budget.book import Book
from watcher.budget.quota import Pool, Quota
from watcher.clock import DAY, MINUTE
from watcher.model import Spend

_MINUTE, _DAY = Quota.per_minute(10), Quota.per_day(100)
_POOL = Pool(id="acme/realtime", account="acme", family="realtime", quotas=(_MINUTE, _DAY))
_AT = st.sampled_from([0.0, 30.0, 61.0, DAY - 5.0, DAY - 4.0, DAY + 0.0, DAY + 59.0, 2.0 * DAY])


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | _AT), max_size=30))
def test_counts_follow_every_spend_that_comes_goes_or_is_stamped_anew(steps: list[tuple[int, float | None]]) -> None:
    """None takes a spend back; the same number again is the same spend, stamped anew."""
    book, stamps = Book([_POOL]), dict[int, float]()
    for number, at in steps:
        if at is None:
            book.remove(f"s{number}")
            stamps.pop(number, None)
        else:
            book.add(Spend(id=f"s{number}", account="acme", pools=(_POOL.id,), at=at, skew=5.0))
            stamps[number] = at
        for quota, width in ((_MINUTE, MINUTE), (_DAY, DAY)):
            assert book.worst(_POOL.id, quota) == max(Counter(s // width for s in stamps.values()).values(), default=0)
        ends = Counter((s + 5.0) // DAY * DAY for s in stamps.values())
        assert [(day.end, day.units) for day in book.days(_POOL.id)] == sorted(ends.items())
