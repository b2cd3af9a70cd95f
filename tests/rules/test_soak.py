"""The long campaign of invariant 3: ten thousand streams, of rules of one series and of several (`make soak`)."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.rules import test_invariant_event_time as single
from tests.rules import test_invariant_joined as joined
from tests.rules.streams import rules, shuffled
from watcher.model import State
from watcher.rules.settings import Judging

CASES = 10_000
HOUR = Judging()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_ten_thousand_streams_settle_alike() -> None:
    """Cut, delayed, shuffled, revised, late, lost: the fold of what is emitted is what the oracle says, each time."""
    ran: Counter[str] = Counter()
    fired: Counter[str] = Counter()

    @seed(20_260_101)
    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(kind=st.sampled_from(["one series", *sorted(joined.BY_NAME)]), data=st.data())
    def campaign(kind: str, data: st.DataObject) -> None:
        if kind == "one series":
            log = single.check(data.draw(shuffled()), data.draw(rules()), HOUR)
        else:
            windows, rule = joined.BY_NAME[kind]
            log = joined.check(data.draw(shuffled(windows)), data.draw(rule), HOUR)
        ran[kind] += 1
        fired[kind] += any(entry.state is State.FIRING for entry in log)

    campaign()
    print(
        f"\n{sum(ran.values())} streams, 0 differ from the oracle: " + ", ".join(f"{k} {ran[k]}" for k in sorted(ran))
    )
    print("of which fired: " + ", ".join(f"{kind} {fired[kind]}" for kind in sorted(fired)))
    assert sum(ran.values()) >= CASES
    assert all(fired[kind] * 5 > ran[kind] for kind in ran)
