"""The faults that no vendor's words matter to: an answer that does not come, comes spoilt, or in no order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from watcher.emulator.faults import Fault
from watcher.emulator.replies import HTML, Manner, Reply

T = TypeVar("T")

PAGE = b"<!DOCTYPE html><html><head><title>Service</title></head><body><h1>Temporarily unavailable</h1></body></html>"


def instead(faults: Mapping[str, Fault], gateway: Callable[[int], Reply]) -> tuple[str, Reply] | None:
    """What comes in place of an answer, the most physical first: its outcome for the report, and the reply.

    `gateway(status)` is how this vendor's `http_…` faults look.
    """
    if "reset" in faults:
        return "reset", Reply(manner=Manner.RESET)
    if "timeout" in faults:
        return "timeout", Reply(manner=Manner.SILENT)
    for kind in faults:
        if kind.startswith("http_"):
            return kind[5:], gateway(int(kind[5:]))
    if "redirect" in faults:
        return "302", Reply(status=302, body=PAGE, media=HTML, headers=(("location", "https://login.example.com/"),))
    if "html" in faults:
        return "html", Reply(body=PAGE, media=HTML)
    return None


def deform(reply: Reply, faults: Mapping[str, Fault]) -> tuple[Reply, bool]:
    """A good answer as it leaves; whether it stayed whole."""
    if "truncated" in faults:
        return replace(reply, body=reply.body[: len(reply.body) // 2]), False
    if "cut_off" in faults:
        return replace(reply, manner=Manner.CUT), False
    if "huge" in faults:
        return replace(reply, manner=Manner.HUGE, size=faults["huge"].size), False
    return reply, True


def mix(things: Sequence[T], faults: Mapping[str, Fault]) -> list[T]:
    """A page in an order that means nothing, and with its first thing twice, where the faults say so."""
    mixed = list(things)
    if "shuffled" in faults:
        mixed = mixed[1::2][::-1] + mixed[::2]
    if "duplicates" in faults:
        mixed += mixed[:1]
    return mixed
