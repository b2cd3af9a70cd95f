"""What systemd is told: ready, reloading, stopping, and that the event loop turns (`Type=notify`, `WatchdogSec=`).

The protocol is one datagram of `KEY=value` lines to the socket that `$NOTIFY_SOCKET` names, so it is here in whole.
Two packages were considered: `sdnotify` has seen no release since 2017 and sends on a blocking socket, and
`systemd-python` is a C extension that needs a compiler and libsystemd's headers wherever watcher is installed. Without
systemd nothing is sent and nothing changes; podman speaks the same protocol.

The watchdog is fed from the event loop by real time and by nothing else: a loop that is stuck feeds nobody, and systemd
begins the daemon anew, which neither loses nor repeats a page (design, invariants 5 and 12). Whether the state can be
written or a vendor answers is not asked here: a restart would mend neither, and would lose the page that says so.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from watcher import log
from watcher.clock import real_monotonic, real_sleep

_FED_PER_INTERVAL = 3  # one feeding may be late or lost without a restart


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceManager:
    """Who started this process: `address` is empty where nobody wants to be told, `interval` 0 without a watchdog."""

    address: str = ""
    interval: float = 0.0  # real seconds within which the watchdog wants to be fed

    @classmethod
    def of(cls, environment: Mapping[str, str], *, pid: int) -> ServiceManager:
        """As the environment says. A watchdog that is meant for another process is not ours to feed."""
        micros, meant_for = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
        fed = micros.isascii() and micros.isdigit() and meant_for in ("", str(pid))
        return cls(address=environment.get("NOTIFY_SOCKET", ""), interval=int(micros) / 1e6 if fed else 0.0)

    def ready(self, status: str) -> None:
        """Started, or done with a reload; `status` is what `systemctl status` shows."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        self._tell("RELOADING=1", f"MONOTONIC_USEC={int(real_monotonic() * 1e6)}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    async def keep_fed(self) -> None:
        """Feed the watchdog for as long as the event loop turns; returns at once where there is none."""
        if not self.address or not self.interval:
            return
        while True:
            self._tell("WATCHDOG=1")
            await real_sleep(self.interval / _FED_PER_INTERVAL)

    def _tell(self, *lines: str) -> None:
        """Never waits: the socket's reader may be busy, and a lost feeding is followed by the next."""
        if not self.address:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagrams:
                datagrams.setblocking(False)
                datagrams.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            log.get("systemd").warning("not_told", lines=lines, error=error.strerror or type(error).__name__)


def service_manager() -> ServiceManager:
    """Of this process."""
    return ServiceManager.of(os.environ, pid=os.getpid())
