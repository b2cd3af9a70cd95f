"""A fake behind the API, typed against its port."""

from __future__ import annotations

from typing import Any

from watcher.errors import Refused
from watcher.web import Actions, NewAck, NewSilence


class FakeActions:
    """Notes what is asked; refuses the id `none`."""

    def __init__(self) -> None:
        self.wishes: list[Any] = []

    def alerts(self) -> list[dict[str, Any]]:
        return [{"id": "a1"}]

    def silences(self) -> list[dict[str, Any]]:
        return [{"id": "s1"}]

    async def add_silence(self, wish: NewSilence) -> dict[str, Any]:
        self.wishes.append(wish)
        return {"silence": {"id": "s2"}, "durable": True}

    async def expire_silence(self, silence: str) -> dict[str, Any]:
        if silence == "none":
            raise Refused(404, "no such silence holds: see the list")
        self.wishes.append(silence)
        return {"silence": {"id": silence}, "durable": True}

    async def acknowledge(self, alert: str, wish: NewAck) -> dict[str, Any]:
        self.wishes.append((alert, wish))
        return {"ack": {"alert_id": alert}, "durable": True}


_: Actions = FakeActions()


class Deaf:
    """Hears no hooks. Port `hooks.Listener`."""

    def hint(self, *, provider: str | None, account: str | None, project: str | None) -> int:
        return 0

    def hook_answered(self, hook: str, outcome: str) -> None:
        return
