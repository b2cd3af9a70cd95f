"""By SDK, browser and country: streams have the client of their connection; a group knows what the others have."""

from __future__ import annotations

import numpy as np
import pytest

from watcher.alerts.affected import stand_out
from watcher.model import Dimension
from watcher.providers.vonage import documents, roster, wire
from watcher.providers.vonage.clients import Client, client_of, splits
from watcher.providers.vonage.points import Scale, Votes
from watcher.providers.vonage.roster import Meeting, Roster

LOSS = "video_packet_loss_ratio"
KNOWN = [Client("js 2.27.3", "Chrome 118", "US"), Client("js 2.26.0", "Firefox 119", "BR")]
LINES = {"video_loss": 0.03, "audio_loss": 0.05}


def votes(*loss: float) -> Votes:
    return Votes(np.arange(len(loss), dtype=np.int64), {"video_loss": np.array(loss)})


def test_groups_and_their_rest() -> None:
    """Mean over the streams of a group, how many they are, and the mean of all others."""
    everybody = np.ones(4, np.bool_)
    clients = np.array([0, 0, 1, -1])
    found = splits(
        votes(0.1, 0.3, 0.0, 0.5), everybody, clients, KNOWN, signal=LOSS, scale=Scale(1.0, None), lines=LINES
    )
    assert [split.dimension for split in found] == [Dimension.SDK, Dimension.BROWSER, Dimension.COUNTRY]
    sdk = {group.name: group for group in found[0].groups}
    assert set(sdk) == {"js 2.27.3", "js 2.26.0"}
    assert sdk["js 2.27.3"].value == pytest.approx(0.2)
    assert sdk["js 2.27.3"].users == 2.0
    assert sdk["js 2.27.3"].rest == pytest.approx((0.25, 2.0))
    assert {split.counts for split in found} == {"streams"}


def test_only_chosen_streams_have_a_say() -> None:
    """Of a project the publishers, of a session who is in it."""
    chosen = np.array([True, False, True, False])
    [sdk, *_] = splits(
        votes(0.1, 0.9, 0.0, 0.9),
        chosen,
        np.array([0, 0, 1, 1]),
        KNOWN,
        signal=LOSS,
        scale=Scale(1.0, None),
        lines=LINES,
    )
    assert [(group.value, group.users) for group in sdk.groups] == [(0.0, 1.0), (0.1, 1.0)]


def test_a_country_stands_out() -> None:
    """What the alert says is made of the same value that paged."""
    clients = np.array([0] * 100 + [1] * 30)
    loss = votes(*[0.01] * 100, *[0.2] * 30)
    everybody = np.ones(130, np.bool_)
    found = splits(loss, everybody, clients, KNOWN, signal=LOSS, scale=Scale(1.0, None), lines=LINES)
    hurts = stand_out(found, LOSS, 0.054)
    assert {hurt.group for hurt in hurts} == {"js 2.26.0", "Firefox 119", "BR"}
    assert {hurt.counts for hurt in hurts} == {"streams"}


def test_beside_everybody_is_nobody() -> None:
    """All streams are in one group: there are no others, and nothing is worked out in their place."""
    found = splits(
        votes(0.1, 0.3), np.ones(2, np.bool_), np.array([0, 0]), KNOWN, signal=LOSS, scale=Scale(1.0, None), lines=LINES
    )
    assert {group.rest for split in found for group in split.groups} == {(0.0, 0.0)}


def test_nothing_is_known_of_a_client_without_words() -> None:
    """Nulls make no group; long text of end users is cut."""
    assert client_of(wire.Party()) == Client()
    assert client_of(wire.Party(sdk_type="ios", sdk_version="2.27.0", country="DE")) == Client("ios 2.27.0", "", "DE")
    assert len(client_of(wire.Party(browser="x" * 1000)).browser) <= 40
    found = splits(
        votes(0.1), np.ones(1, np.bool_), np.array([-1]), [], signal=LOSS, scale=Scale(1.0, None), lines=LINES
    )
    assert found == ()


def test_kinds_of_client_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One kind more than there is room for is not known, and counted."""
    monkeypatch.setattr(roster, "MAX_CLIENTS", 2)
    here = Roster()
    session = here.session("s", since=0.0, now=0.0)
    assert session is not None
    meeting = Meeting(id="m", began=0, ended=roster.OPEN)
    for n in range(3):
        here.stream(
            session, meeting, kind="publishers", party=f"p{n}", source="", began=0, now=0.0, client=Client(sdk=str(n))
        )
    assert here.who().client.tolist() == [0, 1, -1]
    assert len(here.clients) == 2
    assert here.overflow == 1


def test_what_a_connection_is_costs_no_node() -> None:
    """The fields are asked of connections that are counted anyway."""
    text = documents.counts("0123456789")
    assert "connections(first:100){pageInfo{hasNextPage endCursor} resources{connectionId" in text
    assert "sdkType sdkVersion browser browserVersion country" in text
